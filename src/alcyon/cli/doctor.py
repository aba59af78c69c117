"""`alcyon doctor`"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alcyon.cli.showing.options import Detectors, Json, settings
from alcyon.cli.showing.talk import show_json, tell_error
from alcyon.cli.subcommands.doctor_servers import servers
from alcyon.cli.subcommands.doctor_state import decides
from alcyon.detectors.loading import load_detector
from alcyon.domain.errors import AlcyonError, InputError
from alcyon.runners.care.diagnosis import Check, State, failed, machine
from alcyon.runners.care.diagnosis import model as check_model

if TYPE_CHECKING:
    from alcyon.settings import Settings

NOT_READY = 1
_PASSWORD = re.compile(r"://[^/\s@]*@")
_STYLES = {State.FINE: "green", State.WARNING: "yellow", State.WRONG: "bold red"}


class Diagnosis(msgspec.Struct, frozen=True):
    """What `--json` prints and `--out` writes."""

    is_ready: bool
    checks: list[Check]


def doctor(
    *,
    model: Path | None = None,
    catalog: Detectors = "card",
    as_json: Json = False,
    out: Path | None = None,
) -> int:
    """Say whether this machine is ready, and what to do where it is not.

    The servers that the settings name are asked too, and a probe payment is decided by what is in
    force, in this process and over an empty state: nothing is changed anywhere. The exit code is 0
    when it is ready, otherwise 1.

    An example:
        alcyon doctor --model m

    Parameters
    ----------
    model
        The folder of the model that is to decide.
    as_json
        Print the findings as JSON.
    out
        Write the findings to this file too, as JSON.
    """
    checks = _checks(catalog, model)
    wrong = [check.name for check in checks if check.state is State.WRONG]
    found = Diagnosis(not wrong, checks)
    if out is not None:
        _write(out, found)
    if as_json:
        show_json(found)
    else:
        _show(checks)
    if wrong:
        tell_error(f"not ready: {', '.join(wrong)}")
    return NOT_READY if wrong else 0


def _checks(catalog: str, model: Path | None) -> list[Check]:
    checks, set_to = _settings()
    if set_to is not None:
        checks += [*machine(set_to.home), *servers(set_to)]
    try:
        detector = load_detector(catalog)
    except AlcyonError as error:
        return [*checks, failed("catalog", error)]
    names = f"{len(detector.catalog.names)} features"
    checks.append(Check("catalog", State.FINE, f"{catalog}: {names}, hash {detector.catalog.hash}"))
    if model is not None:
        checks += check_model(model, detector.catalog)
    return checks if set_to is None else [*checks, *decides(set_to, detector, model)]


def _settings() -> tuple[list[Check], Settings | None]:
    """The settings, secrets masked."""
    try:
        set_to = settings()
    except AlcyonError as error:
        return [failed("settings", error)], None
    found = set_to.model_dump(mode="json", exclude={"home"}, exclude_defaults=True)
    shown = _PASSWORD.sub("://…@", _flat(found)) or "all as they come"
    return [Check("settings", State.FINE, shown)], set_to


def _flat(section: dict[str, object], prefix: str = "") -> str:
    parts = []
    for name, value in section.items():
        if isinstance(value, dict):
            parts.append(_flat(value, f"{prefix}{name}."))
        else:
            parts.append(f"{prefix}{name}={value}")
    return " ".join(parts)


def _show(checks: list[Check]) -> None:
    table = Table("", "state", "found", show_lines=False)
    for check in checks:
        state = Text(check.state.value, _STYLES[check.state])
        table.add_row(check.name, state, Text(check.found, overflow="fold"))
    # A file or a pipe gets all the width it needs.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _write(out: Path, found: Diagnosis) -> None:
    try:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    except OSError as error:
        raise InputError(f"{out}: {error.strerror}: name another file with --out") from error
