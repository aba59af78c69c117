from __future__ import annotations

import math
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from alcyon.domain.errors import InputError
from alcyon.learning.drift import ALARMS_PER_DAY, DriftWatch, Window
from alcyon.learning.drift_online import OnlineWatch
from alcyon.learning.drift_profile import (
    BLOCK_MS,
    DAY_MS,
    Profile,
    bins_of,
    counted,
    distances,
    profile_of,
    stratum_of,
)

MONDAY = 1_735_516_800_000
"""2024-12-30T00:00Z."""
PER_DAY, SIGNALS = 2_500, 30

Values = NDArray[np.float64]


def life(
    days: int, seed: int, start: int = MONDAY, factor: float = 1.0
) -> tuple[NDArray[np.int64], dict[str, Values]]:
    """Amounts that differ by hour and at the weekend, and signals that do not; times in order."""
    random = np.random.default_rng(seed)
    n = days * PER_DAY
    time = np.sort(start + random.integers(0, days * DAY_MS, n))
    hour, weekend = time % DAY_MS / 3_600_000, (time // DAY_MS + 3) % 7 >= 5
    level = 3.5 + 0.8 * np.sin(hour / 24 * 2 * math.pi) + 0.5 * weekend
    amount = np.exp(random.normal(level, 1.2)) * factor
    amount[random.random(n) < 0.02] = np.nan
    noise = {f"f{k}": random.normal(size=n) for k in range(SIGNALS - 2)}
    return time, {"amount": amount, "count": random.poisson(2, n).astype(float), **noise}


def reference(days: int = 28) -> Profile:
    time, signals = life(days, seed=1)
    return profile_of(signals, time)


def judged(profile: Profile, time: NDArray[np.int64], signals: dict[str, Values]) -> list[Window]:
    watch = DriftWatch(profile)
    values = np.column_stack([signals[name] for name in profile.names])
    found = [w for at in range(0, len(time), 777)
             for w in watch.add(time[at : at + 777], values[at : at + 777])]  # fmt: skip
    return [*found, *watch.finish()]


def alarms(windows: list[Window]) -> set[str]:
    return {found.signal for window in windows for found in window.findings}


def test_quiet_weeks_raise_no_alarm_at_any_hour_or_weekday() -> None:
    windows = judged(reference(), *life(14, seed=2, start=MONDAY + 28 * DAY_MS))
    assert len(windows) == 14 * 4
    assert alarms(windows) == set()


def test_amounts_that_rise_are_found_within_a_day_and_nothing_else_is() -> None:
    time, signals = life(2, seed=3, start=MONDAY + 28 * DAY_MS, factor=1.3)
    windows = judged(reference(), time, signals)
    assert alarms(windows) == {"amount"}
    first = next(window for window in windows if window.findings)
    assert first.stop - time[0] <= DAY_MS


def test_a_night_is_compared_with_nights() -> None:
    """Six hours alone are judged, though by day amounts are three times as large."""
    start = MONDAY + 28 * DAY_MS + 3 * BLOCK_MS
    time, signals = life(4, seed=4, start=MONDAY + 28 * DAY_MS)
    night = (time >= start) & (time < start + BLOCK_MS)
    windows = judged(reference(), time[night], {k: v[night] for k, v in signals.items()})
    assert [window.rows for window in windows] == [int(night.sum())]
    assert amounts_chance(windows) > 1e-3
    by_day = {**signals, "amount": np.roll(signals["amount"], -PER_DAY // 2)}
    windows = judged(reference(), time[night], {k: v[night] for k, v in by_day.items()})
    assert amounts_chance(windows) < 1e-6


def amounts_chance(windows: list[Window]) -> float:
    return min(f.chance for w in windows for f in w.comparisons if f.signal == "amount")


def test_what_is_over_within_hours_is_no_drift_and_what_lasts_is() -> None:
    profile = reference()
    time, signals = life(2, seed=13, start=MONDAY + 28 * DAY_MS)
    burst = (time % DAY_MS > 13 * 3_600_000) & (time % DAY_MS < 17 * 3_600_000)
    once = {**signals, "f0": np.where(burst, 3.0, signals["f0"])}
    windows = judged(profile, time, once)
    assert min(f.chance for w in windows for f in w.comparisons if f.signal == "f0") < 1e-9
    assert alarms(windows) == set()
    lasting = {**signals, "f0": np.where(np.arange(len(time)) % 6 == 0, 3.0, signals["f0"])}
    assert alarms(judged(profile, time, lasting)) == {"f0"}


def test_a_signal_that_vanishes_is_major_drift() -> None:
    time, signals = life(1, seed=5, start=MONDAY + 28 * DAY_MS)
    signals["count"][:] = np.nan
    (*_, last) = judged(reference(), time, signals)
    assert [(f.signal, f.severity) for f in last.findings] == [("count", "major")]


def test_a_signal_that_was_constant_and_moves_is_drift() -> None:
    time, signals = life(28, seed=1)
    profile = profile_of({**signals, "count": np.zeros(len(time))}, time)
    assert alarms(judged(profile, *constant(9, 0.0))) == set()
    assert alarms(judged(profile, *constant(9, 1.0))) == {"count"}


def constant(seed: int, value: float) -> tuple[NDArray[np.int64], dict[str, Values]]:
    time, signals = life(1, seed, start=MONDAY + 28 * DAY_MS)
    return time, {**signals, "count": np.full(len(time), value)}


def test_days_that_differ_among_themselves_are_not_taken_for_drift() -> None:
    """A level of its own for each day: for independent rows each day would be an alarm."""

    def moody(days: int, seed: int, start: int) -> tuple[NDArray[np.int64], dict[str, Values]]:
        time, signals = life(days, seed, start)
        mood = np.random.default_rng(seed + 100).normal(0, 0.4, days)
        return time, {"amount": signals["f0"] + mood[(time - start) // DAY_MS]}

    time, signals = moody(28, 1, MONDAY)
    later, new = moody(14, 2, MONDAY + 28 * DAY_MS)
    profile = profile_of(signals, time)
    windows = judged(profile, later, new)
    assert alarms(windows) == set()
    p_of_a_day = ks_2samp(signals["amount"], new["amount"][:PER_DAY]).pvalue
    assert p_of_a_day < ALARMS_PER_DAY / 8


def remembered(days: int, seed: int) -> tuple[NDArray[np.int64], dict[str, Values]]:
    """What a window of four weeks tells of 400 cards that never change: each card's level is the
    mean of its last 28 days."""
    random = np.random.default_rng(seed)
    daily = np.cumsum(random.normal(size=(days + 28, 400)), axis=0)
    levels = (daily[28:] - daily[:-28]) / 28
    time = np.sort(MONDAY + random.integers(0, days * DAY_MS, days * PER_DAY))
    day = (time - MONDAY) // DAY_MS
    return time, {"level": levels[day, random.integers(0, 400, len(time))]}


@pytest.mark.parametrize("seed", range(5))
def test_what_a_long_window_remembers_wanders_off_and_is_no_drift(seed: int) -> None:
    """The reference's days are nearly the same, and after four weeks none is like them."""
    time, signals = remembered(58, seed)
    old = time < MONDAY + 28 * DAY_MS
    profile = profile_of({"level": signals["level"][old]}, time[old])
    new = {"level": signals["level"][~old]}
    assert alarms(judged(profile, time[~old], new)) == set()
    doubled = {"level": 2 * new["level"]}
    assert alarms(judged(profile, time[~old][: 2 * PER_DAY], doubled)) == {"level"}


def test_psi_is_the_sum_and_ks_scipys_as_far_as_bins_go() -> None:
    random = np.random.default_rng(6)
    old, new = random.normal(size=20_000), random.normal(0.3, 1, size=5_000)
    edges = (np.quantile(old, np.arange(1, 20) / 20),)
    zero = np.zeros(len(old), np.int64)
    found = distances(
        counted(edges, new[:, None], zero[: len(new)]), counted(edges, old[:, None], zero)
    )
    p = np.array([((old >= a) & (old < b)).mean() for a, b in bounds(edges[0])])
    q = np.array([((new >= a) & (new < b)).mean() for a, b in bounds(edges[0])])
    assert found.psi[0] == pytest.approx(sum((q - p) * np.log(q / p)), rel=0.01)
    assert found.ks[0] == pytest.approx(ks_2samp(old, new).statistic, abs=0.01)


def bounds(edges: Values) -> list[tuple[float, float]]:
    ends = [-math.inf, *edges.tolist(), math.inf]
    return list(pairwise(ends))


def test_a_value_is_in_the_bin_after_the_edges_up_to_it_and_null_in_its_own() -> None:
    found = bins_of(np.array([np.nan, -5.0, 1.0, 1.5, 2.0, 1e300]), np.array([1.0, 2.0]))
    assert found.tolist() == [0, 1, 2, 2, 3, 3]


def test_strata_are_quarters_of_working_days_and_of_weekends() -> None:
    hours = np.array([0, 5, 6, 23, 5 * 24, 6 * 24 + 23, 7 * 24]) * 3_600_000
    assert stratum_of(MONDAY + hours).tolist() == [0, 0, 1, 3, 4, 7, 0]


def test_a_profile_is_plain_data() -> None:
    profile = reference()
    kept = msgspec.json.decode(msgspec.json.encode(profile), type=Profile)
    assert kept == profile


def test_batches_do_not_matter_to_what_is_found() -> None:
    time, signals = life(2, seed=7, start=MONDAY + 28 * DAY_MS, factor=1.5)
    profile = reference()
    watch = DriftWatch(profile)
    values = np.column_stack([signals[name] for name in profile.names])
    assert [*watch.add(time, values), *watch.finish()] == judged(profile, time, signals)


def test_a_reference_of_few_days_is_refused() -> None:
    time, signals = life(5, seed=1)
    with pytest.raises(InputError, match="has 5 days"):
        profile_of(signals, time)


def test_too_few_rows_are_not_judged() -> None:
    time, signals = life(1, seed=8, start=MONDAY + 28 * DAY_MS)
    few = {name: values[:50] for name, values in signals.items()}
    assert judged(reference(), time[:50], few) == []
    assert DriftWatch(reference()).finish() == []


def test_the_stream_notices_within_a_day_and_is_quiet_before() -> None:
    pytest.importorskip("river", reason="the extra drift is not installed")
    profile = reference()
    watch = OnlineWatch(profile, "amount")
    time, signals = life(14, seed=10, start=MONDAY + 28 * DAY_MS)
    assert watch.add(time, signals["amount"]) == []
    onset = MONDAY + 42 * DAY_MS
    time, signals = life(3, seed=11, start=onset, factor=1.3)
    change = watch.add(time, signals["amount"])[0]
    assert onset < change.event_time <= onset + 2 * DAY_MS
    assert change.rank > 0.5


def test_the_stream_notices_what_differs_from_its_first_transaction_on() -> None:
    pytest.importorskip("river", reason="the extra drift is not installed")
    watch = OnlineWatch(reference(), "amount")
    time, signals = life(4, seed=12, start=MONDAY + 28 * DAY_MS, factor=0.6)
    found = [c for at in range(0, len(time), 33)
             for c in watch.add(time[at : at + 33], signals["amount"][at : at + 33])]  # fmt: skip
    assert found
    assert found[0].rank < 0.5
    whole = OnlineWatch(reference(), "amount").add(time, signals["amount"])
    assert found == whole


def test_a_signal_that_the_profile_lacks_is_refused() -> None:
    with pytest.raises(InputError, match="no signal colour"):
        OnlineWatch(reference(), "colour")
