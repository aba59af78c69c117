from __future__ import annotations

import msgspec
import numpy as np
import pytest

from alcyon.domain.errors import InputError
from alcyon.learning.band import BURST, SUM_MAX, Band, Live, Watch, follow, predict
from alcyon.learning.dataset import DAY_MS
from alcyon.scoring.model import probability_ppm_of
from alcyon.scoring.policy import Policy, Thresholds

HOUR_MS, WITHIN_MS = 3_600_000, 600_000
POLICY = Policy({"default": Thresholds(review_ppm=100_000, decline_ppm=500_000)})
NEW = np.array([2.0, 1.2, 0.6, 0.3])
OLD = np.array([1.7, 1.3, 0.8, 0.1])
"""What both models make of four features."""


def traffic(start: int, stop: int, per_s: float, seed: int, zeroed: int | None = None) -> Live:
    """Payments that come and look otherwise by hour and weekday, with bursts of attacks: one of
    40 payments within ten minutes, about each day."""
    random = np.random.default_rng(seed)
    wanted = int((stop - start) / 1000 * per_s * 1.6)
    at = np.sort(random.integers(start, stop, wanted))
    hour, weekday = at / HOUR_MS % 24, at // DAY_MS % 7
    busy = 0.6 + 0.4 * np.sin(2 * np.pi * (hour - 8) / 24)
    at = at[random.random(len(at)) < busy * np.where(weekday >= 5, 0.7, 1.0)]
    hour, weekday = at / HOUR_MS % 24, at // DAY_MS % 7
    features = random.normal(size=(len(at), 4))
    features[:, 0] += 0.3 * np.sin(2 * np.pi * hour / 24) + np.where(weekday >= 5, 0.2, 0.0)
    features[:, 1] += 0.2 * np.cos(2 * np.pi * hour / 24)
    for begins in random.integers(start, stop, round((stop - start) / DAY_MS)):
        inside = np.flatnonzero((at >= begins) & (at < begins + WITHIN_MS))
        features[random.permutation(inside)[:40]] += [2.5, 0, 2.5, 2.5]
    shown = features.copy()
    if zeroed is not None:
        shown[:, zeroed] = -3.0  # a zero, far from what it usually is
    return Live(probability_ppm_of(shown @ NEW - 6), probability_ppm_of(features @ OLD - 6), at)


def evaluated(per_s: float, seed: int = 1, days: int = 4) -> Band:
    return predict("new", "old", traffic(0, days * DAY_MS, per_s, seed), POLICY)


@pytest.mark.parametrize("hour", [2, 9, 15, 21])
@pytest.mark.parametrize("zeroed", [0, 1])
def test_a_champion_that_lost_a_feature_is_found_within_ten_minutes(hour: int, zeroed: int) -> None:
    band, begins = evaluated(2.0), 10 * DAY_MS + hour * HOUR_MS
    watch = follow(band, Watch.begin(band), traffic(begins - HOUR_MS, begins, 2.0, hour))
    assert watch.departure is None
    watch = follow(band, watch, traffic(begins, begins + HOUR_MS, 2.0, hour + 1, zeroed))
    assert watch.departure is not None
    assert begins <= watch.departure.at < begins + WITHIN_MS


@pytest.mark.parametrize("per_s", [0.3, 2.0])
def test_quiet_days_stay_quiet(per_s: float) -> None:
    band = evaluated(per_s)
    watch = follow(band, Watch.begin(band), traffic(4 * DAY_MS, 11 * DAY_MS, per_s, 2))
    assert watch.departure is None
    assert watch.payments > 100_000 * per_s


def test_a_model_without_scores_leaves_the_band() -> None:
    band, live = evaluated(0.3), traffic(5 * DAY_MS, 6 * DAY_MS, 0.3, 3)
    live.champion_ppm[1_000:] = -1
    watch = follow(band, Watch.begin(band), live)
    assert watch.departure is not None
    assert watch.departure.kind == "unscored"
    assert live.event_time[1_000] <= watch.departure.at < live.event_time[1_100]


def test_it_matters_little_how_payments_are_cut_into_batches() -> None:
    band, live = evaluated(0.3), traffic(5 * DAY_MS, 6 * DAY_MS, 0.3, 4)
    whole, parts = follow(band, Watch.begin(band), live), Watch.begin(band)
    for start in range(0, len(live), 97):
        part = slice(start, start + 97)
        parts = follow(
            band, parts,
            Live(live.champion_ppm[part], live.replaced_ppm[part], live.event_time[part]),
        )  # fmt: skip
    assert parts.sums == pytest.approx(whole.sums)
    assert parts.payments == whole.payments


def test_a_sum_is_that_of_the_definition() -> None:
    """Page's recursion, written out, for a kind of which much is seen."""
    band, live = evaluated(0.3), traffic(5 * DAY_MS, 6 * DAY_MS, 0.3, 5)
    highs, total = band.kinds["above_0.5_alone"].highs, 0.0
    new, old = (
        np.log(ppm.clip(0.5) / (1e6 - ppm.clip(0.5)))
        for ppm in (live.champion_ppm, live.replaced_ppm)
    )
    is_kind = (new > band.edges[1]) & (old <= band.replaced_edges[1])
    for counts, at in zip(is_kind.tolist(), live.event_time.tolist(), strict=True):
        high = highs[at // HOUR_MS % 168]
        beyond = min(high + max(high, 0.03), (1 + high) / 2)
        ratio = beyond / high if counts else (1 - beyond) / (1 - high)
        total = min(max(0.0, total + float(np.log(ratio))), SUM_MAX)
    place = list(band.kinds).index("above_0.5_alone")
    assert follow(band, Watch.begin(band), live).sums[place] == pytest.approx(total)


def test_what_moves_both_models_is_no_departure() -> None:
    """An attack on everybody: both models see it alike."""
    band, live = evaluated(0.3), traffic(5 * DAY_MS, 6 * DAY_MS, 0.3, 6)
    some = slice(3_000, 9_000)
    live.champion_ppm[some] = live.replaced_ppm[some] = 900_000
    assert follow(band, Watch.begin(band), live).departure is None


def test_payments_that_one_model_scored_say_nothing() -> None:
    """The replaced model is scored beside the new one for a time only."""
    band, live = evaluated(0.3), traffic(5 * DAY_MS, 9 * DAY_MS, 0.3, 7)
    live.replaced_ppm[:] = -1
    live.champion_ppm[:] = 900_000
    watch = follow(band, Watch.begin(band), live)
    assert watch.departure is None
    assert watch.payments == 0


def test_a_burst_that_one_attack_can_bring_about_is_no_departure() -> None:
    band, live = evaluated(0.3), traffic(5 * DAY_MS, 6 * DAY_MS, 0.3, 6)
    live.champion_ppm[3_000 : 3_000 + BURST * 3 // 4] = 900_000
    assert follow(band, Watch.begin(band), live).departure is None
    live.champion_ppm[3_000 : 3_000 + 2 * BURST] = 900_000
    departure = follow(band, Watch.begin(band), live).departure
    assert departure is not None
    assert live.event_time[3_000] < departure.at < live.event_time[3_000 + 2 * BURST]


def test_a_band_can_be_recorded_and_needs_enough_payments() -> None:
    band = evaluated(0.3)
    assert msgspec.json.decode(msgspec.json.encode(band), type=Band) == band
    with pytest.raises(InputError, match="2000 are needed"):
        predict("new", "old", traffic(0, HOUR_MS, 0.1, 1), POLICY)
