from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from tests.codecs.avro_records import (
    GOOD,
    TYPES,
    Registry,
    body,
    check_neighbours,
    decoded_one,
    decoder,
    record_schema,
    tree,
    wire,
    without_base,
    written,
)

from alcyon.codecs.json import (
    PAYLOAD_BYTES_MAX,
)

LOCAL = {"type": "long", "logicalType": "local-timestamp-millis"}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
WRONG: Mapping[str, tuple[Mapping[str, object], Mapping[str, object], str]] = {
    "a fraction": ({"amount_minor": "double"}, {"amount_minor": 12.5}, "wrong_type"),
    "not a number": ({"amount_minor": "double"}, {"amount_minor": float("nan")}, "wrong_type"),
    "NaN for a number": ({"latitude": "double"}, {"latitude": float("nan")}, "wrong_type"),
    "infinite": ({"amount_minor": "float"}, {"amount_minor": float("inf")}, "amount_out_of_range"),
    "infinite degrees": (
        {"latitude": "double"}, {"latitude": float("-inf")}, "latitude_out_of_range",
    ),
    "2 to the 63": ({"amount_minor": "double"}, {"amount_minor": 2.0**63}, "amount_out_of_range"),
    "int64's null": ({}, {"amount_minor": -(2**63)}, "amount_out_of_range"),
    "text for a number": ({"amount_minor": "string"}, {"amount_minor": "7"}, "wrong_type"),
    "a boolean for a number": ({"amount_minor": "boolean"}, {"amount_minor": True}, "wrong_type"),
    "a number for text": ({"card_id": "long"}, {"card_id": 7}, "wrong_type"),
    "2 for a boolean": ({"is_new": "int"}, {"is_new": 2}, "wrong_type"),
    "a double for a boolean": ({"is_new": "double"}, {"is_new": 1.0}, "wrong_type"),
    "a record for text": (
        {"country": record_schema({"a": "int"}, name="A")}, {"country": {"a": 1}}, "wrong_type",
    ),
    "fixed for text": (
        {"country": {"type": "fixed", "name": "F", "size": 2}}, {"country": b"DE"}, "wrong_type",
    ),
    "an array": ({"note": {"type": "array", "items": "int"}}, {"note": [1, 2]}, "wrong_type"),
    "null where needed": (
        {"amount_minor": ["null", "long"]}, {"amount_minor": None}, "missing_field",
    ),
    "null text where needed": (
        {"currency": ["null", "string"]}, {"currency": None}, "missing_field",
    ),
    "no time in text": ({"event_time": "string"}, {"event_time": "noon"}, "wrong_type"),
    "empty text as time": ({"event_time": "string"}, {"event_time": ""}, "wrong_type"),
    "text without a zone": (
        {"event_time": "string"}, {"event_time": "2023-11-14T22:13:20"}, "wrong_type",
    ),
    "seconds": ({"event_time": "int"}, {"event_time": 1_700_000_000}, "event_time_out_of_range"),
    "bytes that are no UTF-8": ({"card_id": "bytes"}, {"card_id": b"\xff"}, "invalid_avro"),
    "a surrogate": ({"note": "bytes"}, {"note": b"\xed\xa0\x80"}, "invalid_avro"),
    "a zero": ({"note": "string"}, {"note": "a\0"}, "control_character"),
    "a one": ({"card_id": "string"}, {"card_id": "\1\1"}, "control_character"),
    "a newline": ({"note": "string"}, {"note": "a\n"}, "control_character"),
    "negative": ({}, {"amount_minor": -1}, "negative_amount"),
    "no holder": ({}, {"card_id": None}, "no_holder"),
    "no currency": ({}, {"currency": "EUX"}, "unknown_currency"),
    "no rate": ({}, {"currency": "XAF"}, "no_rate"),
    "long": ({}, {"transaction_id": "x" * 257}, "id_too_long"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_what_does_not_fit_leaves_with_its_reason_and_harms_no_neighbour(case: str) -> None:
    types, values, reason = WRONG[case]
    registry = Registry()
    assert check_neighbours(registry, written(registry, types, **values)) == reason


@pytest.mark.parametrize(("kind", "column"), [(LOCAL, "event_time"), (DECIMAL, "card_id")])
def test_local_times_and_decimals_are_refused(kind: dict[str, object], column: str) -> None:
    registry = Registry()
    plain = record_schema({**TYPES, column: kind["type"]})
    value = b"c1" if column == "card_id" else GOOD[column]
    schema_id = registry.add(record_schema({**TYPES, column: kind}))
    payload = wire(schema_id, body(plain, {**GOOD, column: value}))
    assert check_neighbours(registry, payload) == "wrong_type"


HOSTILE: Mapping[str, tuple[object, bytes]] = {
    "nothing": ("string", b""),
    "a negative length": ("string", b"\x01"),
    "a huge length": ("string", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    "the lowest length": ("string", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    "a number without end": ("long", b"\xff" * 40),
    "a number of 11 bytes": ("long", b"\x80" * 10 + b"\0"),
    "more than 64 bits": ("long", b"\xff" * 9 + b"\x02"),
    "an int of 33 bits": ("int", b"\x80\x80\x80\x80\x20"),
    "half a double": ("double", b"\0\0\0\0"),
    "half a float": ("float", b"\0"),
    "half a fixed": ({"type": "fixed", "name": "F", "size": 2**31 - 1}, b"\0"),
    "a boolean of 2": ("boolean", b"\2"),
    "a branch beyond the union": (["null", "int"], b"\4"),
    "a negative branch": (["null", "int"], b"\1"),
    "a union of nothing": ([], b"\0"),
    "a symbol beyond the enum": ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\2"),
    "a symbol below": ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\1"),
    "an array of nulls without end": (
        {"type": "array", "items": "null"}, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\0",
    ),
    "an array of empty records without end": (
        {"type": "array", "items": record_schema({}, name="R")}, b"\xfe\xff\xff\xff\x0f\0",
    ),
    "arrays of arrays of nulls": (
        {"type": "array", "items": {"type": "array", "items": "null"}},
        (b"\x02\xfe\xff\xff\xff\x0f\0") * 9,
    ),
    "the lowest block": (
        {"type": "array", "items": "int"}, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\0",
    ),
    "an array that does not end": ({"type": "array", "items": "int"}, b"\2\2"),
    "a map with a huge key": ({"type": "map", "values": "int"}, b"\2\xfe\xff\xff\xff\x0f"),
    "a map with a negative key": ({"type": "map", "values": "int"}, b"\2\1"),
    "a deep tree": (tree(), b"\0\2" * 30_000 + b"\0\0"),
    "a deep tree of arrays": (tree(), b"\0\4\2" * 10_000 + b"\0\0" + b"\0" * 10_000),
    "a record that holds itself": (record_schema({"me": "Loop"}, name="Loop"), b""),
}  # fmt: skip


@pytest.mark.parametrize("known", [False, True], ids=["ignored", "a column"])
@pytest.mark.parametrize("case", HOSTILE, ids=str)
def test_a_hostile_body_is_a_dead_letter(case: str, known: bool) -> None:
    kind, data = HOSTILE[case]
    registry = Registry()
    name = "country" if known else "z"
    schema_id = registry.add(record_schema({**TYPES, name: kind}))
    start = body(record_schema(TYPES), GOOD)
    assert check_neighbours(registry, wire(schema_id, start + data)) == "invalid_avro"


@pytest.mark.parametrize("kind", ["int", {"type": "array", "items": "Tree"}])
def test_recursive_schemas_are_passed_over(kind: object) -> None:
    registry = Registry()
    leaf = {"v": 1, "next": None}
    value = {"v": 1, "next": [leaf, {"v": 2, "next": leaf}, leaf]}
    payload = written(registry, {"z": tree(), "y": kind}, z=value, y=3 if kind == "int" else [leaf])
    assert without_base(decoded_one(registry, payload)) == GOOD


def test_garbage_around_and_instead_of_a_record_is_refused() -> None:
    registry = Registry()
    good = written(registry, {})
    large = written(registry, {"note": "string"}, note="x" * 5_000_000)
    for payload, reason in [
        (b"\0", "invalid_avro"),
        (good[:4], "invalid_avro"),
        (good[:5], "invalid_avro"),
        (good[:-1], "invalid_avro"),
        (good + b"\0", "invalid_avro"),
        (b"\0" + bytes(4) + b"garbage", "unknown_schema"),
        (b"\0\xff\xff\xff\xff" + good[5:], "unknown_schema"),
        (b"\0" * 5_000_000, "payload_too_large"),
        (large, "payload_too_large"),
        (good + bytes(PAYLOAD_BYTES_MAX), "payload_too_large"),
        (b"", "invalid_json"),
        (b"\1" + good[1:], "invalid_json"),
    ]:
        assert check_neighbours(registry, payload) == reason, payload[:20]


MISFITS: Mapping[str, object] = {
    "empty": "",
    "not JSON": "{",
    "not UTF-8": "\ud800",
    "a name": '"string"',
    "null": "null",
    "a protobuf": 'syntax = "proto3"; message P {}',
    "a JSON schema": {"type": "object", "properties": {}},
    "a union": [record_schema(TYPES)],
    "an enum": {"type": "enum", "name": "E", "symbols": ["A"]},
    "no fields": {"type": "record", "name": "P"},
    "fields of text": {"type": "record", "name": "P", "fields": "x"},
    "a field without a name": {"type": "record", "name": "P", "fields": [{"type": "int"}]},
    "a field without a type": record_schema({**TYPES, "z": None}),
    "no currency": record_schema({k: v for k, v in TYPES.items() if k != "currency"}),
    "a field twice": {
        **record_schema(TYPES), "fields": [{"name": "z", "type": "int"}] * 2,
    },
    "a type nobody knows": record_schema({**TYPES, "z": "Nothing"}),
    "a type twice": record_schema({**TYPES, "z": tree(), "y": tree()}),
    "a type called string": record_schema({**TYPES, "z": record_schema({}, name="string")}),
    "a union in a union": record_schema({**TYPES, "z": ["null", ["int", "long"]]}),
    "a negative fixed": record_schema({**TYPES, "z": {"type": "fixed", "name": "F", "size": -1}}),
    "a huge fixed": record_schema({**TYPES, "z": {"type": "fixed", "name": "F", "size": 10**30}}),
    "symbols of numbers": record_schema(
        {**TYPES, "z": {"type": "enum", "name": "E", "symbols": [1]}}
    ),
    "a type that is a number": record_schema({**TYPES, "z": 7}),
    "items of nothing": record_schema({**TYPES, "z": {"type": "array"}}),
    "nested in JSON": "[" * 500_000,
    "nested arrays": '{"type":"array","items":' * 20_000 + '"int"' + "}" * 20_000,
    "nested in a field": json.dumps(record_schema({**TYPES, "z": "@"})).replace(
        '"@"', '{"type":"array","items":' * 300 + '"int"' + "}" * 300
    ),
    "too long": record_schema(TYPES, doc="x" * 2_000_000),
    "too many parts": record_schema({**TYPES, "z": ["int"] * 70_000}),
}  # fmt: skip


@pytest.mark.parametrize("case", MISFITS, ids=str)
def test_a_schema_that_cannot_be_used_refuses_its_records(case: str) -> None:
    registry = Registry()
    schema_id = registry.add(MISFITS[case])
    payload = wire(schema_id, body(record_schema(TYPES), GOOD))
    assert check_neighbours(registry, payload) == "schema_mismatch"
    assert f"schema {schema_id} " in decoder(registry).decode([payload]).dead[0].detail


def test_details_hold_no_card_number() -> None:
    registry = Registry()
    schema = record_schema({**TYPES, "z": "4111111111111111"})
    assert "4111111111111111" not in str(
        decoder(registry).decode([wire(registry.add(schema), b"")])
    )
