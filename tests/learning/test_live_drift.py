from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alcyon.domain.errors import InputError
from alcyon.learning.drift import AMOUNT, SCORE
from alcyon.learning.drift_profile import BLOCK_MS, DAY_MS
from alcyon.learning.history import UNSCORED, Recorded
from alcyon.learning.live_drift import LiveDrift, live_drift
from tests.learning.remembered import decided

MONDAY = 1_735_516_800_000
PER_DAY = 2_000
NAMES = ("quiet", "moved")
CHAMPION = b"champion"


def life(days: int, seed: int = 5) -> Recorded:
    """Days of payments of even hours, all scored by the champion."""
    random = np.random.default_rng(seed)
    n = days * PER_DAY
    times = np.sort(MONDAY + random.integers(0, days * DAY_MS, n))
    ppm = random.integers(1, 900_000, n)
    features = random.normal(size=(n, 2)).astype(np.float32)
    made = decided([f"t{k}" for k in range(n)], times, champion_ppm=ppm, features=features)
    return replace(made, amount_minor=random.integers(100, 50_000, n))


def last_day(of: Recorded) -> np.ndarray:
    stop = int(of.event_time.max()) // BLOCK_MS * BLOCK_MS
    return (of.event_time >= stop - DAY_MS) & (of.event_time < stop)


def drifted(found: LiveDrift) -> list[str]:
    return sorted(f.signal for f in found.window.findings)


def test_a_quiet_day_is_compared_in_every_signal_and_none_drifts() -> None:
    found = live_drift(life(21), NAMES, CHAMPION, MONDAY + 14 * DAY_MS)
    assert [c.signal for c in found.window.comparisons] == [*NAMES, AMOUNT, SCORE]
    assert drifted(found) == []
    assert (found.champion, found.reference_stop) == ("champion", MONDAY + 14 * DAY_MS)
    assert found.window.rows == int(last_day(life(21)).sum())


@pytest.mark.parametrize("signal", ["moved", AMOUNT, SCORE])
def test_what_moves_in_the_last_day_is_named_and_nothing_else(signal: str) -> None:
    made = life(21)
    at = last_day(made)
    made.features[at, 1] += 0.5 * (signal == "moved")
    made.amount_minor[at] *= 2 if signal == AMOUNT else 1
    made.champion_ppm[at] //= 2 if signal == SCORE else 1
    found = live_drift(made, NAMES, CHAMPION, MONDAY + 14 * DAY_MS)
    assert drifted(found) == [signal]


def test_what_moved_since_the_champion_began_is_no_part_of_the_reference() -> None:
    """A reference that went along with the days would call this usual."""
    made = life(28)
    made.features[made.event_time >= MONDAY + 10 * DAY_MS, 1] += 0.5
    found = live_drift(made, NAMES, CHAMPION, MONDAY + 10 * DAY_MS)
    assert drifted(found) == ["moved"]
    assert found.reference_stop == MONDAY + 10 * DAY_MS


def test_a_champion_that_was_the_first_is_compared_with_the_first_weeks() -> None:
    begin = int(life(28).event_time[0])
    found = live_drift(life(28), NAMES, CHAMPION, begin)
    assert found.reference_stop == begin + 14 * DAY_MS


def test_a_promoted_challengers_scores_before_its_promotion_are_its_reference() -> None:
    made = life(21)
    before = made.event_time < MONDAY + 14 * DAY_MS
    own = np.where(before, made.champion_ppm, UNSCORED)
    other = np.where(before, 1, UNSCORED)
    champion = np.where(before, b"former", CHAMPION).astype("S16")
    challenger = np.where(before, CHAMPION, b"none").astype("S16")
    promoted = replace(
        made, champion=champion, challenger=challenger, challenger_ppm=own,
        champion_ppm=np.where(before, other, made.champion_ppm),
    )  # fmt: skip
    same = live_drift(made, NAMES, CHAMPION, MONDAY + 14 * DAY_MS)
    found = live_drift(promoted, NAMES, CHAMPION, MONDAY + 14 * DAY_MS)
    assert found.window == same.window


def test_without_scores_of_its_own_before_only_the_score_is_left_out() -> None:
    made = life(21)
    before = made.event_time < MONDAY + 14 * DAY_MS
    champion = np.where(before, b"former", CHAMPION).astype("S16")
    found = live_drift(replace(made, champion=champion), NAMES, CHAMPION, MONDAY + 14 * DAY_MS)
    assert [c.signal for c in found.window.comparisons] == [*NAMES, AMOUNT]


@pytest.mark.parametrize("days", [0, 1, 6])
def test_a_log_of_few_days_tells_no_drift(days: int) -> None:
    with pytest.raises(InputError, match="days"):
        live_drift(life(days), NAMES, CHAMPION, MONDAY)


def test_a_day_of_few_payments_is_not_judged() -> None:
    made = life(21)
    sparse = np.flatnonzero(~last_day(made) | (np.arange(len(made)) % 50 == 0))
    thinned = Recorded(
        [made.transaction_id[k] for k in sparse], made.features[sparse], made.event_time[sparse],
        made.amount_minor[sparse], made.action[sparse], made.propensity_ppm[sparse],
        made.champion_ppm[sparse], made.challenger_ppm[sparse], made.champion[sparse],
        made.challenger[sparse],
    )  # fmt: skip
    with pytest.raises(InputError, match="too few"):
        live_drift(thinned, NAMES, CHAMPION, MONDAY + 14 * DAY_MS)
