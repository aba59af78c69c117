from __future__ import annotations

import numpy as np
import pytest

from alcyon.domain.admission import admit, admit_labels
from alcyon.domain.columns import NULL_INT, Batch, Column, Strings
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.errors import InputError
from alcyon.domain.tokens import TokenKeys
from alcyon.domain.validation import validate, validate_labels

KEYS = TokenKeys(1, b"0123456789abcdef")


def batch(**changes: Column | None) -> Batch:
    """Two good transactions with some columns replaced; None leaves one out."""
    columns: dict[str, Column | None] = {
        "transaction_id": Strings.from_list(["t1", "t2"]),
        "event_time": np.array([1_700_000_000_000, 1_700_000_000_001]),
        "amount_minor": np.array([1, 2]),
        "currency": Strings.from_list(["EUR", "JPY"]),
        "card_id": Strings.from_list(["c1", "c2"]),
        **changes,
    }
    return Batch({name: column for name, column in columns.items() if column is not None})


def test_good_transactions_have_no_fault() -> None:
    verdict = validate(batch())
    assert verdict.accepted.tolist() == [True, True]
    assert verdict.faults == []


@pytest.mark.parametrize("name", ["transaction_id", "event_time", "amount_minor", "currency"])
def test_a_required_column_absent_from_a_file_is_an_error(name: str) -> None:
    with pytest.raises(InputError, match=name):
        validate(batch(**{name: None}))


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("transaction_id", Strings.from_list([None, "t2"])),
        ("currency", Strings.from_list([None, "EUR"])),
        ("event_time", np.array([NULL_INT, 1_700_000_000_000])),
        ("amount_minor", np.array([NULL_INT, 1])),
    ],
)
def test_a_null_in_a_required_column_is_a_missing_field(name: str, column: Column) -> None:
    verdict = validate(batch(**{name: column}))
    assert [(f.row, f.reason) for f in verdict.faults] == [(0, "missing_field")]
    assert verdict.accepted.tolist() == [False, True]


def test_one_holder_is_enough_and_an_empty_one_is_a_value() -> None:
    both = batch(card_id=Strings.from_list(["", None]), customer_id=Strings.from_list(["a", "b"]))
    assert not validate(both).faults
    neither = batch(card_id=Strings.from_list(["", None]), account_id=Strings.nulls(2))
    assert [f.reason for f in validate(neither).faults] == ["empty_id", "no_holder"]
    assert [f.reason for f in validate(batch(card_id=None)).faults] == ["no_holder"] * 2


def test_only_the_first_fault_of_a_row_counts() -> None:
    bad = batch(amount_minor=np.array([-1, 1]), currency=Strings.from_list(["?", "EUR"]))
    assert [f.reason for f in validate(bad).faults] == ["unknown_currency"]


def test_infinite_numbers_in_a_detectors_column_are_refused_and_nulls_are_not() -> None:
    verdict = validate(batch(ratio=np.array([np.inf, np.nan])))
    assert [(f.row, f.reason) for f in verdict.faults] == [(0, "ratio_out_of_range")]


def test_nulls_of_optional_columns_are_no_fault() -> None:
    nulls = batch(
        latitude=np.array([np.nan, 90.0]),
        utc_offset_minutes=np.array([NULL_INT, -840]),
        amount_base_minor=np.array([NULL_INT, 0]),
    )
    assert not validate(nulls).faults


def test_admission_says_where_each_row_stood() -> None:
    admitted = admit(batch(amount_minor=np.array([-1, 100])), KEYS, DEFAULT_RATES)
    assert admitted.rows.tolist() == [1]
    assert admitted.batch.numbers("amount_base_minor").tolist() == [61]
    assert [f.row for f in admitted.faults] == [0]


def test_labels_are_checked_too() -> None:
    labels = Batch(
        {
            "label_id": Strings.from_list(["l1", "l2"]),
            "transaction_id": Strings.from_list(["t1", "4111111111111111"]),
            "is_fraud": np.array([NULL_INT, 1]),
            "source": Strings.from_list(["issuer", "issuer"]),
            "labelled_at": np.array([1_700_000_000_000, 1_700_000_000_000]),
        }
    )
    assert [f.reason for f in validate_labels(labels).faults] == ["missing_field"]
    admitted = admit_labels(labels, KEYS)
    assert admitted.batch.strings("transaction_id").to_list() == [KEYS.token("4111111111111111")]
    with pytest.raises(InputError, match="source"):
        validate_labels(Batch({k: c for k, c in labels.columns.items() if k != "source"}))
