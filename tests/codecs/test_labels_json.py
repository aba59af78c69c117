from __future__ import annotations

import json

import pytest

from alcyon.codecs.json import LabelDecoder, encode_labels
from alcyon.domain.tokens import TokenKeys

KEYS = TokenKeys(1, b"0123456789abcdef")
DECODER = LabelDecoder(KEYS)
GOOD = {
    "label_id": "l1",
    "transaction_id": "t1",
    "is_fraud": True,
    "source": "chargeback",
    "labelled_at": 1_700_000_000_000,
    "loss_minor": 100,
}


def payload(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def test_labels_survive_a_round_trip() -> None:
    result = DECODER.decode([payload(), payload(is_fraud=0, author="ana")])
    assert not result.dead
    first, second = map(json.loads, encode_labels(result.batch))
    assert first == GOOD
    assert second == {**GOOD, "is_fraud": False, "author": "ana"}


def test_a_labels_transaction_gets_the_transactions_token() -> None:
    result = DECODER.decode([payload(transaction_id="4111111111111111")])
    assert result.batch.strings("transaction_id").to_list() == [KEYS.token("4111111111111111")]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("label_id", "", "empty_id"),
        ("transaction_id", None, "missing_field"),
        ("is_fraud", 2, "wrong_type"),
        ("source", "rumour", "unknown_source"),
        ("labelled_at", 1_700_000_000, "labelled_at_out_of_range"),
        ("loss_minor", -1, "negative_amount"),
        ("author", "x" * 300, "text_too_long"),
    ],
)
def test_a_bad_label_leaves_with_its_reason(field: str, value: object, reason: str) -> None:
    result = DECODER.decode([payload(), payload(**{field: value})])
    assert [(f.row, f.reason) for f in result.dead] == [(1, reason)]
    assert result.rows.tolist() == [0]
