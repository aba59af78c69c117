"""Data that a model can be made of, with something odd about it: each is said."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from alcyon.domain.columns import Batch, concatenate
from alcyon.domain.errors import InputError
from alcyon.learning.dataset import Rows, SplitRules, build_dataset
from alcyon.learning.findings import findings
from alcyon.learning.training import TrainingSettings, fit_ensemble
from tests.learning.synthetic import NAMES, labels_of, payments
from tests.learning.test_dataset import said


def found(rows: Rows, labels: Batch) -> tuple[str, ...]:
    return findings(rows, labels, build_dataset(rows, labels, SplitRules()))


@cache
def plain() -> tuple[Rows, Batch]:
    rows, is_fraud = payments()
    return rows, labels_of(rows, is_fraud)


def with_feature(column: int, value: float) -> Rows:
    rows, _ = payments()
    features = rows.features.copy()
    features[:, column] = value
    return replace(rows, features=features)


def test_nothing_is_said_of_plain_data() -> None:
    assert found(*plain()) == ()


def test_few_frauds_are_a_warning_and_fewer_a_refusal() -> None:
    rows, is_fraud = payments()
    few = is_fraud & (np.arange(len(is_fraud)) % 8 == 0)
    labels = labels_of(rows, few)
    d = build_dataset(rows, labels, SplitRules())
    frauds = {
        name: int(span.is_fraud.sum())
        for name, span in (("train", d.train), ("validation", d.validation), ("test", d.test))
    }
    assert min(frauds.values()) < 50
    assert [line.split(":")[0] for line in findings(rows, labels, d)] == [
        f"the {name} span holds {n} known frauds" for name, n in frauds.items() if n < 50
    ]
    too_few = labels_of(rows, is_fraud & (np.arange(len(is_fraud)) % 40 == 0))
    with pytest.raises(InputError, match="known frauds in"):
        build_dataset(rows, too_few, SplitRules())


@pytest.mark.parametrize(
    ("value", "said_of_it"),
    [(np.nan, "null in every training row"), (4.0, "the same in every training row")],
)
def test_a_feature_that_says_nothing_is_named_and_does_no_harm(
    value: float, said_of_it: str
) -> None:
    rows = with_feature(2, value)
    labels = plain()[1]
    dataset = build_dataset(rows, labels, SplitRules())
    (line,) = findings(rows, labels, dataset)
    assert line.startswith(f"{NAMES[2]}: {said_of_it}")
    ensemble, _ = fit_ensemble(dataset.train, dataset.validation, TrainingSettings())
    odd = dataset.test.features[:200].copy()
    odd[:, 2] = 1e9  # what never varied in training has no say later either
    log_odds = ensemble.log_odds(odd)
    assert np.isfinite(log_odds).all()
    np.testing.assert_allclose(
        ensemble.signals(odd)[:, 2:], ensemble.signals(dataset.test.features[:200])[:, 2:]
    )


def test_labels_of_transactions_that_are_not_there_are_counted() -> None:
    rows, labels = plain()
    strangers = said(("nobody", 1, "issuer", 5), ("nobody too", 0, "issuer", 5))
    (line,) = found(rows, concatenate([labels, strangers]))
    assert line.startswith(f"2 of {len(labels) + 2:,} labels are of transactions")


def test_contradictory_labels_are_counted_with_what_they_come_to() -> None:
    """An analyst against the issuer, who is trusted more; the issuer against itself."""
    rows, labels = plain()
    frauds = labels.strings("transaction_id").to_list()[:3]
    at = int(labels.numbers("labelled_at").max())
    against = said(
        (frauds[0] or "", 0, "analyst", at), (frauds[1] or "", 0, "issuer", at),
        (frauds[2] or "", 1, "issuer", at),
    )  # fmt: skip
    (line,) = found(rows, concatenate([labels, against]))
    assert line.startswith("the labels of 2 transactions contradict each other")
    assert line.endswith("makes 1 of them frauds")
