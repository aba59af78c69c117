"""Looks through a file before it is used: how many rows there are, and how many would be late.

Files have no clock: one event time far in the future would move the front there and make all that
follows late. So the order is looked at first, and the row that moved the front is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import NULL_INT, Batch, ColumnType
from alcyon.domain.errors import InputError
from alcyon.domain.transaction import EVENT_TIME_MAX, EVENT_TIME_MIN
from alcyon.domain.validation import validate
from alcyon.io.files import read, read_transactions

LATE_SHARE_MAX = 0.01
"""More late rows than this are taken for a mistake in the file."""
_NO_FRONT = 0
"""Below every accepted event time."""
_GLANCE = {"event_time": ColumnType.INT, "currency": ColumnType.STRING}
"""The columns of a first look; JSON lines are read with a string column at least."""


@dataclass
class Order:
    """What the order of a file would do; rows count from 1."""

    lateness_max_ms: int
    front: int = _NO_FRONT
    rows: int = 0
    late: int = 0
    _blamed: Counter[tuple[int, int]] = field(default_factory=Counter)
    _mover: tuple[int, int] = (0, _NO_FRONT)

    def add(self, times: NDArray[np.int64]) -> None:
        """The next rows' event times; NULL_INT where a row will not be accepted."""
        fronts = np.maximum.accumulate(np.concatenate([[self.front], times]))
        before, raises = fronts[:-1], times > fronts[:-1]
        late = np.flatnonzero((times != NULL_INT) & (times < before - self.lateness_max_ms))
        place = np.maximum.accumulate(np.where(raises, np.arange(len(times)), -1))
        for at, count in zip(*np.unique(place[late], return_counts=True), strict=True):
            mover = self._mover if at < 0 else (self.rows + int(at) + 1, int(times[at]))
            self._blamed[mover] += int(count)
        if len(times) and place[-1] >= 0:
            self._mover = (self.rows + int(place[-1]) + 1, int(times[place[-1]]))
        self.front = int(fronts[-1])
        self.rows += len(times)
        self.late += len(late)

    @property
    def is_doubtful(self) -> bool:
        """Whether more rows would be late than a file in order can have."""
        return self.late > LATE_SHARE_MAX * self.rows

    def complaint(self) -> str:
        """Names the row that made most of the others late."""
        (row, time), _ = self._blamed.most_common(1)[0]
        cause = "the snapshot has" if row == 0 else f"row {row} has"
        at = datetime.fromtimestamp((time or self.front) / 1000, UTC)
        return (
            f"{self.late:,} of {self.rows:,} rows would be late: {cause} event time "
            f"{at:%Y-%m-%dT%H:%M:%SZ} and moved the front there; sort the rows by arrival, "
            "correct that row, or give --allow-late"
        )


def count_rows(path: Path, lateness_max_ms: int, front: int | None, allow_late: bool) -> int:
    """How many rows `path` has; InputError if more than `LATE_SHARE_MAX` of them would be late.

    front: where a snapshot's front stands.
    """
    order = _order(_times_only(path), lateness_max_ms, front)
    if order.is_doubtful and not allow_late:
        # Only accepted rows move the front, and to know which those are takes a closer look.
        order = _order(map(_accepted_times, read_transactions(path)), lateness_max_ms, front)
        if order.is_doubtful:
            raise InputError(f"{path}: {order.complaint()}")
    return order.rows


def _order(times: Iterable[NDArray[np.int64]], lateness_max_ms: int, front: int | None) -> Order:
    order = Order(lateness_max_ms, _NO_FRONT if front is None else front)
    for part in times:
        order.add(part)
    return order


def _times_only(path: Path) -> Iterable[NDArray[np.int64]]:
    slices = read(path, _GLANCE, frozenset({"event_time"}))
    first = next(slices)
    return map(_times, chain((first,), slices))


def _times(batch: Batch) -> NDArray[np.int64]:
    if "event_time" not in batch:
        return np.full(len(batch), NULL_INT, np.int64)
    times = np.asarray(batch.numbers("event_time"), np.int64)
    return np.where((times >= EVENT_TIME_MIN) & (times < EVENT_TIME_MAX), times, NULL_INT)


def _accepted_times(batch: Batch) -> NDArray[np.int64]:
    return np.where(validate(batch).accepted, _times(batch), NULL_INT)
