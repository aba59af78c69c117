from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alcyon.codecs.json import PAYLOAD_BYTES_MAX, Decoded, TransactionDecoder, encode
from alcyon.codecs.json_scan import scan
from alcyon.domain.columns import ColumnType
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.tokens import TokenKeys
from alcyon.domain.transaction import COLUMNS, REQUIRED

KEYS = TokenKeys(1, b"0123456789abcdef")
EXTRA = {"is_new": ColumnType.BOOLEAN, "note": ColumnType.STRING, "ratio": ColumnType.FLOAT}
DECODER = TransactionDecoder(KEYS, DEFAULT_RATES, EXTRA)
GOOD: Mapping[str, object] = {
    "transaction_id": "t1",
    "event_time": 1_700_000_000_000,
    "amount_minor": 1250,
    "currency": "EUR",
    "card_id": "c1",
}


def payload(**changes: object) -> bytes:
    """A good payload with some fields changed; None leaves the field out."""
    record = {k: v for k, v in {**GOOD, **changes}.items() if v is not None}
    return json.dumps(record).encode()


def raw(field: str, literal: str) -> bytes:
    """A good payload with the JSON text of one field replaced."""
    return payload(**{field: "@"}).replace(b'"@"', literal.encode())


def decoded_one(data: bytes) -> dict[str, object]:
    result = DECODER.decode([data])
    assert not result.dead, result.dead
    record: dict[str, object] = json.loads(encode(result.batch)[0])
    return record


def check_accounts_for_all(result: Decoded, n: int) -> None:
    dead = [fault.row for fault in result.dead]
    assert sorted([*result.rows.tolist(), *dead]) == list(range(n))
    assert len(result.batch) == len(result.rows)
    assert result.rows.tolist() == sorted(result.rows.tolist())
    assert dead == sorted(dead)


BAD = {
    "empty": (b"", "invalid_json"),
    "truncated": (payload()[:-5], "invalid_json"),
    "trailing": (payload() + b"x", "invalid_json"),
    "not UTF-8": (payload().replace(b"t1", b"\xff"), "invalid_json"),
    "not UTF-8 in an ignored field": (payload(z="@").replace(b"@", b"\xc3"), "invalid_json"),
    "not UTF-8 in an ignored key": (payload(z="@").replace(b'"z"', b'"\xff"'), "invalid_json"),
    "not an object": (b"[1]", "invalid_json"),
    "a string": (b'"x"', "invalid_json"),
    "NaN": (raw("amount_minor", "NaN"), "invalid_json"),
    "Infinity": (raw("latitude", "-Infinity"), "invalid_json"),
    "NaN in an ignored field": (raw("z", "NaN"), "invalid_json"),
    "lone surrogate": (raw("note", r'"\ud800"'), "invalid_json"),
    "duplicate key": (payload()[:-1] + b',"amount_minor":1}', "invalid_json"),
    "duplicate escaped key": (payload()[:-1] + rb',"\u0061mount_minor":1}', "invalid_json"),
    "duplicate ignored key": (payload()[:-1] + b',"z":1,"z":2}', "invalid_json"),
    "duplicate key beside a raw control character": (
        payload()[:-1] + b',"amount_minor":1,"z":"\x01"}',
        "invalid_json",
    ),
    "nested beyond the bound": (raw("z", "[" * 40 + "]" * 40), "invalid_json"),
    "nested very deeply": (raw("z", "[" * 30_000 + "]" * 30_000), "invalid_json"),
    "5 MB": (raw("z", f'"{"x" * 5_000_000}"'), "payload_too_large"),
    "just too large": (payload() + b" " * PAYLOAD_BYTES_MAX, "payload_too_large"),
    "no id": (payload(transaction_id=None), "missing_field"),
    "null time": (raw("event_time", "null"), "missing_field"),
    "amount as text": (payload(amount_minor="12"), "wrong_type"),
    "amount as float": (payload(amount_minor=12.0), "wrong_type"),
    "amount as boolean": (payload(amount_minor=True), "wrong_type"),
    "id as number": (payload(transaction_id=7), "wrong_type"),
    "merchant as object": (payload(merchant_id={"id": 1}), "wrong_type"),
    "flag as text": (payload(is_new="yes"), "wrong_type"),
    "time without offset": (payload(event_time="2024-01-01T00:00:00"), "wrong_type"),
    "time as words": (payload(event_time="yesterday"), "wrong_type"),
    "empty id": (payload(transaction_id=""), "empty_id"),
    "empty holder": (payload(card_id=""), "empty_id"),
    "no holder": (payload(card_id=None), "no_holder"),
    "null holder": (raw("card_id", "null"), "no_holder"),
    "long id": (payload(transaction_id="x" * 257), "id_too_long"),
    "long id in bytes": (payload(merchant_id="é" * 129), "id_too_long"),
    "long text": (payload(category="x" * 257), "text_too_long"),
    "newline in id": (payload(card_id="a\nb"), "control_character"),
    "zero in id": (payload(card_id="a\0b"), "control_character"),
    "zero alone": (payload(merchant_id="\0"), "control_character"),
    "the null mark": (payload(card_id="\x01"), "control_character"),
    "the null mark in optional text": (payload(note="\x01"), "control_character"),
    "DEL in text": (payload(country="a\x7f"), "control_character"),
    "no such currency": (payload(currency="EUX"), "unknown_currency"),
    "small letters": (payload(currency="eur"), "unknown_currency"),
    "empty currency": (payload(currency=""), "unknown_currency"),
    "no rate": (payload(currency="XAF"), "no_rate"),
    "negative": (payload(amount_minor=-1), "negative_amount"),
    "negative base": (payload(amount_base_minor=-1), "negative_amount"),
    "just too much": (payload(amount_minor=10**15 + 1), "amount_out_of_range"),
    "beyond int64": (payload(amount_minor=2**63), "amount_out_of_range"),
    "the null of int64": (payload(amount_minor=-(2**63)), "amount_out_of_range"),
    "400 digits": (payload(amount_minor=10**400), "amount_out_of_range"),
    "5000 digits": (raw("amount_minor", "9" * 5000), "amount_out_of_range"),
    "1e400": (raw("amount_minor", "1e400"), "amount_out_of_range"),
    "seconds": (payload(event_time=1_700_000_000), "event_time_out_of_range"),
    "nanoseconds": (payload(event_time=1_700_000_000_000_000_000), "event_time_out_of_range"),
    "year 9999": (payload(event_time="9999-12-31T23:59:59Z"), "event_time_out_of_range"),
    "year 1999": (payload(event_time="1999-12-31T23:59:59.999Z"), "event_time_out_of_range"),
    "year 2100": (payload(event_time=4_102_444_800_000), "event_time_out_of_range"),
    "latitude": (payload(latitude=90.5), "latitude_out_of_range"),
    "longitude": (payload(merchant_longitude=-181), "merchant_longitude_out_of_range"),
    "latitude 1e999": (raw("latitude", "1e999"), "latitude_out_of_range"),
    "offset": (payload(utc_offset_minutes=841), "utc_offset_minutes_out_of_range"),
}


