from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alcyon.domain.columns import NULL_INT, Batch, Strings, concatenate
from alcyon.domain.errors import InputError
from alcyon.learning.dataset import DAY_MS, Rows, SplitRules, build_dataset
from alcyon.learning.truth import truth_of
from tests.learning.synthetic import START, dataset, labels_of, payments


def few_rows(n: int) -> Rows:
    return Rows(
        np.zeros((n, 1), np.float32),
        ("amount_minor",),
        Strings.from_list([f"t{i}" for i in range(n)]),
        np.arange(n) * DAY_MS,
        np.full(n, 100),
    )


def said(*labels: tuple[str, int, str, int], fraud_type: str | None = None) -> Batch:
    """Labels as (transaction, is_fraud, source, labelled_at)."""
    ids, fraud, source, at = zip(*labels, strict=True)
    return Batch(
        {
            "label_id": Strings.from_list([str(i) for i in range(len(ids))]),
            "transaction_id": Strings.from_list(ids),
            "is_fraud": np.array(fraud),
            "fraud_type": Strings.from_list([fraud_type] * len(ids)),
            "source": Strings.from_list(source),
            "labelled_at": np.array(at),
        }
    )


def test_spans_follow_each_other_and_the_label_delay_lies_before_the_cut_off() -> None:
    d, rules = dataset(), SplitRules()
    assert d.train.event_time.max() < d.validation.event_time.min()
    assert d.validation.event_time.max() < d.cut_off - rules.label_delay_ms
    assert d.test.event_time.min() >= d.cut_off
    assert len(d.train) > len(d.validation) > 1000
    assert len(d.test) > 1000


def test_training_knows_only_labels_given_by_the_cut_off() -> None:
    rows, is_fraud = payments()
    late = build_dataset(rows, labels_of(rows, is_fraud, delay_ms=11 * DAY_MS), SplitRules())
    prompt = dataset()
    known = late.validation.event_time + 11 * DAY_MS <= late.cut_off
    assert not late.validation.is_fraud[~known].any()
    assert np.array_equal(late.validation.is_fraud[known], prompt.validation.is_fraud[known])
    assert prompt.validation.is_fraud[~known].any()


def test_test_rows_too_young_for_their_labels_are_left_out() -> None:
    rows, is_fraud = payments()
    labels = labels_of(rows, is_fraud, delay_ms=0)
    d = build_dataset(rows, labels, SplitRules())
    assert d.test.event_time.max() < rows.event_time.max() + 1 - 7 * DAY_MS


def test_the_most_trusted_source_speaks_then_the_newest_label() -> None:
    labels = said(
        ("t0", 1, "chargeback", 5), ("t0", 0, "analyst", 9), ("t0", 0, "rule", 10),
        ("t1", 1, "analyst", 5), ("t1", 0, "analyst", 6),
        ("t2", 0, "analyst", 6), ("t2", 1, "analyst", 6),
        ("t3", 1, "rule", 7), ("t3", 0, "issuer", 2),
    )  # fmt: skip
    assert truth_of(few_rows(5).transaction_id, labels, None).is_fraud.tolist() == [
        True, False, True, False, False,
    ]  # fmt: skip
    assert truth_of(few_rows(5).transaction_id, labels, 5).is_fraud.tolist() == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_first_party_fraud_is_left_out_unless_asked_for() -> None:
    rows, is_fraud = payments()
    labels = labels_of(rows, is_fraud)
    types = ["first_party" if i % 2 else "card_theft" for i in range(len(labels))]
    labels = Batch({**labels.columns, "fraud_type": Strings.from_list(types)})
    without = build_dataset(rows, labels, SplitRules())
    whole = build_dataset(rows, labels, SplitRules(with_first_party=True))
    lost = len(whole.train) - len(without.train)
    assert lost == int(whole.train.is_fraud.sum()) - int(without.train.is_fraud.sum()) > 0


def test_without_a_test_span_everything_is_for_training() -> None:
    rows, is_fraud = payments()
    d = build_dataset(rows, labels_of(rows, is_fraud), SplitRules(test_share=0))
    assert len(d.test) == 0
    assert len(d.train) + len(d.validation) == len(rows.event_time)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("no rows", "no transactions"),
        ("no labels", "no labels"),
        ("too few", "known frauds"),
        ("no fraud", "holds 0 known frauds"),
        ("only frauds", "frauds only"),
        ("short", "too few for a label delay"),
        ("infinite", "infinite"),
        ("undated", "labelled_at"),
        ("from the future", "t7999 is dated 26,000 days after the last transaction"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused_with_a_remedy(case: str, message: str) -> None:
    rows, is_fraud = payments()
    labels = labels_of(rows, is_fraud)
    nothing = np.zeros(len(is_fraud), np.bool_)
    if case == "no rows":
        rows = few_rows(0)
    elif case == "no labels":
        labels = labels_of(rows, nothing)
    elif case == "too few":
        labels = labels_of(rows, is_fraud & (np.cumsum(is_fraud) <= 5))
    elif case == "no fraud":
        labels = Batch({**labels.columns, "is_fraud": np.zeros(len(labels), np.int64)})
    elif case == "only frauds":
        labels = labels_of(rows, ~nothing, delay_ms=0)
    elif case == "short":
        rows = replace(rows, event_time=START + (rows.event_time - START) // 20)
    elif case == "infinite":
        rows = replace(rows, features=np.where(np.isnan(rows.features), np.inf, rows.features))
    elif case == "from the future":
        future = said(("t7999", 1, "issuer", int(rows.event_time.max()) + 26_000 * DAY_MS))
        labels = concatenate([labels, future])
    else:
        labels = Batch({**labels.columns, "labelled_at": np.full(len(labels), NULL_INT)})
    with pytest.raises(InputError, match=message):
        build_dataset(rows, labels)
