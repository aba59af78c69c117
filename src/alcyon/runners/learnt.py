"""What the learner left in its folder: findings on challengers, and champions that left their band.

Files are named by the event time at which they were made; what cannot be read is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

FILES_MAX = 200
"""The newest so many are looked at."""
_ROLL_BACK = "roll-back"
_DRIFT = "drift.json"


def newest_finding(folder: Path, name: str | None) -> dict[str, Any] | None:
    """The newest finding on a challenger: {model, at} and `learning.promotion.Finding`; None: there
    is none."""
    for at, of, file in _files(folder):
        if of == name and (found := _read(file, "evidence")) is not None:
            return {"model": name, "at": at, **found}
    return None


def drift_found(folder: Path) -> list[dict[str, Any]]:
    """What made champions be rolled back, the newest first: {at} and
    `runners.learner.LeftBand`."""
    return [
        {"at": at, **found}
        for at, of, file in _files(folder)
        if of == _ROLL_BACK and (found := _read(file, "departure")) is not None
    ]


def drift_now(folder: Path) -> dict[str, Any] | None:
    """The last day beside the champion's reference, `learning.live_drift.LiveDrift`; None: not
    told yet, which takes a week of decisions."""
    return _read(folder / _DRIFT, "window")


def _files(folder: Path) -> Iterator[tuple[int, str, Path]]:
    """(event time, what it is on, the file), the newest first."""
    if not folder.is_dir():
        return
    named = [(file.stem.partition("-"), file) for file in folder.glob("*.json")]
    found = [(int(at), of, file) for (at, _, of), file in named if at.isdigit()]
    yield from sorted(found, reverse=True)[:FILES_MAX]


def _read(file: Path, field: str) -> dict[str, Any] | None:
    """What the file holds, as long as it has that field."""
    # Not by its type: the learner's modules need what only learning needs.
    try:
        found = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError):
        return None
    return found if field in found else None
