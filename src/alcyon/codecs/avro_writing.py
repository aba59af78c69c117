"""Columns to Avro in a schema registry's wire format, and the schemas they are written with."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np

from alcyon.domain.columns import NULL_INT, Batch, Column, ColumnType, Strings
from alcyon.domain.schemas import SCHEMA_ID_MAX

HEADER_BYTES = 5
"""Byte 0 and the schema id stand before a body."""
TIMES = ("event_time", "labelled_at")
"""Columns that are times: timestamp-millis in our own schemas."""

_TYPES = {
    ColumnType.STRING: "string",
    ColumnType.INT: "long",
    ColumnType.FLOAT: "double",
    ColumnType.BOOLEAN: "boolean",
}


@dataclass(frozen=True, eq=False)
class Plan:
    """What is wanted of any schema: columns, and which of them no record may lack."""

    columns: Mapping[str, ColumnType]
    required: frozenset[str]


def own_schema(name: str, plan: Plan) -> str:
    """The schema we write with, as JSON: optional fields null by default, times in milliseconds."""
    fields: list[dict[str, object]] = []
    for column, kind in plan.columns.items():
        held: object = _TYPES[kind]
        if column in TIMES:
            held = {"type": "long", "logicalType": "timestamp-millis"}
        if column in plan.required:
            fields.append({"name": column, "type": held})
        else:
            fields.append({"name": column, "type": ["null", held], "default": None})
    return json.dumps({"type": "record", "name": name, "namespace": "alcyon", "fields": fields})


def encoded(batch: Batch, schema_id: int, plan: Plan) -> list[bytes]:
    """One payload per record, written with `own_schema` of the plan as `schema_id`."""
    if not 0 <= schema_id <= SCHEMA_ID_MAX:
        raise ValueError(f"schema id {schema_id} has more than 31 bits")
    fields = [[b"\0" + schema_id.to_bytes(4)] * len(batch)]
    for name, kind in plan.columns.items():
        null = _is_null(batch.columns[name]) if name in batch else [True] * len(batch)
        if name not in plan.required:
            texts = _texts(batch.columns[name], kind) if name in batch else [b""] * len(batch)
            fields.append([b"\0" if no else b"\2" + t for t, no in zip(texts, null, strict=True)])
        elif any(null):
            raise ValueError(f"{name} is missing")
        else:
            fields.append(_texts(batch.columns[name], kind))
    return [b"".join(row) for row in zip(*fields, strict=True)]


def _texts(column: Column, kind: ColumnType) -> list[bytes]:
    """Avro's bytes of each value; those of null mean nothing."""
    if isinstance(column, Strings):
        raw, at = column.data.tobytes(), column.offsets.tolist()
        values = [raw[start:end] for start, end in pairwise(at)]
        return [_long(len(value)) + value for value in values]
    if kind is ColumnType.FLOAT:
        return [struct.pack("<d", value) for value in column.tolist()]
    if kind is ColumnType.BOOLEAN:
        return [b"\1" if value == 1 else b"\0" for value in column.tolist()]
    return [_long(value) for value in column.tolist()]


def _is_null(column: Column) -> Sequence[bool]:
    if isinstance(column, Strings):
        null = ~column.is_valid
    else:
        null = np.isnan(column) if column.dtype == np.float64 else column == NULL_INT
    return cast("Sequence[bool]", null.tolist())


def _long(value: int) -> bytes:
    """A zigzag varint."""
    rest = (value << 1) ^ (value >> 63)
    if rest < 128:
        return rest.to_bytes()
    encoded = bytearray()
    while rest >= 128:
        encoded.append(rest & 127 | 128)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)
