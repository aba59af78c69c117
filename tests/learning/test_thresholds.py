from __future__ import annotations

from itertools import combinations_with_replacement

import msgspec
import numpy as np
import pytest

from alcyon.domain.errors import InputError
from alcyon.learning.evaluation import best_f1_ppm, declining_from
from alcyon.learning.thresholds import Scored, choose_policy, choose_thresholds, money
from alcyon.scoring.policy import Costs, Policy, Thresholds
from tests.learning.synthetic import policy, validation


def small(seed: int, n: int = 60) -> Scored:
    random = np.random.default_rng(seed)
    ppm = random.choice(np.arange(0, 1_000_000, 40_000), n)
    fraud = random.random(n) * 1_000_000 < ppm
    fraud[0] = True
    return Scored(ppm, fraud, random.integers(100, 20_000, n), days=2.0)


def lost(scored: Scored, thresholds: Thresholds, costs: Costs) -> float:
    return money(scored, Policy({"default": thresholds}, costs)).lost_minor


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("reviews_max", [0, 3, 1000])
def test_no_other_pair_of_thresholds_loses_less(seed: int, reviews_max: int) -> None:
    scored, costs = small(seed), Costs(review_minutes=10)
    found = choose_thresholds(scored, costs, reviews_max)
    levels = [0, *(int(p) + 1 for p in np.unique(scored.probability_ppm))]
    pairs = [Thresholds(r, d) for r, d in combinations_with_replacement(levels, 2)]
    allowed = [p for p in pairs if reviews(scored, p) <= reviews_max]
    assert reviews(scored, found) <= reviews_max
    assert lost(scored, found, costs) == min(lost(scored, p, costs) for p in allowed)


def reviews(scored: Scored, thresholds: Thresholds) -> float:
    return money(scored, Policy({"default": thresholds})).reviews_per_day * scored.days


def test_the_policy_beats_one_half_and_the_best_f1_where_it_was_chosen() -> None:
    ours = money(validation(), policy()).lost_minor
    half = money(validation(), declining_from(500_000, policy())).lost_minor
    f1 = money(validation(), declining_from(best_f1_ppm(validation()), policy())).lost_minor
    assert ours < half
    assert ours < f1


def test_the_capacity_is_kept_and_used() -> None:
    found = money(validation(), policy()).reviews_per_day
    assert 0 < found <= 5


def test_costlier_false_declines_raise_the_decline_threshold() -> None:
    cheap = choose_policy(validation(), Costs(false_decline_share=0.02), 5)
    dear = choose_policy(validation(), Costs(false_decline_share=0.8), 5)
    before = cheap.segments["default"].decline_ppm
    after = dear.segments["default"].decline_ppm
    assert before is not None
    assert after is None or after > before


def test_cheaper_reviews_are_used_more() -> None:
    def per_day(minutes: float) -> float:
        chosen = choose_policy(validation(), Costs(review_minutes=minutes), 1000)
        return money(validation(), chosen).reviews_per_day

    assert per_day(4) > per_day(20) > per_day(120)


def test_costlier_frauds_lower_the_thresholds() -> None:
    def first(fixed: float) -> int:
        chosen = choose_policy(validation(), Costs(fraud_fixed_minor=fixed), 5)
        limits = chosen.segments["default"]
        return min(x for x in (limits.review_ppm, limits.decline_ppm) if x is not None)

    assert first(50_000) < first(0)


def test_segments_get_thresholds_of_their_own() -> None:
    scored = validation()
    large = scored.amount_minor > 25_000
    chosen = choose_policy(scored, Costs(), 0, {"large": large})
    assert chosen.segment_names == ("default", "large")
    alone = choose_thresholds(scored.take(large), Costs(), 0)
    assert chosen.segments["large"] == alone
    assert chosen.segments["default"] != alone


def test_money_adds_up() -> None:
    found = money(validation(), policy())
    parts = found.fraud_minor + found.review_minor + found.false_decline_minor
    assert found.lost_minor == pytest.approx(parts)
    nothing = money(validation(), Policy(costs=policy().costs))
    assert nothing.saved_minor == 0
    assert found.saved_minor == pytest.approx(nothing.lost_minor - found.lost_minor)
    frauds = validation().amount_minor[validation().is_fraud].sum()
    assert nothing.lost_minor == pytest.approx(float(frauds))
    assert msgspec.json.decode(msgspec.json.encode(found))["lost_minor"] == found.lost_minor


def test_without_frauds_there_is_nothing_to_choose_by() -> None:
    scored = Scored(np.array([1, 2]), np.zeros(2, np.bool_), np.array([5, 5]), 1.0)
    with pytest.raises(InputError, match="need frauds"):
        choose_policy(scored, Costs(), 5)
