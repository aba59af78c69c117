"""Sessions: which traffic there was, so that the same can be made again.

Each start of live traffic is a session of its own, since its event times are those of the clock;
traffic at full speed has no clock and goes on where it was. The file is written before the first
transaction of a session is sent: what was sent can always be derived from it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from alcyon.domain.errors import InputError


class Session(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Traffic from one beginning on."""

    start: int
    """Event time of the beginning, UTC ms."""
    rate: float | None
    """Transactions per second; None: as dense as the history."""
    transactions: int | None = None
    """How many it came to; None for the last one, which may go on."""


def read_sessions(file: Path) -> list[Session]:
    """All sessions in order; none if there was no traffic yet."""
    if not file.is_file():
        return []
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[Session])
    except msgspec.DecodeError as error:
        raise InputError(f"{file}: {error}; restore it, the traffic cannot go on") from error


def write_sessions(file: Path, sessions: Sequence[Session]) -> None:
    """Replace the file, all or nothing."""
    written = file.with_suffix(".new")
    with written.open("wb") as open_file:
        open_file.write(msgspec.json.format(msgspec.json.encode(sessions), indent=2) + b"\n")
        open_file.flush()
        os.fsync(open_file.fileno())
    written.replace(file)


def ended(sessions: Sequence[Session], sent: int) -> list[Session]:
    """The sessions with the last one at its end, when `sent` transactions are in the intake."""
    if not sessions:
        return []
    *before, last = sessions
    count = sent - sum(s.transactions or 0 for s in before)
    return [*before, Session(last.start, last.rate, count)]