@pytest.mark.parametrize(("data", "reason"), BAD.values(), ids=BAD.keys())
def test_a_bad_record_leaves_with_its_reason_and_harms_no_neighbour(
    data: bytes, reason: str
) -> None:
    result = DECODER.decode([payload(), data, payload(transaction_id="t2")])
    check_accounts_for_all(result, 3)
    assert [(f.row, f.reason) for f in result.dead] == [(1, reason)]
    assert "\n" not in result.dead[0].detail
    assert result.batch.strings("transaction_id").to_list() == ["t1", "t2"]


def test_all_bad_records_at_once_leave_the_good_ones() -> None:
    payloads = [p for bad, _ in BAD.values() for p in (bad, payload())]
    result = DECODER.decode(payloads)
    check_accounts_for_all(result, len(payloads))
    assert [f.reason for f in result.dead] == [reason for _, reason in BAD.values()]


def test_seconds_are_recognised() -> None:
    detail = DECODER.decode([payload(event_time=1_700_000_000)]).dead[0].detail
    assert "seconds" in detail
    assert "milliseconds" in detail


def test_details_never_show_a_card_number() -> None:
    for field in ("currency", "event_time", "amount_minor"):
        value: object = "4111111111111111" if field == "currency" else 4111111111111111
        (fault,) = DECODER.decode([payload(**{field: value})]).dead
        assert "4111111111111111" not in fault.detail


def test_details_are_bounded_and_masked_whatever_they_quote() -> None:
    key = "4111111111111111" + "x" * 20_000
    (fault,) = DECODER.decode([payload()[:-1] + f',"{key}":1,"{key}":2}}'.encode()]).dead
    assert fault.reason == "invalid_json"
    assert len(fault.detail) <= 300
    assert "4111111111111111" not in fault.detail


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-15T00:13:20.5+02:00", 1_700_000_000_500),
        ("2000-01-01T00:00:00.000999Z", 946_684_800_000),
    ],
)
def test_event_time_may_be_rfc_3339(text: str, expected: int) -> None:
    assert decoded_one(payload(event_time=text))["event_time"] == expected


def test_absent_and_null_are_the_same_and_unknown_fields_are_ignored() -> None:
    result = DECODER.decode([raw("device_id", "null"), payload(zzz={"a": [1, {"b": "}"}]})])
    assert not result.dead
    assert encode(result.batch)[0] == encode(result.batch)[1]
    assert "merchant_id" not in result.batch


def test_a_column_that_some_have_is_null_for_the_others() -> None:
    result = DECODER.decode([payload(ip="::1", latitude=1), payload(), raw("ip", "null")])
    assert result.batch.strings("ip").to_list() == ["::1", None, None]
    assert np.isnan(result.batch.numbers("latitude")).tolist() == [False, True, True]


def test_an_empty_string_is_a_value() -> None:
    result = DECODER.decode([payload(device_id=""), payload()])
    assert result.batch.strings("device_id").to_list() == ["", None]


