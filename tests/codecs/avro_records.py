"""What tests of Avro share: schemas in memory, records by a foreign writer."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import fastavro

from alcyon.codecs.avro import (
    MixedTransactionDecoder,
)
from alcyon.codecs.json import (
    TransactionDecoder,
    encode,
)
from alcyon.domain.columns import ColumnType
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.errors import UnreachableError
from alcyon.domain.schemas import UnknownSchemaError
from alcyon.domain.tokens import TokenKeys

KEYS = TokenKeys(1, b"0123456789abcdef")
EXTRA = {"is_new": ColumnType.BOOLEAN, "note": ColumnType.STRING, "ratio": ColumnType.FLOAT}
GOOD: Mapping[str, object] = {
    "transaction_id": "t1",
    "event_time": 1_700_000_000_000,
    "amount_minor": 1250,
    "currency": "EUR",
    "card_id": "c1",
}
TYPES: Mapping[str, object] = {
    "transaction_id": "string",
    "event_time": {"type": "long", "logicalType": "timestamp-millis"},
    "amount_minor": "long",
    "currency": "string",
    "card_id": ["null", "string"],
}
AVRO = {
    ColumnType.STRING: "string",
    ColumnType.INT: "long",
    ColumnType.FLOAT: "double",
    ColumnType.BOOLEAN: "boolean",
}


class Registry:
    """Schemas in memory."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}
        self.asked: list[int] = []
        self.is_down = False

    def add(self, schema: object) -> int:
        text = schema if isinstance(schema, str) else json.dumps(schema)
        self.texts[len(self.texts) + 1] = text
        return len(self.texts)

    def writer(self, schema_id: int) -> str:
        self.asked.append(schema_id)
        if self.is_down:
            raise UnreachableError("the registry is down")
        if schema_id not in self.texts:
            raise UnknownSchemaError(f"schema {schema_id} is not here")
        return self.texts[schema_id]


def decoder(registry: Registry | None, **options: Any) -> MixedTransactionDecoder:
    return MixedTransactionDecoder(KEYS, DEFAULT_RATES, EXTRA, schemas=registry, **options)


JSON = TransactionDecoder(KEYS, DEFAULT_RATES, EXTRA)


def record_schema(types: Mapping[str, object], **more: object) -> dict[str, object]:
    fields = [{"name": name, "type": kind} for name, kind in types.items()]
    return {"type": "record", "name": "Payment", "fields": fields, **more}


def body(schema: object, record: Mapping[str, object]) -> bytes:
    """What a foreign writer makes of a record."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), record)
    return stream.getvalue()


def wire(schema_id: int, data: bytes) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big") + data


def written(registry: Registry, types: Mapping[str, object], **values: object) -> bytes:
    """A good payload with these fields beside, or instead of, the usual ones."""
    schema = record_schema({**TYPES, **types})
    return wire(registry.add(schema), body(schema, {**GOOD, **values}))


def decoded_one(registry: Registry, payload: bytes) -> dict[str, Any]:
    result = decoder(registry).decode([payload])
    assert not result.dead, result.dead
    record: dict[str, Any] = json.loads(encode(result.batch)[0])
    return record


def without_base(record: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in record.items() if k != "amount_base_minor"}


def tree(children: str = "Tree") -> dict[str, object]:
    return {"type": "record", "name": "Tree", "fields": [
        {"name": "v", "type": "int"},
        {"name": "next", "type": ["null", children, {"type": "array", "items": children}]},
    ]}  # fmt: skip


def check_neighbours(registry: Registry, payload: bytes) -> str:
    """The reason why a payload is refused; all around it are accepted."""
    neighbour = written(registry, {})
    text = json.dumps(GOOD).encode()
    result = decoder(registry).decode([neighbour, payload, text, neighbour, payload])
    assert [f.row for f in result.dead] == [1, 4], result.dead
    assert result.rows.tolist() == [0, 2, 3]
    assert result.dead[0][1:] == result.dead[1][1:]
    assert len(set(encode(result.batch))) == 1
    return result.dead[0].reason
