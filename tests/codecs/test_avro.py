from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from tests.codecs.avro_records import (
    GOOD,
    TYPES,
    Registry,
    body,
    decoded_one,
    decoder,
    record_schema,
    wire,
    without_base,
    written,
)

from alcyon.codecs.json import (
    encode,
)
from alcyon.domain.errors import UnreachableError

EVOLVED: Mapping[str, tuple[Mapping[str, object], Mapping[str, object], Mapping[str, object]]] = {
    "an unknown field": ({"z": "string"}, {"z": "x" * 100}, {}),
    "an optional field": ({"country": ["null", "string"]}, {"country": "DE"}, {"country": "DE"}),
    "null last": ({"country": ["string", "null"]}, {"country": None}, {}),
    "null in the middle": (
        {"latitude": ["double", "null", "float"]}, {"latitude": 1.5}, {"latitude": 1.5},
    ),
    "a type that is null": ({"country": "null"}, {"country": None}, {}),
    "int for long": ({"amount_minor": "int"}, {"amount_minor": 7}, {"amount_minor": 7}),
    "double for long": ({"amount_minor": "double"}, {"amount_minor": 7.0}, {"amount_minor": 7}),
    "float for long": ({"amount_minor": "float"}, {"amount_minor": 7.0}, {"amount_minor": 7}),
    "int for double": ({"latitude": "int"}, {"latitude": -7}, {"latitude": -7.0}),
    "long for double": ({"ratio": "long"}, {"ratio": 2**53 + 1}, {"ratio": float(2**53 + 1)}),
    "float for double": ({"latitude": "float"}, {"latitude": 0.25}, {"latitude": 0.25}),
    "microseconds": (
        {"event_time": {"type": "long", "logicalType": "timestamp-micros"}},
        {"event_time": 1_700_000_000_000_999}, {"event_time": 1_700_000_000_000},
    ),
    "nanoseconds": (
        {"event_time": {"type": "long", "logicalType": "timestamp-nanos"}},
        {"event_time": 1_700_000_000_000_999_999}, {"event_time": 1_700_000_000_000},
    ),
    "a plain long": ({"event_time": "long"}, {}, {}),
    "a logical type nobody knows": (
        {"event_time": {"type": "long", "logicalType": "stardate"}}, {}, {},
    ),
    "a time as text": (
        {"event_time": "string"}, {"event_time": "2023-11-14T23:13:20.001+01:00"},
        {"event_time": 1_700_000_000_001},
    ),
    "an enum": (
        {"channel": {"type": "enum", "name": "Channel", "symbols": ["POS", "WEB"]}},
        {"channel": "WEB"}, {"channel": "WEB"},
    ),
    "a nullable enum of a namespace": (
        {"channel": ["null", {"type": "enum", "name": "a.b.Channel", "symbols": ["POS", "WEB"]}]},
        {"channel": "POS"}, {"channel": "POS"},
    ),
    "bytes for text": ({"country": "bytes"}, {"country": "é".encode()}, {"country": "é"}),
    "a uuid": (
        {"transaction_id": {"type": "string", "logicalType": "uuid"}},
        {"transaction_id": "9f0c6f0e-52f1-4f0e-9d0b-3c1a0e3b9b52"},
        {"transaction_id": "9f0c6f0e-52f1-4f0e-9d0b-3c1a0e3b9b52"},
    ),
    "a boolean": ({"is_new": "boolean"}, {"is_new": True}, {"is_new": 1}),
    "an int for a boolean": ({"is_new": ["null", "int"]}, {"is_new": 0}, {"is_new": 0}),
    "text of another alphabet": ({"note": "string"}, {"note": "日本 é"}, {"note": "日本 é"}),
    "an empty text": ({"note": ["null", "string"]}, {"note": ""}, {"note": ""}),
}  # fmt: skip


@pytest.mark.parametrize("change", EVOLVED, ids=str)
def test_a_changed_schema_is_read_by_field_name(change: str) -> None:
    types, values, expected = EVOLVED[change]
    registry = Registry()
    payload = written(registry, types, **values)
    assert without_base(decoded_one(registry, payload)) == {**GOOD, **expected}


def test_a_removed_optional_field_is_null_beside_records_that_have_it() -> None:
    registry = Registry()
    full = written(registry, {"country": ["null", "string"], "latitude": "double"},
                   country="DE", latitude=1.0)  # fmt: skip
    lean = written(registry, {}, transaction_id="t2")
    text = json.dumps({**GOOD, "transaction_id": "t3", "device_id": "d"}).encode()
    result = decoder(registry).decode([lean, full, text, lean])
    records = [without_base(json.loads(r)) for r in encode(result.batch)]
    assert records[1] == {**GOOD, "country": "DE", "latitude": 1.0}
    assert records[0] == records[3] == {**GOOD, "transaction_id": "t2"}
    assert records[2] == {**GOOD, "transaction_id": "t3", "device_id": "d"}
    assert result.rows.tolist() == [0, 1, 2, 3]


