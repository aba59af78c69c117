"""Loading a detector: one of ours by name, or a Python file by its path.

The file holds `catalog` and, where wanted, `columns` (extra input columns by name, as "string",
"int", "float" or "boolean"), `rules` (TOML text, or the Path of such a file) and `policy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from traceback import extract_tb
from types import MappingProxyType, ModuleType

from alcyon.domain.columns import ColumnType
from alcyon.domain.errors import AlcyonError, CatalogError
from alcyon.domain.transaction import COLUMNS
from alcyon.features.catalog import Catalog
from alcyon.scoring.policy import Policy

OURS = ("card", "handbook", "sparkov", "paysim")
"""Detectors that come with Alcyon."""
_FAILURES = (
    ArithmeticError, AttributeError, ImportError, LookupError, NameError, OSError, TypeError,
    ValueError,
)  # fmt: skip
"""What a slip of the pen in somebody's file raises."""


@dataclass(frozen=True, eq=False)
class Detector:
    """How one kind of payment is looked at."""

    name: str
    catalog: Catalog
    rules: str
    """TOML text; empty: no rules."""
    policy: Policy | None
    """None: the model's own."""

    @property
    def columns(self) -> Mapping[str, ColumnType]:
        """Input columns beside the canonical ones."""
        extra = {n: t for n, t in self.catalog.columns.items() if n not in COLUMNS}
        return MappingProxyType(extra)


def load_detector(named: str) -> Detector:
    """The detector of that name or path.

    Raises CatalogError, in one line with file and line number where there is one.
    """
    if named in OURS:
        return _detector(named, import_module(f"alcyon.detectors.{named}"), _own_rules(named))
    path = Path(named)
    if not path.is_file():
        raise CatalogError(
            f"catalog {named}: is no file and none of ours: give a Python file or "
            f"{' or '.join(OURS)}"
        )
    return _detector(named, _executed(path), "")


def _own_rules(named: str) -> str:
    file = files("alcyon.detectors") / f"{named}_rules.toml"
    return file.read_text("utf-8") if file.is_file() else ""


def _executed(path: Path) -> ModuleType:
    """The file's module; it is run anew each time and never becomes importable."""
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except SyntaxError as error:
        raise CatalogError(f"{error.filename}:{error.lineno}: {error.msg}") from error
    except AlcyonError as error:
        raise CatalogError(f"{_place(path, error)}: {error}") from error
    except _FAILURES as error:
        kind = type(error).__name__
        raise CatalogError(f"{_place(path, error)}: {kind}: {error}") from error
    return module


def _place(path: Path, error: BaseException) -> str:
    """`file:line` of the innermost line in the file itself."""
    lines = [f.lineno for f in extract_tb(error.__traceback__) if f.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _detector(named: str, module: ModuleType, rules: str) -> Detector:
    catalog = getattr(module, "catalog", None)
    if catalog is None:
        raise CatalogError(f"{named}: has no `catalog`: write catalog = Catalog([…])")
    if not isinstance(catalog, Catalog):
        kind = type(catalog).__name__
        raise CatalogError(f"{named}: `catalog` is a {kind}: write catalog = Catalog([…])")
    policy = getattr(module, "policy", None)
    if not isinstance(policy, Policy | None):
        raise CatalogError(f"{named}: `policy` is a {type(policy).__name__}, not a Policy")
    return Detector(
        named, _with_columns(named, catalog, module), _rules(named, module, rules), policy
    )


def _with_columns(named: str, catalog: Catalog, module: ModuleType) -> Catalog:
    extra = getattr(module, "columns", None)
    if extra is None:
        return catalog
    if not isinstance(extra, Mapping):
        kind = type(extra).__name__
        raise CatalogError(f'{named}: `columns` is a {kind}: write columns = {{"name": "string"}}')
    try:
        return catalog.with_columns({**catalog.columns, **extra})
    except CatalogError as error:
        raise CatalogError(f"{named}: {error}") from error


def _rules(named: str, module: ModuleType, own: str) -> str:
    rules = getattr(module, "rules", own)
    if isinstance(rules, Path):
        try:
            return rules.read_text("utf-8")
        except OSError as error:
            raise CatalogError(f"{named}: rules {rules}: {error.strerror}") from error
    if not isinstance(rules, str):
        kind = type(rules).__name__
        raise CatalogError(f"{named}: `rules` is a {kind}: give TOML text or the Path of a file")
    return rules