def test_card_numbers_become_tokens() -> None:
    record = decoded_one(payload(card_id="4111 1111 1111 1111"))
    assert record["card_id"] == KEYS.token("4111111111111111")
    assert (record["card_bin"], record["card_last4"]) == ("411111", "1111")


def test_base_amount_is_filled_only_where_absent() -> None:
    given_base, absent = payload(amount_base_minor=7, currency="XAF"), payload(currency="JPY")
    result = DECODER.decode([given_base, absent])
    assert result.batch.numbers("amount_base_minor").tolist() == [7, 762]  # 1250 · 0.61 = 762.5


def test_boolean_extras_are_zero_and_one() -> None:
    result = DECODER.decode([payload(is_new=True), payload(is_new=0), payload()])
    assert result.batch.numbers("is_new").tolist()[:2] == [1, 0]


def test_nothing_gives_nothing_with_all_columns() -> None:
    for payloads in ([], [b"{"]):
        batch = DECODER.decode(payloads).batch
        assert len(batch) == 0
        assert set(batch.columns) == {*COLUMNS, *EXTRA}


def test_the_result_does_not_depend_on_the_batch() -> None:
    payloads = [p for bad, _ in BAD.values() for p in (bad, payload(ip="1.1.1.1"))]
    whole = DECODER.decode(payloads)
    alone = [DECODER.decode([p]) for p in payloads]
    assert encode(whole.batch) == [line for d in alone for line in encode(d.batch)]
    assert [f[1:] for f in whole.dead] == [f[1:] for d in alone for f in d.dead]


def test_canonical_keys_differ_in_their_signature() -> None:
    """Otherwise every record would take the slow look for duplicate keys."""
    full = dict.fromkeys(COLUMNS, "x") | dict.fromkeys(EXTRA, "x")
    data = json.dumps(full).encode()
    _, all_plain = scan(np.frombuffer(data, np.uint8), np.array([len(data)]))
    assert all_plain


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
VALUES = {
    ColumnType.STRING: TEXT,
    ColumnType.INT: st.integers(0, 800),
    ColumnType.FLOAT: st.floats(-90, 90),
    ColumnType.BOOLEAN: st.booleans(),
}
RECORDS = st.fixed_dictionaries(
    {
        "transaction_id": TEXT,
        "event_time": st.integers(946_684_800_000, 4_102_444_799_999),
        "amount_minor": st.integers(0, 10**15),
        "currency": st.sampled_from(["EUR", "JPY", "KWD"]),
        "card_id": TEXT,
    },
    optional={
        name: st.none() | VALUES[kind]
        for name, kind in {**COLUMNS, **EXTRA}.items()
        if name not in REQUIRED and name not in ("card_id", "amount_base_minor")
    },
)


@given(st.lists(RECORDS, min_size=1, max_size=6))
def test_decoded_values_equal_pythons_own_parser(records: list[dict[str, object]]) -> None:
    payloads = [json.dumps(r).encode() for r in records]
    result = DECODER.decode(payloads)
    assert not result.dead
    for line, data in zip(encode(result.batch), payloads, strict=True):
        expected = {k: v for k, v in json.loads(data).items() if v is not None}
        got = json.loads(line)
        got.pop("amount_base_minor")
        tokens = {k for k, v in got.items() if str(v).startswith("k1_")}
        assert {k: v for k, v in got.items() if k not in tokens} == {
            k: v for k, v in expected.items() if k not in tokens
        }


@given(st.lists(RECORDS, min_size=1, max_size=6))
def test_encoding_and_decoding_again_changes_nothing(records: list[dict[str, object]]) -> None:
    once = encode(DECODER.decode([json.dumps(r).encode() for r in records]).batch)
    again = encode(DECODER.decode(once).batch)
    assert [json.loads(line) for line in again] == [json.loads(line) for line in once]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = st.sampled_from([*COLUMNS, *EXTRA, "other"])


@settings(max_examples=300)
@given(
    st.lists(
        st.binary(max_size=60)
        | JSON_VALUES.map(lambda v: json.dumps(v).encode())
        | st.dictionaries(NAMES, JSON_VALUES, max_size=8).map(lambda v: payload(**v))
        | st.tuples(st.integers(0, 120), st.binary(max_size=3)).map(
            lambda cut: payload()[: cut[0]] + cut[1] + payload()[cut[0] + len(cut[1]) :]
        ),
        max_size=8,
    )
)
def test_no_bytes_raise_and_every_payload_is_accounted_for_once(payloads: list[bytes]) -> None:
    check_accounts_for_all(DECODER.decode(payloads), len(payloads))


@given(st.lists(st.tuples(NAMES, JSON_VALUES), max_size=8))
def test_a_duplicate_key_is_always_found(pairs: list[tuple[str, object]]) -> None:
    body = ",".join(f"{json.dumps(k)}:{json.dumps(v)}" for k, v in pairs)
    names = [name for name, _ in pairs]
    good = payload().decode()[1:-1]
    result = DECODER.decode([f"{{{good},{body}}}".encode() if body else payload()])
    if len(set(names) | set(GOOD)) < len(names) + len(GOOD):
        assert not len(result.rows)
