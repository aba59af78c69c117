"""Drift between windows: Page-Hinkley (river) on streams of amounts and scores. Its news takes a
number of transactions (amounts that rise by 30 %: 1,700 to 3,500), a window's a part of a day.

A value becomes its rank among the reference's values at the same hours of the same kind of day, so
that neither night nor weekend looks like a change. The mean rank of every `GROUP` transactions, in
units of its usual deviation, goes to the detector: a group swallows a burst of one card.
Page-Hinkley rather than ADWIN because it has a size below which nothing is reported; ADWIN finds
ever smaller differences the longer all is quiet. It is first told that all is as in the reference,
or it would take a stream that differs from its first transaction on for usual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.errors import InputError
from alcyon.learning.drift_profile import Profile, bins_of, stratum_of

if TYPE_CHECKING:
    from river.drift import PageHinkley

GROUP = 50
"""Transactions whose mean rank is one observation."""
MEAN_MIN = 0.5
"""Changes of a group's mean rank up to this many usual deviations are not looked for."""
THRESHOLD = 30.0
"""Page-Hinkley's: how far the sum of deviations beyond `MEAN_MIN` must rise."""
_PRIMING = 500
"""Observations' worth of belief that all is as in the reference."""
_CLIP = 4.0
_EVEN_DEVIATION = 1 / 12**0.5
"""Of one rank, spread evenly over 0 … 1."""


class Change(NamedTuple):
    """A stream that changed."""

    signal: str
    event_time: int
    """UTC ms, of the transaction that settled it."""
    rank: float
    """Mean rank of the newest group; 0.5 is usual."""


class OnlineWatch:
    """One signal of a profile, watched transaction by transaction, in order of arrival.

    Raises InputError where the profile has no such signal or the extra `drift` is missing.
    """

    def __init__(self, profile: Profile, signal: str) -> None:
        if signal not in profile.names:
            raise InputError(f"the profile has no signal {signal}: it has {profile.names}")
        self.signal = signal
        at = profile.names.index(signal)
        self._edges = np.array(profile.signals[at].edges, np.float64)
        counts = np.array(profile.counts, np.int64)[:, at, :]
        self._ranks = _ranks(counts)
        self._deviation = _EVEN_DEVIATION / GROUP**0.5
        self._waiting = np.empty(0)
        self._detector = _detector()

    def add(self, event_time: NDArray[np.int64], values: NDArray[np.floating]) -> list[Change]:
        """event_time int64[n] UTC ms, values [n], NaN where null; changes found, and the detector
        starts anew after each. Nulls are passed over."""
        known = ~np.isnan(values)
        event_time, values = event_time[known], values[known]
        ranks = self._ranks[stratum_of(event_time), bins_of(values, self._edges)]
        before = len(self._waiting)
        ranks = np.concatenate([self._waiting, ranks])
        whole = len(ranks) // GROUP * GROUP
        self._waiting = ranks[whole:]
        changes = []
        for g, rank in enumerate(ranks[:whole].reshape(-1, GROUP).mean(1).tolist(), 1):
            scaled = (rank - 0.5) / self._deviation
            self._detector.update(min(max(scaled, -_CLIP), _CLIP))
            if self._detector.drift_detected:
                at = int(event_time[g * GROUP - before - 1])
                changes.append(Change(self.signal, at, rank))
                self._detector = _detector()
        return changes


def _ranks(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[STRATA, B]: the share of the stratum's values below the bin and half of those in
    it, null aside; by the whole reference where the stratum has none."""
    known = counts.copy()
    known[:, 0] = 0
    pooled = known.sum(0, keepdims=True)
    known = np.where(known.sum(1, keepdims=True) > 0, known, pooled)
    total = np.maximum(known.sum(1, keepdims=True), 1)
    ranks: NDArray[np.float64] = (np.cumsum(known, 1) - known / 2) / total
    return ranks


def _detector() -> PageHinkley:
    try:
        from river.drift import PageHinkley
    except ImportError as error:
        raise InputError("watching streams needs an extra: install alcyon[drift]") from error
    detector = PageHinkley(delta=MEAN_MIN, threshold=THRESHOLD, alpha=1.0)
    for _ in range(_PRIMING):
        detector.update(0.0)
    return detector
