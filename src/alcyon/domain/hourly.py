"""Roll-ups: decisions counted by hour of event time, so that statistics never scan them. Stores add
the hours up by day, too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, starmap
from operator import attrgetter

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import NULL_INT, Batch
from alcyon.domain.projected import DecisionRow, Projected

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_HALF_BITS = 32

Key = tuple[int, str, str, str, str, str]
"""The values of a `Cell`."""


class Cell(msgspec.Struct, frozen=True, order=True):
    """What decisions are counted by."""

    hour_ms: int
    """The beginning of a UTC hour of event time."""
    country: str
    """The transaction's; `''` where it has none."""
    category: str
    """The merchant's; `''` where there is none."""
    action: str
    reason: str
    """`reason_shown`; `score` for most that are approved."""
    model: str
    """The model's version."""


class Hourly(msgspec.Struct, frozen=True, order=True):
    """The decisions of one cell. Any sum over cells is exact, too."""

    cell: Cell
    decision_count: int
    amount_base_minor_sum: int
    """In minor units of the base currency; an amount without a rate adds nothing."""


def hourly(projected: Projected) -> list[Hourly]:
    """The cells that these decisions fall into, in order."""
    places: dict[Key, int] = {}
    rows, amounts, start = [], [np.empty(0, np.int64)], 0
    for batch in projected.transactions:
        decisions = projected.decisions[start : start + len(batch)]
        start += len(batch)
        rows += [places.setdefault(key, len(places)) for key in _keys(decisions, batch)]
        amounts.append(_amounts(batch))
    place = np.array(rows, np.int64)
    counts = np.bincount(place, minlength=len(places)).tolist()
    sums = _sums(place, np.concatenate(amounts), len(places))
    return sorted(map(Hourly, starmap(Cell, places), counts, sums))


def _keys(decisions: Sequence[DecisionRow], batch: Batch) -> Iterator[Key]:
    times = np.asarray(batch.numbers("event_time"), np.int64)
    models: list[str] = []
    for _, run in groupby(decisions, key=attrgetter("versions")):
        part = list(run)
        models += [part[0].versions_named().model] * len(part)
    return zip(
        (times // HOUR_MS * HOUR_MS).tolist(),
        _words(batch, "country"),
        _words(batch, "category"),
        [decision.action for decision in decisions],
        [decision.reason_shown() for decision in decisions],
        models,
        strict=True,
    )


def _words(batch: Batch, name: str) -> Sequence[str]:
    if name not in batch:
        return [""] * len(batch)
    return [word or "" for word in batch.strings(name).to_list()]


def _amounts(batch: Batch) -> NDArray[np.int64]:
    if "amount_base_minor" not in batch:
        return np.zeros(len(batch), np.int64)
    amounts = np.asarray(batch.numbers("amount_base_minor"), np.int64)
    return np.where(amounts == NULL_INT, 0, amounts)


def _sums(place: NDArray[np.int64], amounts: NDArray[np.int64], n: int) -> list[int]:
    """Exact: a float64 holds the sum of either half of two million amounts."""
    high = np.bincount(place, amounts >> _HALF_BITS, n).tolist()
    low = np.bincount(place, amounts & (2**_HALF_BITS - 1), n).tolist()
    return [(int(h) << _HALF_BITS) + int(part) for h, part in zip(high, low, strict=True)]