def test_a_type_may_be_wrapped_in_a_type() -> None:
    registry = Registry()
    schema_id = registry.add(record_schema({**TYPES, "card_id": {"type": ["null", "string"]}}))
    payload = wire(schema_id, body(record_schema(TYPES), GOOD))
    assert without_base(decoded_one(registry, payload)) == GOOD


def test_blocks_may_tell_their_size() -> None:
    registry = Registry()
    types = {"z": {"type": "array", "items": "int"}, "y": {"type": "map", "values": "boolean"}}
    array = b"\x03\x04\x02\x04" + b"\x02\x06" + b"\x00"  # two in a block of 2 bytes, and one
    table = b"\x01\x06\x02a\x01" + b"\x00"
    schema_id = registry.add(record_schema({**types, **TYPES}))
    payload = wire(schema_id, array + table + body(record_schema(TYPES), GOOD))
    assert without_base(decoded_one(registry, payload)) == GOOD


def test_fields_in_any_order_and_names_in_namespaces_are_found() -> None:
    registry = Registry()
    money = {"type": "record", "name": "Money", "fields": [{"name": "c", "type": "Kind"}]}
    types = {
        "z": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]},
        "y": ["null", money],
        "x": {"type": "array", "items": "org.bank.Money"},
        **dict(reversed(list(TYPES.items()))),
    }
    schema = record_schema(types, namespace="org.bank")
    record = {**GOOD, "z": "B", "y": {"c": "A"}, "x": [{"c": "B"}, {"c": "A"}]}
    payload = wire(registry.add(schema), body(schema, record))
    assert without_base(decoded_one(registry, payload)) == GOOD


def test_an_unknown_id_is_asked_for_again_and_a_known_one_is_not() -> None:
    registry = Registry()
    first, second = written(registry, {}), wire(2, body(record_schema(TYPES), GOOD))
    decode = decoder(registry).decode
    found = [decode([first, second, second]) for _ in range(2)]
    assert [f.reason for f in found[0].dead] == ["unknown_schema"] * 2
    registry.add(record_schema(TYPES))
    assert not decode([first, second, second]).dead
    assert registry.asked == [1, 2, 2, 2]


def test_an_unreachable_registry_refuses_nothing() -> None:
    registry = Registry()
    first, second = written(registry, {}), written(registry, {"z": "int"}, z=1)
    decode = decoder(registry).decode
    assert not decode([first]).dead
    registry.is_down = True
    assert not decode([first]).dead
    with pytest.raises(UnreachableError):
        decode([first, json.dumps(GOOD).encode(), second])
    registry.is_down = False
    assert not decode([first, second]).dead


def test_what_was_unknown_when_first_read_is_refused_again() -> None:
    registry = Registry()
    late = wire(1, body(record_schema(TYPES), GOOD))
    text = json.dumps(GOOD).encode()
    then = decoder(registry).decode([text, late, late])
    registry.add(record_schema(TYPES))
    now = decoder(registry).decode([text, late, late], refused={f.row for f in then.dead})
    assert [(f.row, f.reason) for f in now.dead] == [(1, "unknown_schema"), (2, "unknown_schema")]
    assert now.rows.tolist() == then.rows.tolist()
    later = decoder(registry).decode([text, late, late], refused={1})
    assert (later.rows.tolist(), [f.row for f in later.dead]) == ([0, 2], [1])


@pytest.mark.parametrize("registry", [Registry(), None], ids=["lost it", "not set"])
def test_what_was_decided_is_not_refused_because_its_schema_is_gone(
    registry: Registry | None,
) -> None:
    with pytest.raises(UnreachableError, match=r"schema 1, .*registry\.url"):
        decoder(registry).decode([wire(1, b"")], refused=())


def test_without_a_registry_avro_is_refused_and_json_is_not() -> None:
    payloads = [json.dumps(GOOD).encode(), wire(1, body(record_schema(TYPES), GOOD))]
    result = decoder(None).decode(payloads)
    assert [(f.row, f.reason) for f in result.dead] == [(1, "unknown_schema")]
    assert "registry.url" in result.dead[0].detail
    assert result.rows.tolist() == [0]


def test_an_id_of_more_than_31_bits_is_not_asked_for() -> None:
    registry = Registry()
    result = decoder(registry).decode([wire(2**31, b""), wire(2**31 - 1, b"")])
    assert [f.reason for f in result.dead] == ["unknown_schema"] * 2
    assert registry.asked == [2**31 - 1]
