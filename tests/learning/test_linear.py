from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from alcyon.learning.linear import STEP_MAX, OnlineLinear
from alcyon.learning.member import FitSettings
from alcyon.learning.metrics import ranking
from tests.learning.synthetic import dataset, recorded


@pytest.fixture(scope="module")
def member() -> OnlineLinear:
    return OnlineLinear.fit(dataset().train.features, dataset().train.is_fraud, FitSettings())


def moved(before: OnlineLinear, after: OnlineLinear) -> float:
    """The Euclidean way between two members."""
    one, other = (np.append(m.coefficients, m.intercept).astype(float) for m in (before, after))
    return float(np.linalg.norm(one - other))


def test_it_is_near_the_logistic_regression_of_the_same_inputs(member: OnlineLinear) -> None:
    train, test = dataset().train, dataset().test
    z = [np.hstack([member.scaling.apply(s.features), np.isnan(s.features)]) for s in (train, test)]
    exact = LogisticRegression(max_iter=1000).fit(z[0], train.is_fraud)
    best = ranking(exact.decision_function(z[1]), test.is_fraud).average_precision
    found = ranking(member.signal(test.features), test.is_fraud).average_precision
    assert found > best - 0.03


def test_what_is_new_is_learnt_and_the_old_member_stays(member: OnlineLinear) -> None:
    """Payments with a large first feature turn out to be frauds, which they were not before."""
    rows = recorded(400).copy()
    rows[:, 0] = 3.0
    before, weights = member.signal(rows), np.ones(len(rows))
    after = member.learn_more(rows, np.ones(len(rows), np.bool_), weights)
    assert (after.signal(rows) > before).all()
    assert np.array_equal(member.signal(rows), before)
    assert after.scaling is member.scaling


def test_one_call_moves_no_further_than_its_bound(member: OnlineLinear) -> None:
    rows = recorded(2000)
    lies = np.ones(len(rows), np.bool_)
    far = member.learn_more(rows, lies, np.full(len(rows), 1e6))
    assert moved(member, far) == pytest.approx(STEP_MAX, abs=1e-5)
    near = member.learn_more(rows[:3], lies[:3], np.ones(3))
    assert 0 < moved(member, near) < STEP_MAX / 5


def test_weightless_and_no_examples_teach_nothing(member: OnlineLinear) -> None:
    rows = recorded(10)
    frauds = np.ones(10, np.bool_)
    assert member.learn_more(rows[:0], frauds[:0], np.ones(0)) is member
    assert member.learn_more(rows, frauds, np.zeros(10)) is member
    once = member.learn_more(rows[5:], frauds[5:], np.ones(5))
    half = np.repeat([0.0, 1.0], 5)
    assert np.array_equal(member.learn_more(rows, frauds, half).coefficients, once.coefficients)


def test_the_same_examples_teach_the_same(member: OnlineLinear) -> None:
    test = dataset().test
    weights = np.ones(len(test))
    one, other = (member.learn_more(test.features, test.is_fraud, weights) for _ in range(2))
    assert np.array_equal(one.coefficients, other.coefficients)
