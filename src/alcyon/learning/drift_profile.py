"""A profile: how signals (features, score, amount, labels) used to be spread, and how much that
varied from one day to the next.

Rows are counted by *stratum* (working day or weekend × quarter of the day, UTC) and bin, so that
a night is compared with nights and a Sunday with weekends. Bins are quantiles of the reference,
null a bin of its own. How far single days of the reference lie from its other days says what is
usual: payments of a card come together, attacks come in bursts, and a distance that independent
rows would never reach is nothing new.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.errors import InputError

DAY_MS = 86_400_000
BLOCK_MS = DAY_MS // 4
"""A quarter of a day: the smallest unit that is counted."""
STRATA = 8
BINS = 20
"""Quantile bins of a signal; fewer where its values repeat."""
DAYS_MIN = 7
"""Fewest days of a reference that have enough rows."""
ROWS_MIN = 100
"""Fewest rows of a day, or of a window, that is judged."""
_POOLED_ROWS = 20.0
"""Rows of the whole reference that are added to each stratum's own, so that none is empty."""
_PRIOR_ROWS = 5.0
"""Rows added to a window in the shares that are expected: one row in a rare bin is no news."""

Counts = NDArray[np.int64]
"""int64[STRATA, K, B]: rows by stratum, signal and bin; bin 0 is null."""


class Usual(msgspec.Struct, frozen=True):
    """How far the reference's own days lie from its other days, for one measure of one signal."""

    mean: float
    """Of rows × distance, for a day that shares nothing with the reference's."""
    freedom: float
    """Degrees of freedom of the chi-square of that mean and variance."""
    days: float
    """Independent days that say as much of the mean as the reference's, which may be alike."""


class Signal(msgspec.Struct, frozen=True):
    """One signal of a profile."""

    name: str
    edges: tuple[float, ...]
    """Rising; a value v is in bin 1 + (how many edges are ≤ v)."""
    psi: Usual
    ks: Usual


class Profile(msgspec.Struct, frozen=True):
    """What windows are compared with. Plain data: `msgspec.json` keeps it."""

    signals: tuple[Signal, ...]
    counts: tuple[tuple[tuple[int, ...], ...], ...]
    """[STRATA][K][B], as `Counts`."""
    start: int
    stop: int
    """Event times [start, stop), UTC ms, and rows of the reference."""
    rows: int

    @property
    def names(self) -> tuple[str, ...]:
        """The signals in order."""
        return tuple(signal.name for signal in self.signals)


@dataclass(frozen=True, eq=False)
class Distances:
    """How far counts lie from a reference.

    psi: float64[K], Σ (p − q) ln(p / q); ks: float64[K], the largest difference of cumulative
    shares at the edges of bins; residuals: float64[K, B], (p − q) / √q.
    """

    psi: NDArray[np.float64]
    ks: NDArray[np.float64]
    residuals: NDArray[np.float64]


