from __future__ import annotations

import numpy as np
import pytest

from alcyon.domain.columns import Batch
from alcyon.learning.dataset import DAY_MS
from alcyon.learning.maturity import curve, maturity
from tests.learning.synthetic import labels_of, payments
from tests.learning.test_dataset import few_rows, said


def test_with_payments_all_old_enough_it_is_the_share_of_delays() -> None:
    delay = np.array([0, 1, 1, 3, 3, 3, 10, 10, 10, 10]) * DAY_MS + 5
    found = curve(delay, np.full(10, 400 * DAY_MS)).known_after_days
    assert found == pytest.approx({0: 0.1, 1: 0.3, 2: 0.3, 3: 0.6, 5: 0.6, 7: 0.6, 10: 1.0})


def test_payments_too_young_for_long_delays_do_not_make_it_look_quick() -> None:
    """Delays are drawn from a known law and seen only where the payment is old enough."""
    random = np.random.default_rng(2)
    delay = np.minimum(random.exponential(15.0, 200_000), 59.0)
    age = random.uniform(0, 70, 200_000)
    seen = delay <= age
    found = curve(
        (delay[seen] * DAY_MS).astype(np.int64), (age[seen] * DAY_MS).astype(np.int64)
    ).known_after_days
    naive = np.mean(delay[seen] < 15)
    true = np.mean(delay < 15)
    at_14 = found[14]  # delays of days 0 … 14, that is below 15
    assert abs(at_14 - true) < 0.02
    assert naive - true > 0.05


def test_it_is_the_product_limit_in_reversed_time() -> None:
    """The definition, by loops."""
    random = np.random.default_rng(8)
    delay = random.integers(0, 20, 300)
    age = random.integers(0, 30, 300)
    delay, age = delay[delay <= age], age[delay <= age]
    found = curve(delay * DAY_MS, age * DAY_MS).known_after_days
    for day, share in found.items():
        expected = 1.0
        for e in range(day + 1, int(delay.max()) + 1):
            at_risk = sum(d <= e <= a for d, a in zip(delay, age, strict=True))
            if at_risk:
                expected *= 1 - sum(d == e for d in delay) / at_risk
        assert share == pytest.approx(expected, abs=1e-12)


def test_every_source_has_its_curve_and_any_is_the_first_of_them() -> None:
    rows = few_rows(200)
    day = DAY_MS
    labels = said(
        ("t0", 1, "analyst", 1 * day), ("t0", 1, "chargeback", 30 * day),
        ("t1", 1, "chargeback", 21 * day),
        ("t2", 1, "analyst", 3 * day), ("t2", 0, "chargeback", 40 * day),  # no fraud in the end
        ("unknown", 1, "rule", 5 * day),
    )  # fmt: skip
    found = maturity(rows, labels)
    assert set(found) == {"any", "chargeback", "analyst"}
    assert {name: c.frauds for name, c in found.items()} == {
        "any": 2, "chargeback": 2, "analyst": 1,
    }  # fmt: skip
    assert found["analyst"].known_after_days == {0: 0.0, 1: 1.0}
    assert found["any"].known_after_days[1] == 0.5
    assert found["chargeback"].known_after_days[14] == 0.0
    assert found["chargeback"].known_after_days[30] == 1.0


def test_without_a_fraud_there_is_no_curve() -> None:
    rows, is_fraud = payments(2000)
    nothing = labels_of(rows, np.zeros(len(is_fraud), np.bool_))
    genuine = labels_of(rows, is_fraud)
    genuine = Batch({**genuine.columns, "is_fraud": np.zeros(len(genuine), np.int64)})
    assert maturity(rows, nothing) == maturity(rows, genuine) == {}
