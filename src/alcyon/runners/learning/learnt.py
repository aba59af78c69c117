"""What the learner left: in its folder findings on challengers and champions that left their band,
in the registry the move that it is about.

Files are named by the event time at which they were made; what cannot be read is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from alcyon.domain.errors import ConflictError
from alcyon.domain.moves import Move, MoveState, winners
from alcyon.domain.ports import ModelRegistry

LEARNER = "alcyon learn"
"""Who its moves are by."""
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


def begun_by_learner(registry: ModelRegistry, alias: str, model: str) -> Move:
    """The learner's move of the alias to this model. ConflictError: none is under way."""
    won = winners(registry.moves(alias))
    if won and won[-1].state is MoveState.UNDER_WAY:
        wanted = won[-1].wanted
        if wanted.model == model and wanted.by.startswith(LEARNER):
            return won[-1]
    raise ConflictError(
        f"alcyon learn is not moving the {alias} to {model[:64]} in this registry: it begins a "
        "move there, in the home of alcyon serve, before it tells"
    )


def check_approved(folder: Path, approval: Path | None, model: str) -> None:
    """ConflictError unless the learner found, upon the approval that stands now, that this model
    may be promoted; see `learning.promotion.find`."""
    found = newest_finding(folder, model)
    stands = None if approval is None else _read(approval, "expires_at")
    if (
        found is None or stands is None or found["promote"] is not True
        or found["approval"] != stands or not _covers(stands, found["at"])
    ):  # fmt: skip
        raise ConflictError(
            f"no standing approval covers {model[:64]}: set learn.approval for alcyon serve as for "
            "alcyon learn, or let a second person approve it (alcyon models promote)"
        )


def _covers(approval: dict[str, Any], at: int) -> bool:
    return bool(approval["given_at"] <= at < approval["expires_at"])


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