def stratum_of(event_time: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[n] in 0 … STRATA − 1: quarter of the day, plus 4 at the weekend.

    >>> stratum_of(np.array([1_735_689_600_000, 1_736_013_600_000])).tolist()
    [0, 7]
    """
    weekday = (event_time // DAY_MS + 3) % 7
    quarter: NDArray[np.int64] = event_time % DAY_MS // BLOCK_MS
    return np.where(weekday >= 5, quarter + 4, quarter)


def bins_of(values: NDArray[np.floating], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """int64[n]: the bin of each value; NaN is in bin 0."""
    found = 1 + np.searchsorted(edges, values, side="right")
    return np.where(np.isnan(values), 0, found)


def counted(
    signals: tuple[NDArray[np.float64], ...],
    values: NDArray[np.floating],
    strata: NDArray[np.int64],
) -> Counts:
    """Counts of values [n, K] by the K signals' edges, and by stratum int64[n]."""
    width = max(len(edges) for edges in signals) + 2
    counts = np.zeros((STRATA, len(signals), width), np.int64)
    for k, edges in enumerate(signals):
        cells = strata * width + bins_of(values[:, k], edges)
        counts[:, k, :] = np.bincount(cells, minlength=STRATA * width).reshape(STRATA, width)
    return counts


def distances(window: Counts, reference: Counts) -> Distances:
    """Of a window to what the reference has at the same hours of the same kind of day."""
    pooled = reference.sum(0) / max(int(reference[:, 0].sum()), 1)
    by_stratum = reference.sum(2, keepdims=True)
    share = (reference + _POOLED_ROWS * pooled) / (by_stratum + _POOLED_ROWS)
    weight = window.sum(2)[:, :1, None] / max(int(window[:, 0].sum()), 1)
    expected = (share * weight).sum(0)
    # A bin that the reference never had is rare, not impossible.
    seen = (window.sum(0) > 0) | (pooled > 0)
    least = np.where(seen, 0.5 / max(int(reference[:, 0].sum()), 1), 0.0)
    expected = np.maximum(expected, least)
    expected /= expected.sum(1, keepdims=True)
    rows = window.sum((0, 2))[:, None]
    found = (window.sum(0) + _PRIOR_ROWS * expected) / (rows + _PRIOR_ROWS)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(expected > 0, (found - expected) * np.log(found / expected), 0.0)
    difference = found - expected
    return Distances(
        psi=terms.sum(1),
        ks=np.abs(np.cumsum(difference, 1)[:, :-1]).max(1, initial=0.0),
        residuals=difference / np.sqrt(np.maximum(expected, 1e-3)),
    )


def profile_of(
    signals: Mapping[str, NDArray[np.floating]], event_time: NDArray[np.int64]
) -> Profile:
    """The profile of a reference: values float[n] by name of signal, event_time int64[n] UTC ms.

    InputError unless `DAYS_MIN` of its days have `ROWS_MIN` rows.
    """
    values = np.column_stack([np.asarray(column, np.float64) for column in signals.values()])
    edges = tuple(_edges(values[:, k]) for k in range(values.shape[1]))
    days = _days(values, event_time, edges)
    if len(days) < DAYS_MIN:
        raise InputError(
            f"the reference has {len(days)} days of {ROWS_MIN} transactions or more, at least "
            f"{DAYS_MIN} are needed to know how much a day differs from another; give more days"
        )
    whole = counted(edges, values, stratum_of(event_time))
    psi, ks = _usual(days, whole, edges)
    named = zip(signals, edges, psi, ks, strict=True)
    return Profile(
        signals=tuple(Signal(n, tuple(e.tolist()), p, k) for n, e, p, k in named),
        counts=tuple(tuple(tuple(row) for row in part) for part in whole.tolist()),
        start=int(event_time.min()),
        stop=int(event_time.max()) + 1,
        rows=len(event_time),
    )


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles; one that repeats is a value of many rows and has a bin to itself."""
    known = values[~np.isnan(values)]
    if not len(known):
        return np.empty(0)
    edges, times = np.unique(np.quantile(known, np.arange(1, BINS) / BINS), return_counts=True)
    return np.unique(np.concatenate([edges, np.nextafter(edges[times > 1], np.inf)]))


def _days(
    values: NDArray[np.float64],
    event_time: NDArray[np.int64],
    edges: tuple[NDArray[np.float64], ...],
) -> list[Counts]:
    """The counts of each day with enough rows, in order."""
    order = np.argsort(event_time, kind="stable")
    day = event_time[order] // DAY_MS
    starts = np.flatnonzero(np.diff(day, prepend=-1))
    parts = [rows for rows in np.split(order, starts[1:]) if len(rows) >= ROWS_MIN]
    return [counted(edges, values[rows], stratum_of(event_time[rows])) for rows in parts]


def _usual(
    days: list[Counts], whole: Counts, edges: tuple[NDArray[np.float64], ...]
) -> tuple[list[Usual], list[Usual]]:
    """What is usual of PSI and of squared KS, by signal: each day against all other days."""
    found = [distances(day, whole - day) for day in days]
    rows = np.array([day[:, 0].sum() for day in days], np.float64)[:, None]
    psi = np.array([d.psi for d in found]) * rows
    ks = np.square(np.array([d.ks for d in found])) * rows
    residuals = np.array([d.residuals for d in found]) * np.sqrt(rows)[:, :, None]
    memory = [_memory(residuals[:, k]) for k in range(len(edges))]
    freedom = [len(e) + 1.0 for e in edges]
    return (
        [_of(psi[:, k], freedom[k], memory[k]) for k in range(len(edges))],
        [_of(ks[:, k], freedom[k], memory[k]) for k in range(len(edges))],
    )


def _of(distance: NDArray[np.float64], freedom_max: float, memory: _Memory) -> Usual:
    """Satterthwaite's chi-square: the one with the mean and variance of the days' distances."""
    days = len(distance)
    mean, variance = float(distance.mean()), float(distance.var(ddof=1))
    if mean <= 0:
        return Usual(0.0, 1.0, memory.days)
    # Days that are alike vary less among themselves than days do.
    variance /= 1 - (days / memory.days - 1) / (days - 1)
    freedom = min(2 * mean**2 / variance, freedom_max) if variance > 0 else freedom_max
    return Usual(mean * memory.further, max(freedom, 1.0), memory.days)


class _Memory(NamedTuple):
    """What follows from days that resemble their neighbours."""

    further: float
    """How much further than the reference's days a day lies that shares nothing with them."""
    days: float
    """How many independent days say as much."""


def _memory(residuals: NDArray[np.float64]) -> _Memory:
    """Of one signal's residuals [D, B], days in order.

    A day is part noise, new each day, and part memory: what a window of weeks tells of a card is
    nearly the same tomorrow. Of memory the reference's days share the most, so they lie near each
    other, and a later day, which shares nothing with them, does not. Its share s is read from how
    much a day resembles the next, with correlations between days i and j of
    (1 − s) [i = j] + s max(0, 1 − |i − j| / D): those of a window as long as the reference. In a
    longer one days drift apart more slowly, and for as long again as the reference it is the same.
    """
    days = len(residuals)
    apart = np.abs(np.subtract.outer(np.arange(days), np.arange(days)))
    leave_out = np.eye(days) - (1 - np.eye(days)) / (days - 1)
    noise = leave_out @ leave_out.T
    remembered = leave_out @ (1 - apart / days) @ leave_out.T
    size = max(float(np.square(residuals).sum()) / days, 1e-12)
    v0, v1 = np.trace(noise) / days, np.trace(remembered) / days
    l0, l1 = (np.trace(of, 1) / (days - 1) for of in (noise, remembered))
    r = float((residuals[1:] * residuals[:-1]).sum()) / (days - 1) / size
    r = min(max(r, l0 / v0), l1 / v1)
    # What s makes of r: r (v₀ + s (v₁ − v₀)) = l₀ + s (l₁ − l₀).
    s = float((r * v0 - l0) / (l1 - l0 - r * (v1 - v0)))
    together = (1 - s) * noise + s * remembered
    inside = float(np.trace(together)) / days
    outside = (1 - s) * (1 + 1 / days) + s * (1 + float((1 - apart / days).mean()))
    alike = float(np.trace(together)) ** 2 / float(np.square(together).sum())
    return _Memory(outside / inside, alike)
