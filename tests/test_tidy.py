"""Style as a test. The bounds are ratchets: they may be tightened, never loosened."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PYTHON = sorted(
    [
        *SOURCES,
        *(p for part in ("tests", "benchmarks", "services") for p in (ROOT / part).rglob("*.py")),
    ]
)
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
PARAMETERS_MAX = 8
PARAMETERS_EXCUSED = {
    # The compiled kernel takes its state as flat arrays.
    "src/alcyon/features/compiled/observe.py:observe": 11,
    # The parameters of a query.
    "src/alcyon/api/decisions.py:filter_of": 11,
}
REFUSED_NAMES = {"utils", "util", "common", "helpers", "helper", "misc", "manager", "managers"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[Function]:
    return (
        n for n in ast.walk(tree(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def tracked() -> list[Path]:
    """All files under version control, or a clear skip in an unpacked archive."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [ROOT / path for path in listed.stdout.split("\0") if path and (ROOT / path).is_file()]


def test_modules_are_short() -> None:
    sizes = {name(path): len(path.read_text().splitlines()) for path in PYTHON}
    assert {path: n for path, n in sizes.items() if n > MODULE_LINES_MAX} == {}


def length(function: Function) -> int:
    """Lines from the signature to the end, without the docstring."""
    first = function.body[0]
    documented = ast.get_docstring(function, clean=False) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def test_functions_are_short() -> None:
    sizes = {f"{name(p)}:{f.name}": length(f) for p in PYTHON for f in functions(p)}
    assert {function: n for function, n in sizes.items() if n > FUNCTION_LINES_MAX} == {}


def test_functions_take_few_parameters() -> None:
    counts = {
        f"{name(path)}:{f.name}": len(f.args.posonlyargs + f.args.args + f.args.kwonlyargs)
        - (bool(f.args.args) and f.args.args[0].arg in ("self", "cls"))
        for path in SOURCES
        for f in functions(path)
    }
    over = {function: n for function, n in counts.items() if n > PARAMETERS_MAX}
    assert {f: n for f, n in over.items() if n > PARAMETERS_EXCUSED.get(f, 0)} == {}


def test_no_module_is_a_junk_drawer() -> None:
    parts = {part for path in PYTHON for part in (*path.parent.parts, path.stem)}
    assert parts & REFUSED_NAMES == set()


def test_what_is_public_is_documented() -> None:
    missing = [name(path) for path in SOURCES if not ast.get_docstring(tree(path))]
    missing += [
        f"{name(path)}:{node.name}"
        for path in SOURCES
        for node in definitions(tree(path).body)
        if not ast.get_docstring(node) and node.name not in documented_methods()
    ]
    assert missing == []


def definitions(body: list[ast.stmt]) -> Iterator[Function | ast.ClassDef]:
    """Public functions, classes and their methods."""
    for node in body:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from definitions(node.body)


@cache
def documented_methods() -> frozenset[str]:
    """Methods that a base class or protocol documents once for all that implement it."""
    classes = [n for p in SOURCES for n in ast.walk(tree(p)) if isinstance(n, ast.ClassDef)]
    methods = [m for c in classes for m in c.body if isinstance(m, ast.FunctionDef)]
    return frozenset(m.name for m in methods if ast.get_docstring(m))


def test_every_path_in_the_architecture_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    paths = re.findall(
        r"`((?:src|tests|benchmarks|docs|deploy|console|services|\.ci)/[\w./-]*)`", text
    )
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_command_is_in_the_readme() -> None:
    cli = pytest.importorskip("alcyon.cli", reason="no command line yet")
    readme = (ROOT / "README.md").read_text()
    assert [name for name in cli.COMMANDS if f"alcyon {name}" not in readme] == []


# Written in parts, so that this file does not find itself.
MACHINE_PATHS = re.compile(
    "|".join(("/" + "home/", "/" + "root/", "/" + "Users/", "/" + "work/", r"C:\\" + "Users"))
)


def test_no_file_names_somebodys_machine() -> None:
    found = []
    for path in tracked():
        raw = path.read_bytes()
        if b"\0" in raw[:8192]:
            continue
        lines = raw.decode("utf-8", "replace").splitlines()
        found += [
            f"{name(path)}:{i}" for i, line in enumerate(lines, 1) if MACHINE_PATHS.search(line)
        ]
    assert found == []


def test_direct_dependencies_have_a_lower_bound() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    block = text[text.index("[project]") : text.index("[tool.hatch")]
    loose = re.findall(r'"([a-z][a-z0-9-]*)"', block)
    assert [d for d in loose if d not in ("alcyon",)] == []
