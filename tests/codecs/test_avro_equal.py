from __future__ import annotations

import io
import json
from collections.abc import Mapping

import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.codecs.avro_records import (
    AVRO,
    EXTRA,
    GOOD,
    JSON,
    KEYS,
    TYPES,
    Registry,
    body,
    decoded_one,
    decoder,
    record_schema,
    tree,
    wire,
    without_base,
)

from alcyon.codecs.avro import (
    MixedLabelDecoder,
    encode_avro,
    encode_labels_avro,
    label_schema,
    transaction_schema,
)
from alcyon.codecs.json import (
    Decoded,
    LabelDecoder,
    encode,
    encode_labels,
)
from alcyon.domain.columns import NULL_INT, Batch, ColumnType, Strings
from alcyon.domain.transaction import COLUMNS, REQUIRED


def check_equal(one: Decoded, other: Decoded) -> None:
    assert one.rows.tolist() == other.rows.tolist()
    assert one.dead == other.dead
    assert encode(one.batch) == encode(other.batch)
    if len(one.batch):
        assert list(one.batch.columns) == list(other.batch.columns)


TEXTS = st.one_of(
    st.sampled_from(
        ["a", "", "4111111111111111", "x" * 256, "é" * 129, "a\nb", "\0", "\1", "\x7f"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
)
VALUES: Mapping[ColumnType, st.SearchStrategy[object]] = {
    ColumnType.STRING: TEXTS,
    ColumnType.INT: st.one_of(st.integers(0, 840), st.integers(-(2**63), 2**63 - 1)),
    ColumnType.FLOAT: st.floats(-91, 91),
    ColumnType.BOOLEAN: st.booleans(),
}
RECORDS = st.fixed_dictionaries(
    {
        "transaction_id": st.one_of(st.just("t1"), TEXTS, st.none()),
        "event_time": st.one_of(
            st.just(1_700_000_000_000), st.integers(-(2**63), 2**63 - 1), st.none()
        ),
        "amount_minor": st.one_of(st.integers(0, 2000), st.sampled_from([-1, 10**15 + 1, None])),
        "currency": st.sampled_from(["EUR", "JPY", "XAF", "eur", "", None]),
        "card_id": st.one_of(st.just("c1"), TEXTS, st.none()),
    },
    optional={
        name: st.one_of(st.none(), VALUES[kind])
        for name, kind in {**COLUMNS, **EXTRA}.items()
        if name not in (*REQUIRED, "card_id")
    },
)
NULLABLE = record_schema(
    {name: ["null", AVRO[kind]] for name, kind in {**COLUMNS, **EXTRA}.items()}
)


@settings(max_examples=150, deadline=None)
@given(st.lists(RECORDS, max_size=6))
def test_json_and_avro_decode_to_the_same(records: list[dict[str, object]]) -> None:
    registry = Registry()
    schema_id = registry.add(NULLABLE)
    texts = [json.dumps({k: v for k, v in r.items() if v is not None}).encode() for r in records]
    avro = [wire(schema_id, body(NULLABLE, r)) for r in records]
    expected = JSON.decode(texts)
    decode = decoder(registry).decode
    check_equal(decode(texts), expected)
    check_equal(decode(avro), expected)
    check_equal(
        decode([a if i % 2 else t for i, (a, t) in enumerate(zip(avro, texts, strict=True))]),
        expected,
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(RECORDS, max_size=6))
def test_what_we_write_is_read_by_us_and_by_others(records: list[dict[str, object]]) -> None:
    registry = Registry()
    schema_id = registry.add(transaction_schema(EXTRA))
    texts = [json.dumps({k: v for k, v in r.items() if v is not None}).encode() for r in records]
    batch = JSON.decode(texts).batch
    payloads = encode_avro(batch, schema_id, EXTRA)
    result = decoder(registry).decode(payloads)
    assert not result.dead
    assert list(map(json.loads, encode(result.batch))) == list(map(json.loads, encode(batch)))
    # Without logical types, so that fastavro makes no datetimes.
    schema = json.loads(
        transaction_schema(EXTRA).replace(', "logicalType": "timestamp-millis"', "")
    )
    for payload, text in zip(
        payloads, encode(batch, ["is_new"] if "is_new" in batch else []), strict=True
    ):
        stream = io.BytesIO(payload[5:])
        read = fastavro.schemaless_reader(stream, fastavro.parse_schema(schema), None)
        assert isinstance(read, dict)
        assert {k: v for k, v in read.items() if v is not None} == json.loads(text)
        assert not stream.read()


FAULTS: Mapping[str, tuple[object, object]] = {
    "transaction_id": (["null", "string"], None),
    "event_time": ("string", "noon"),
    "amount_minor": ("double", 12.5),
    "currency": ("long", 7),
    "card_id": ("boolean", True),
}


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("others", [0, 1, 2, 3])
def test_the_first_of_several_faults_counts_as_in_json(others: int, backwards: bool) -> None:
    for first in list(FAULTS)[: len(FAULTS) - others]:
        names = list(FAULTS)
        wrong = names[names.index(first) :: others + 1]
        given = {n: FAULTS[n] if n in wrong else (TYPES[n], GOOD[n]) for n in names}
        order = reversed(names) if backwards else names
        schema = record_schema({n: given[n][0] for n in order})
        record = {n: given[n][1] for n in names}
        registry = Registry()
        payload = wire(registry.add(schema), body(schema, record))
        expected = JSON.decode([json.dumps(record).encode()])
        check_equal(decoder(registry).decode([payload]), expected)
        for damaged in (payload + b"\0", payload[:-1]):
            assert decoder(registry).decode([damaged]).dead[0].reason == "invalid_avro"


LABEL = {
    "label_id": "l1",
    "transaction_id": "4111111111111111",
    "is_fraud": True,
    "source": "chargeback",
    "labelled_at": 1_700_000_000_000,
    "loss_minor": 100,
}


def test_labels_are_read_by_the_same_rules() -> None:
    registry = Registry()
    schema_id = registry.add(label_schema())
    texts = [json.dumps(x).encode() for x in (LABEL, {**LABEL, "is_fraud": 0, "author": "ana"})]
    batch = LabelDecoder(KEYS).decode(texts).batch
    payloads = encode_labels_avro(batch, schema_id)
    result = MixedLabelDecoder(KEYS, schemas=registry).decode(
        [payloads[0], b"{}", payloads[1], wire(schema_id, b"\2")]
    )
    assert encode_labels(result.batch) == encode_labels(batch)
    assert result.batch.strings("transaction_id").to_list() == [KEYS.token("4111111111111111")] * 2
    assert [(f.row, f.reason) for f in result.dead] == [(1, "missing_field"), (3, "invalid_avro")]
    assert result.rows.tolist() == [0, 2]


def test_our_schemas_are_valid_and_evolve() -> None:
    for text in (transaction_schema(), transaction_schema(EXTRA), label_schema()):
        fastavro.parse_schema(json.loads(text))
    stream = io.BytesIO(body(json.loads(transaction_schema()), GOOD))
    read = fastavro.schemaless_reader(
        stream,
        fastavro.parse_schema(json.loads(transaction_schema())),
        fastavro.parse_schema(json.loads(transaction_schema(EXTRA))),
    )
    assert isinstance(read, dict)
    assert read["note"] is None


def nullable(found: tuple[object, object]) -> st.SearchStrategy[tuple[object, object]]:
    schema, value = found
    if schema == "null" or isinstance(schema, list):
        return st.just(found)
    both = [(["null", schema], value), ([schema, "null"], None), ([schema, "null"], value)]
    return st.sampled_from(both)


def schemas_with_values(depth: int = 3) -> st.SearchStrategy[tuple[object, object]]:
    """A schema without names, and a value of it."""
    leaves: st.SearchStrategy[tuple[object, object]] = st.one_of(
        st.just(("null", None)),
        st.tuples(st.just("boolean"), st.booleans()),
        st.tuples(st.just("int"), st.integers(-(2**31), 2**31 - 1)),
        st.tuples(st.just("long"), st.integers(-(2**63), 2**63 - 1)),
        st.tuples(st.just("float"), st.just(0.5)),
        st.tuples(st.just("double"), st.floats(allow_nan=False)),
        st.tuples(st.just("string"), st.text(st.characters(exclude_categories=["Cs"]))),
        st.tuples(st.just("bytes"), st.binary()),
    )
    if depth == 0:
        return leaves
    inner = schemas_with_values(depth - 1)
    return st.one_of(
        leaves,
        st.tuples(inner, st.integers(0, 40)).map(
            lambda x: ({"type": "array", "items": x[0][0]}, [x[0][1]] * x[1])
        ),
        st.tuples(inner, st.integers(0, 3)).map(
            lambda x: (
                {"type": "map", "values": x[0][0]},
                {f"k{i}": x[0][1] for i in range(x[1])},
            )
        ),
        inner.flatmap(nullable),
        st.tuples(st.lists(inner, max_size=3), st.uuids()).map(
            lambda x: (
                record_schema({f"f{i}": v[0] for i, v in enumerate(x[0])}, name=f"R{x[1].hex}"),
                {f"f{i}": v[1] for i, v in enumerate(x[0])},
            )
        ),
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(schemas_with_values(), max_size=4))
def test_whatever_stands_between_is_passed_over(fields: list[tuple[object, object]]) -> None:
    registry = Registry()
    types, values = dict[str, object](), dict[str, object]()
    for i, ((name, kind), (other, value)) in enumerate(
        zip(TYPES.items(), [*fields, *[("null", None)] * 5], strict=False)
    ):
        types |= {f"z{i}": other, name: kind}
        values |= {f"z{i}": value, name: GOOD[name]}
    schema = record_schema(types)
    payload = wire(registry.add(schema), body(schema, values))
    assert without_base(decoded_one(registry, payload)) == GOOD


FUZZED = record_schema({
    "z": {"type": "array", "items": ["null", "string", "long"]},
    **TYPES,
    "country": ["null", "string"],
    "y": {"type": "map", "values": "double"},
})  # fmt: skip
FUZZED_BODY = body(
    FUZZED, {**GOOD, "z": ["a", None, 7], "country": "DE", "y": {"a": 1.5, "b": 2.5}}
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(FUZZED_BODY)), st.integers(0, 1), st.binary(max_size=2)))
)
def test_damaged_bytes_are_read_as_others_read_them_or_refused(
    cuts: list[tuple[int, int, bytes]],
) -> None:
    data = bytearray(FUZZED_BODY)
    for at, removed, put in cuts[:3]:
        data[at : at + removed] = put
    registry = Registry()
    payload = wire(registry.add(FUZZED), bytes(data))
    result = decoder(registry).decode([payload, payload])
    if result.dead and result.dead[0].reason in ("invalid_avro", "control_character"):
        return
    plain = json.loads(json.dumps(FUZZED).replace('"logicalType"', '"ignored"'))
    stream = io.BytesIO(bytes(data))
    read = fastavro.schemaless_reader(
        stream, fastavro.parse_schema(plain), None, handle_unicode_errors="replace"
    )
    assert not stream.read()
    assert isinstance(read, dict)
    kept = {k: v for k, v in read.items() if k not in ("z", "y") and v is not None}
    check_equal(result, JSON.decode([json.dumps(kept).encode()] * 2))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=5))
def test_no_bytes_make_it_raise(tails: list[bytes]) -> None:
    registry = Registry()
    registry.add(record_schema({**TYPES, "z": tree(), "y": {"type": "map", "values": "Tree"}}))
    registry.add(record_schema({"z": tree(), **TYPES}))
    payloads = [b"\0\0\0\0" + tail for tail in tails]
    result = decoder(registry).decode(payloads)
    assert sorted([*result.rows.tolist(), *(f.row for f in result.dead)]) == list(range(len(tails)))


def test_a_record_that_lacks_what_is_required_is_not_written() -> None:
    batch = JSON.decode([json.dumps(GOOD).encode()]).batch
    for lacking in (
        Batch({name: c for name, c in batch.columns.items() if name != "currency"}),
        Batch({**batch.columns, "currency": Strings.nulls(1)}),
        Batch({**batch.columns, "amount_minor": np.array([NULL_INT])}),
    ):
        with pytest.raises(ValueError, match="is missing"):
            encode_avro(lacking, 1)
    with pytest.raises(ValueError, match="31 bits"):
        encode_avro(batch, 2**31)
