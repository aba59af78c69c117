"""Live drift: the last day of what is decided, beside what was decided before the champion began.

The reference is as near as a log comes to what the champion learnt from: the four weeks before its
first decision, or where the log does not reach back so far, the first two weeks of it.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.decision import CERTAIN_PPM
from alcyon.domain.errors import InputError
from alcyon.learning.drift import AMOUNT, SCORE, DriftWatch, Window
from alcyon.learning.drift_profile import BLOCK_MS, DAY_MS, DAYS_MIN, profile_of
from alcyon.learning.history import UNSCORED, Recorded

REFERENCE_MS, FIRST_MS = 28 * DAY_MS, 14 * DAY_MS
ROWS_MAX = 200_000
"""Rows of the reference that are looked at, evenly among all: enough for bins of 5 %."""


class LiveDrift(msgspec.Struct, frozen=True):
    """What was found of the day that ended at `window.stop`."""

    champion: str
    reference_start: int
    reference_stop: int
    """Event times [start, stop), UTC ms."""
    reference_rows: int
    window: Window


def live_drift(
    decided: Recorded, feature_names: tuple[str, ...], champion: bytes, since: int
) -> LiveDrift:
    """The last whole quarters of a day, a day's worth, beside the reference.

    since: event time of the champion's first decision. InputError: there are too few days, or too
    few payments in the last.
    """
    times = decided.event_time
    stop = int(times.max(initial=0)) // BLOCK_MS * BLOCK_MS
    begin = int(times.min(initial=stop))
    is_long = since - begin >= DAYS_MIN * DAY_MS
    until = min(since if is_long else begin + FIRST_MS, stop - DAY_MS)
    before = np.flatnonzero((times < until) & (times >= until - REFERENCE_MS))
    before = before[:: max(1, -(-len(before) // ROWS_MAX))]
    now = np.flatnonzero((times >= stop - DAY_MS) & (times < stop))
    values = decided.features.astype(np.float64, copy=False)
    named = {name: values[:, k] for k, name in enumerate(feature_names)}
    named[AMOUNT] = decided.amount_minor.astype(np.float64)
    window = _judged(named, times, before, now)
    if window is None:
        raise InputError(f"{len(now)} payments within the last day are too few to tell drift by")
    window = _with_score(window, _log_odds(decided, champion), times, before, now)
    start = int(times[before].min())
    return LiveDrift(champion.decode(), start, until, len(before), window)


def _judged(
    signals: dict[str, NDArray[np.float64]],
    times: NDArray[np.int64],
    before: NDArray[np.int64],
    now: NDArray[np.int64],
) -> Window | None:
    profile = profile_of({name: values[before] for name, values in signals.items()}, times[before])
    watch = DriftWatch(profile)
    watch.add(times[now], np.column_stack([values[now] for values in signals.values()]))
    return next(iter(watch.finish()), None)


def _with_score(
    window: Window,
    score: NDArray[np.float64],
    times: NDArray[np.int64],
    before: NDArray[np.int64],
    now: NDArray[np.int64],
) -> Window:
    """Of payments that the champion scored; as it was where it scored too few of the reference."""
    is_known = ~np.isnan(score)
    before, now = before[is_known[before]], now[is_known[now]]
    try:
        of_score = _judged({SCORE: score}, times, before, now)
    except InputError:
        return window
    if of_score is None:
        return window
    return msgspec.structs.replace(
        window,
        comparisons=(*window.comparisons, *of_score.comparisons),
        findings=(*window.findings, *of_score.findings),
    )


def _log_odds(decided: Recorded, champion: bytes) -> NDArray[np.float64]:
    """float64[n], NaN where it did not score: before it was promoted it did so as a challenger."""
    as_challenger = np.where(decided.challenger == champion, decided.challenger_ppm, UNSCORED)
    ppm = np.where(decided.champion == champion, decided.champion_ppm, as_challenger)
    share = np.clip(ppm, 1, CERTAIN_PPM - 1) / CERTAIN_PPM
    return np.where(ppm == UNSCORED, np.nan, np.log(share / (1 - share)))
