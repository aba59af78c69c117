"""`alcyon doctor`"""

from __future__ import annotations

from pathlib import Path

import msgspec

from alcyon.cli.options import Detectors, Json, settings
from alcyon.cli.talk import show_json, show_table, tell_error
from alcyon.detectors.loading import load_detector
from alcyon.domain.errors import AlcyonError
from alcyon.runners.diagnosis import Check, State, failed, machine
from alcyon.runners.diagnosis import model as check_model

NOT_READY = 1


class Diagnosis(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    is_ready: bool
    checks: list[Check]


def doctor(*, model: Path | None = None, catalog: Detectors = "card", as_json: Json = False) -> int:
    """Say whether this machine is ready, and what to do where it is not.

    The exit code is 0 when it is ready, otherwise 1.

    An example:
        alcyon doctor --model m

    Parameters
    ----------
    model
        The folder of the model that is to decide.
    as_json
        Print the findings as JSON.
    """
    checks = _settings() + _detector(catalog, model)
    is_ready = all(check.state is not State.WRONG for check in checks)
    if as_json:
        show_json(Diagnosis(is_ready, checks))
    else:
        rows = [[check.name, check.state.value, check.found] for check in checks]
        show_table(None, ["", "state", "found"], rows, figures=False)
    if not is_ready:
        wrong = [check.name for check in checks if check.state is State.WRONG]
        tell_error(f"not ready: {', '.join(wrong)}")
    return 0 if is_ready else NOT_READY


def _settings() -> list[Check]:
    """The settings, secrets masked, and the machine with the data folder they name."""
    try:
        set_to = settings()
    except AlcyonError as error:
        return [failed("settings", error)]
    found = set_to.model_dump(mode="json", exclude={"home"})
    return [Check("settings", State.FINE, _flat(found)), *machine(set_to.home)]


def _flat(section: dict[str, object], prefix: str = "") -> str:
    parts = []
    for name, value in section.items():
        if isinstance(value, dict):
            parts.append(_flat(value, f"{prefix}{name}."))
        else:
            parts.append(f"{prefix}{name}={value}")
    return " ".join(parts)


def _detector(catalog: str, model: Path | None) -> list[Check]:
    try:
        detector = load_detector(catalog)
    except AlcyonError as error:
        return [failed("catalog", error)]
    found = f"{catalog}: {len(detector.catalog.names)} features, hash {detector.catalog.hash}"
    checks = [Check("catalog", State.FINE, found)]
    return checks if model is None else [*checks, *check_model(model, detector.catalog)]
