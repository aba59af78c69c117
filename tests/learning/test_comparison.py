"""Comparison of two models, against figures counted another way."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from alcyon.domain.errors import InputError
from alcyon.learning.comparison import Judged, _Side, compare
from alcyon.learning.dataset import DAY_MS, Examples
from alcyon.learning.thresholds import Scored, money
from alcyon.scoring.model import probability_ppm_of
from alcyon.scoring.policy import Costs, Policy, Thresholds

POLICY = Policy({"default": Thresholds(review_ppm=100_000, decline_ppm=600_000)}, Costs())


def examples(seed: int, n: int = 600, cards: int | None = 90) -> Examples:
    rng = np.random.default_rng(seed)
    return Examples(
        features=np.zeros((n, 1), np.float32),
        is_fraud=rng.random(n) < 0.08,
        event_time=np.sort(rng.integers(0, 5 * DAY_MS, n)),
        amount_minor=rng.integers(100, 90_000, n),
        card=None if cards is None else rng.integers(0, cards, n),
    )


def judged(
    of: Examples, skill: float, seed: int, name: str = "a", policy: Policy = POLICY
) -> Judged:
    """A model whose log-odds tell frauds by `skill`, with ties among them."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=len(of)) - 2.5 + skill * of.is_fraud
    log_odds = np.round(noise, 1).astype(np.float64)
    return Judged(name, log_odds, probability_ppm_of(log_odds), policy)


@pytest.mark.parametrize("seed", range(5))
def test_figures_of_a_draw_are_those_of_the_rows_repeated(seed: int) -> None:
    of, rng = examples(seed), np.random.default_rng(seed)
    model = judged(of, 2.0, seed)
    weights = rng.integers(0, 4, len(of))
    precision, lost = _Side.of(of, model).figures(weights.astype(float))
    rows = np.repeat(np.arange(len(of)), weights)
    expected = average_precision_score(of.is_fraud[rows], model.log_odds[rows])
    assert precision == pytest.approx(expected, rel=1e-12)
    scored = Scored(model.probability_ppm, of.is_fraud, of.amount_minor, of.days).take(rows)
    assert lost == pytest.approx(money(scored, POLICY).lost_minor, rel=1e-12)


def test_a_model_equals_itself() -> None:
    of = examples(1)
    model = judged(of, 2.0, 1)
    found = compare(of, model, model)
    assert found.agreed_share == 1.0
    for figure in (found.difference.average_precision, found.difference.money_lost_minor):
        assert (figure.value, figure.low, figure.high) == (0.0, 0.0, 0.0)
    off = [n for a, row in found.agreement.items() for b, n in row.items() if a != b]
    assert sum(off) == 0


def test_the_matrix_counts_every_transaction_once() -> None:
    of = examples(2)
    one, other = judged(of, 2.0, 1), judged(of, 1.0, 2)
    found = compare(of, one, other, draws=20)
    cells = {(a, b): n for a, row in found.agreement.items() for b, n in row.items()}

    def action(ppm: int) -> str:
        return "DECLINE" if ppm >= 600_000 else "REVIEW" if ppm >= 100_000 else "APPROVE"

    counted: dict[tuple[str, str], int] = {}
    for a, b in zip(one.probability_ppm.tolist(), other.probability_ppm.tolist(), strict=True):
        counted[action(a), action(b)] = counted.get((action(a), action(b)), 0) + 1
    assert {cell: n for cell, n in cells.items() if n} == counted


def test_a_better_model_is_told_from_a_worse_one_and_noise_is_not() -> None:
    of = examples(3, 4000, 700)
    better = compare(of, judged(of, 0.5, 1), judged(of, 3.5, 2)).difference
    assert better.average_precision.low > 0 > better.money_lost_minor.high
    alike = compare(of, judged(of, 2.0, 1), judged(of, 2.0, 2)).difference
    assert alike.average_precision.low < 0 < alike.average_precision.high


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """The truth: average precision on very many payments of the same kind."""
    many = examples(99, 300_000, None)
    true = average_precision_score(many.is_fraud, judged(many, 2.0, 99).log_odds)
    inside = 0
    for seed in range(60):
        of = examples(seed, 1500, None)
        model = judged(of, 2.0, seed + 1000)
        found = compare(of, model, model, draws=150).first.average_precision
        inside += found.low <= true <= found.high
    assert inside >= 49  # of 60 at 95 %: fewer has a chance below 1 in 1,000


def test_equal_seeds_give_equal_intervals() -> None:
    of = examples(4)
    model = judged(of, 2.0, 1)
    assert compare(of, model, model, 5) == compare(of, model, model, 5)
    assert compare(of, model, model, 5) != compare(of, model, model, 6)


def test_payments_of_one_card_are_drawn_together() -> None:
    """Ten copies of a payment on one card say no more than one."""
    of = examples(4, 300, None)
    copies = np.tile(np.arange(300), 10)
    model = judged(of, 2.0, 1)
    many = Examples(
        of.features[copies], of.is_fraud[copies], of.event_time[copies], of.amount_minor[copies],
        card=copies,
    )  # fmt: skip
    log_odds = model.log_odds[copies]
    repeated = Judged("a", log_odds, probability_ppm_of(log_odds), POLICY)
    once = compare(of, model, model).first.average_precision
    often = compare(many, repeated, repeated).first.average_precision
    assert often.value == pytest.approx(once.value, rel=1e-12)
    assert (often.low, often.high) == pytest.approx((once.low, once.high), rel=1e-12)


@pytest.mark.parametrize("fraud", [True, False])
def test_one_class_cannot_be_compared(fraud: bool) -> None:
    of = examples(5)
    one = Examples(of.features, np.full(len(of), fraud), of.event_time, of.amount_minor)
    with pytest.raises(InputError, match="one class"):
        compare(one, judged(of, 1.0, 1), judged(of, 1.0, 2))
