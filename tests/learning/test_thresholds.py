from __future__ import annotations

from dataclasses import replace
from itertools import combinations_with_replacement

import msgspec
import numpy as np
import pytest

from alcyon.domain.decision import Action
from alcyon.domain.errors import InputError
from alcyon.learning.evaluation import best_f1_ppm, declining_from
from alcyon.learning.thresholds import (
    SEGMENTS,
    Scored,
    choose_policy,
    choose_thresholds,
    money,
)
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


def by_amount(n: int = 4_000) -> Scored:
    """Calibrated scores of amounts from 1 to 1,000 that tell nothing of them."""
    random = np.random.default_rng(3)
    ppm = (random.beta(0.3, 2.0, n) * 1_000_000).astype(np.int64)
    amount = np.exp(random.uniform(np.log(100), np.log(100_000), n)).astype(np.int64)
    return Scored(ppm, random.random(n) * 1_000_000 < ppm, amount, days=4.0)


@pytest.mark.parametrize("reviews_per_day", [0, 3, 1000])
def test_thresholds_by_amount_lose_less_than_one_for_all(reviews_per_day: int) -> None:
    scored, costs = by_amount(), Costs()
    chosen = choose_policy(scored, costs, reviews_per_day)
    for_all = Policy({"default": chosen.segments["default"]}, costs)
    assert for_all.segments["default"] == choose_thresholds(
        scored, costs, int(reviews_per_day * scored.days)
    )
    found = money(scored, chosen)
    assert found.lost_minor < 0.95 * money(scored, for_all).lost_minor
    assert found.reviews_per_day <= reviews_per_day


def test_what_is_large_is_stopped_sooner() -> None:
    chosen = choose_policy(by_amount(), Costs(), 0)
    declines = [chosen.segments[name].at(Action.DECLINE) for name in chosen.segment_names[1:]]
    assert len(declines) == SEGMENTS
    assert declines[0] > 1.5 * declines[-1]


def test_reviews_go_where_they_save_most() -> None:
    """No other way to share them out, in twentieths, loses less."""
    scored, costs = by_amount(1_900), Costs()
    chosen = choose_policy(scored, costs, 10)
    begins = chosen.segment_begins
    assert len(begins) == 2
    sides = [
        scored.take(scored.amount_minor < begins[1]),
        scored.take(scored.amount_minor >= begins[1]),
    ]
    splits = [
        sum(
            lost(side, choose_thresholds(side, costs, 40 * parts // 20), costs)
            for side, parts in zip(sides, (own, 20 - own), strict=True)
        )
        for own in range(21)
    ]
    assert money(scored, chosen).lost_minor == pytest.approx(min(splits))
    assert min(splits) < splits[10]


def test_few_frauds_or_one_amount_give_one_threshold_for_all() -> None:
    scored = by_amount()
    few = scored.take(np.flatnonzero(scored.is_fraud.cumsum() < 200))
    same = replace(scored, amount_minor=np.full(len(scored.is_fraud), 500))
    for one in (few, same):
        assert choose_policy(one, Costs(), 3).segment_names == ("default",)


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
