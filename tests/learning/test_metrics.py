from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from alcyon.domain.errors import InputError
from alcyon.learning.metrics import calibration, card_precision, ranking


@pytest.mark.parametrize("levels", [3, 50, 10**9])
def test_ranking_equals_scikit_learn_with_and_without_ties(levels: int) -> None:
    random = np.random.default_rng(levels)
    fraud = random.random(2000) < 0.05
    score = np.floor((random.normal(size=2000) + fraud) * levels) / levels
    found = ranking(score, fraud)
    assert found.roc_auc == pytest.approx(roc_auc_score(fraud, score), abs=1e-12)
    expected = average_precision_score(fraud, score)
    assert found.average_precision == pytest.approx(expected, abs=1e-12)


def test_recall_at_a_false_positive_rate_equals_trying_every_threshold() -> None:
    random = np.random.default_rng(5)
    fraud = random.random(3000) < 0.1
    score = np.round(random.normal(size=3000) + 2 * fraud, 2)
    for rate, recall in ranking(score, fraud).recall_at_fpr.items():
        reached = [
            (score >= t)[fraud].mean()
            for t in [*np.unique(score), np.inf]
            if (score >= t)[~fraud].mean() <= float(rate)
        ]
        assert recall == pytest.approx(max(reached), abs=1e-12)


def test_ranking_needs_both_classes() -> None:
    with pytest.raises(InputError, match="one class"):
        ranking(np.arange(3.0), np.zeros(3, np.bool_))
    with pytest.raises(InputError, match="one class"):
        ranking(np.arange(3.0), np.ones(3, np.bool_))


def test_calibration_of_true_probabilities_is_near_perfect_and_of_doubled_ones_not() -> None:
    random = np.random.default_rng(6)
    probability = random.beta(1, 20, 40_000)
    fraud = random.random(40_000) < probability
    found = calibration(probability, fraud)
    assert found.brier == pytest.approx(brier_score_loss(fraud, probability), abs=1e-12)
    assert sum(b.rows for b in found.bins) == 40_000
    assert found.expected_error < 0.006
    assert calibration(np.minimum(2 * probability, 1), fraud).expected_error > 0.03


def naive_card_precision(
    score: np.ndarray, fraud: np.ndarray, cards: np.ndarray, days: np.ndarray, top: int
) -> float:
    found: set[int] = set()
    daily = []
    for day in sorted(set(days.tolist())):
        best: dict[int, float] = {}
        bad: set[int] = set()
        for s, f, c, d in zip(score, fraud, cards, days, strict=True):
            if d == day and c not in found:
                best[c] = max(best.get(c, -np.inf), s)
                if f:
                    bad.add(c)
        looked_at = sorted(best, key=lambda c: -best[c])[:top]
        hits = [c for c in looked_at if c in bad]
        daily.append(len(hits) / top)
        found.update(hits)
    return float(np.mean(daily))


def test_card_precision_equals_its_definition() -> None:
    random = np.random.default_rng(7)
    n = 1500
    fraud, cards = random.random(n) < 0.1, random.integers(0, 90, n)
    score, days = random.normal(size=n) + fraud, random.integers(20, 25, n)
    found = card_precision(score, fraud, cards, days, top=10)
    assert found == pytest.approx(naive_card_precision(score, fraud, cards, days, 10), abs=1e-12)
    assert found > 0.2


def test_a_card_found_is_off_the_next_days_list() -> None:
    score, fraud = np.array([1.0, 1.0]), np.ones(2, np.bool_)
    same, days = np.array([4, 4]), np.array([0, 1])
    assert card_precision(score, fraud, same, days, top=1) == 0.5
    assert card_precision(score, fraud, np.array([4, 5]), days, top=1) == 1.0
