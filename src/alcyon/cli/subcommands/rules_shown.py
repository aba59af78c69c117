"""`alcyon rules show`, `export` and `check`"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from alcyon.cli.opening.followed import following
from alcyon.cli.showing.options import Detectors, Json, settings
from alcyon.cli.showing.talk import show_json, show_table, tell
from alcyon.detectors.loading import load_detector
from alcyon.domain.errors import InputError
from alcyon.runners.serving.controlling import shown
from alcyon.runners.stream.in_force import InForce
from alcyon.scoring.conduct import rule_scope
from alcyon.scoring.rule_problems import problems_of

WRONG = 1
"""The exit code of `check` where something is wrong."""


def show(*, catalog: Detectors = "card", as_json: Json = False) -> None:
    """Show the rules and lists in force.

    An example:
        alcyon rules show

    Parameters
    ----------
    as_json
        Print all that is in force as JSON.
    """
    with _in_force(catalog) as in_force:
        if as_json:
            show_json(shown(in_force))
            return
        rules, lists = in_force.conduct.rules, in_force.conduct.lists
    header = ["rule", "status", "action", "priority", "name"]
    rows = [[r.id, r.status.value, r.action.value, str(r.priority), r.name] for r in rules.rules]
    show_table(f"rules {rules.version}", header, rows, figures=False)
    entries = sum(map(len, lists.entries.values()))
    tell(f"{len(rules.rules)} rules; {entries} entries on the lists (version {lists.version})")


def export(*, out: Path | None = None, catalog: Detectors = "card") -> None:
    """Write the rules in force as TOML.

    An example:
        alcyon rules export --out rules.toml

    Parameters
    ----------
    out
        The file; stdout otherwise.
    """
    with _in_force(catalog) as in_force:
        text, version = in_force.conduct.rules.to_text(), in_force.conduct.rules.version
    if out is None:
        sys.stdout.write(text)
        return
    try:
        out.write_text(text, "utf-8")
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}") from error
    tell(f"{out}: the rules {version}")


def check(file: Path, /, *, catalog: Detectors = "card", as_json: Json = False) -> int:
    """Say what is wrong with a file of rules.

    Each line names file, line and column, as compilers do. The exit code is 1 where something is
    wrong.

    An example:
        alcyon rules check rules.toml

    Parameters
    ----------
    as_json
        Print the problems as JSON.
    """
    found = problems_of(read_rules(file), rule_scope(load_detector(catalog).catalog))
    if as_json:
        names = ("rule", "line", "column", "problem")
        show_json([{name: getattr(one, name) for name in names} for one in found])
    for one in found:
        tell(f"{file}:{one.line}:{one.column}: {one.problem}")
    tell(f"{file}: {f'{len(found)} problems' if found else 'these rules can take effect'}")
    return WRONG if found else 0


def read_rules(file: Path) -> str:
    """The text of a file. InputError: it cannot be read."""
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error


@contextmanager
def _in_force(catalog: str) -> Iterator[InForce]:
    with closing(following(settings(), load_detector(catalog))) as found:
        yield found.now()
