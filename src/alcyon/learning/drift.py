"""Drift: what differs from a profile by more than its own days do from each other.

Of every window (the last day, looked at each quarter of a day) and signal, PSI and KS are compared
with what is usual between days of the reference: their ratio follows an F distribution if nothing
changed. A finding needs a chance below `ALARMS_PER_DAY` shared out over all comparisons of a day
(Bonferroni), and a size that matters (with enough rows anything is significant) whichever quarter
of the day is left out: an attack that comes and goes within hours is for the detector, not drift.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from alcyon.learning.drift_profile import (
    BLOCK_MS,
    DAY_MS,
    ROWS_MIN,
    Counts,
    Profile,
    Usual,
    counted,
    distances,
    stratum_of,
)

ALARMS_PER_DAY = 1e-4
"""Alarms that chance alone may raise in a day, over all signals."""
PSI_MIN, KS_MIN = 0.02, 0.05
"""Differences that matter: PSI beyond the usual, or KS. Amounts that rise by 30 % reach 0.04 and
0.08."""
PSI_MODERATE, PSI_MAJOR = 0.1, 0.25
"""The customary bounds, for PSI beyond the usual."""

AMOUNT, SCORE = "amount_base_minor", "log_odds"
"""Signals beside the features: the amount, and the model's score."""

Severity = Literal["minor", "moderate", "major"]


class Finding(msgspec.Struct, frozen=True):
    """One signal that differs in one window."""

    signal: str
    severity: Severity
    psi: float
    psi_usual: float
    """PSI to be expected of a day that shares no memory with the reference, at the window's number
    of rows."""
    ks: float
    ks_usual: float
    chance: float
    """Of so large a distance, PSI's or KS's, if nothing changed."""
    matters: bool
    """Whether it is large enough, whichever quarter of the day is left out."""


class Window(msgspec.Struct, frozen=True):
    """Event times [start, stop), UTC ms, and what was found there."""

    start: int
    stop: int
    rows: int
    comparisons: tuple[Finding, ...]
    """All signals in the profile's order, as they would be reported."""
    findings: tuple[Finding, ...]
    """Those that are drift, the largest first."""


class DriftWatch:
    """Windows of a stream against a profile. Call `add` with batches as they were scored, in about
    their order, and `finish` at the end of a file."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._edges = tuple(np.array(signal.edges, np.float64) for signal in profile.signals)
        self._reference = np.array(profile.counts, np.int64)
        self._blocks: deque[tuple[int, Counts]] = deque()

    def add(self, event_time: NDArray[np.int64], values: NDArray[np.floating]) -> list[Window]:
        """event_time int64[n] UTC ms, values [n, K] in the profile's order, NaN where null; the
        windows that end before the newest event and were not judged yet.

        An event older than the newest quarter of a day counts in that quarter, by its own hours.
        """
        judged: list[Window] = []
        block = np.maximum.accumulate(event_time // BLOCK_MS) if len(event_time) else event_time
        for number in np.unique(block).tolist():
            rows = np.flatnonzero(block == number)
            if self._blocks and number > self._blocks[-1][0]:
                judged += self.finish()
            found = counted(self._edges, values[rows], stratum_of(event_time[rows]))
            self._take(number, found)
        return judged

    def finish(self) -> list[Window]:
        """Judge the day up to now; no window where it has too few rows."""
        if not self._blocks:
            return []
        newest = self._blocks[-1][0]
        while self._blocks[0][0] <= newest - DAY_MS // BLOCK_MS:
            self._blocks.popleft()
        blocks = [counts for _, counts in self._blocks]
        rows = sum(int(block[:, 0].sum()) for block in blocks)
        if rows < ROWS_MIN:
            return []
        start, stop = (newest + 1) * BLOCK_MS - DAY_MS, (newest + 1) * BLOCK_MS
        comparisons = compared(self._profile, blocks, self._reference)
        return [Window(start, stop, rows, comparisons, drifted(comparisons))]

    def _take(self, number: int, counts: Counts) -> None:
        if self._blocks and number <= self._blocks[-1][0]:
            newest, before = self._blocks.pop()
            number, counts = newest, before + counts
        self._blocks.append((number, counts))


def compared(profile: Profile, blocks: list[Counts], reference: Counts) -> tuple[Finding, ...]:
    """Every signal of the window of these quarters of a day, whether it drifted or not."""
    whole: Counts = np.sum(blocks, axis=0)
    rows = int(whole[:, 0].sum())
    found = distances(whole, reference)
    matters = np.all([_matters(profile, whole - block, reference) for block in blocks], axis=0)
    findings = []
    for k, signal in enumerate(profile.signals):
        psi, ks = float(found.psi[k]), float(found.ks[k])
        chance = min(_chance(psi * rows, signal.psi), _chance(ks**2 * rows, signal.ks))
        usual = signal.psi.mean / rows
        ks_usual = (signal.ks.mean / rows) ** 0.5
        severity, lasts = severity_of(psi - usual), bool(matters[k])
        findings.append(Finding(signal.name, severity, psi, usual, ks, ks_usual, chance, lasts))
    return tuple(findings)


def _matters(profile: Profile, rest: Counts, reference: Counts) -> NDArray[np.bool_]:
    """bool[K]: whether the distance is large enough in what is left of a window."""
    rows = int(rest[:, 0].sum())
    if rows == 0:
        return np.zeros(len(profile.signals), np.bool_)
    found = distances(rest, reference)
    psi = np.array([signal.psi.mean for signal in profile.signals]) / rows
    ks = np.sqrt(np.array([signal.ks.mean for signal in profile.signals]) / rows)
    large: NDArray[np.bool_] = (found.psi - psi >= PSI_MIN) | (found.ks - ks >= KS_MIN)
    return large


def drifted(comparisons: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Those that matter and are too unlikely for chance, the largest first."""
    tests = 2 * len(comparisons) * DAY_MS // BLOCK_MS
    found = [c for c in comparisons if c.matters and c.chance < ALARMS_PER_DAY / tests]
    return tuple(sorted(found, key=lambda c: c.psi_usual - c.psi))


def severity_of(excess: float) -> Severity:
    """Of PSI beyond the usual.

    >>> [severity_of(excess) for excess in (0.04, 0.1, 0.3)]
    ['minor', 'moderate', 'major']
    """
    if excess >= PSI_MAJOR:
        return "major"
    return "moderate" if excess >= PSI_MODERATE else "minor"


def _chance(distance: float, usual: Usual) -> float:
    """P(F > ratio): the mean of few days, which resemble each other, is itself uncertain."""
    if usual.mean <= 0:
        return 0.0 if distance > 1.0 else 1.0
    ratio = distance / usual.mean
    return float(fdtrc(usual.freedom, usual.freedom * usual.days, ratio))
