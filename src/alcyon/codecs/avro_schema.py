"""A writer's Avro schema, compiled to the table that its bodies are read by.

A schema is as little trusted as a body: whatever it is, it is compiled or refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.codecs.avro_scan import (
    ARRAY,
    ENUM,
    FIXED,
    MAP,
    RECORD,
    UNION,
)
from alcyon.codecs.avro_writing import Plan
from alcyon.domain.errors import InputError

SCHEMA_BYTES_MAX = 1_048_576
"""A longer schema is not read at all."""

_NODES_MAX, _DEPTH_MAX = 65_536, 64
_PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_SCALES = {"timestamp-micros": 1000, "timestamp-nanos": 1_000_000}
_NOT_OURS = {
    "decimal", "local-timestamp-millis", "local-timestamp-micros", "local-timestamp-nanos",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class WriterSchema:
    """A record schema as `scan` takes it."""

    nodes: NDArray[np.int64]
    links: NDArray[np.int64]
    fields: NDArray[np.int64]
    names: tuple[str, ...]
    """The fields' names."""
    symbols: bytes
    """Texts of enums; they stand before the bodies in the data."""


def compiled(text: str, plan: Plan) -> WriterSchema:
    """Compile a writer's schema.

    InputError: it is no Avro, no record, or lacks a required column; the message fits
    "schema 7 ...".
    """
    if len(text) > SCHEMA_BYTES_MAX:
        raise InputError(f"is longer than {SCHEMA_BYTES_MAX} bytes")
    try:
        schema = msgspec.json.decode(text.encode())
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no Avro schema: {error}") from error
    if not isinstance(schema, dict) or schema.get("type") not in ("record", "error"):
        raise InputError("is no Avro record")
    compiler = _Compiler()
    root = compiler.node(schema, "", 0)
    names = compiler.field_names[root]
    lacking = [name for name in plan.columns if name in plan.required and name not in names]
    if lacking:
        raise InputError(f"has no field {', '.join(lacking)}")
    first, count = compiler.nodes[root][1:3]
    places = {name: at for at, name in enumerate(plan.columns)}
    fields = [
        (node, places.get(name, -1))
        for node, name in zip(compiler.links[first : first + count], names, strict=True)
    ]
    return WriterSchema(
        np.array(compiler.nodes, np.int64),
        np.array(compiler.links, np.int64),
        np.array(fields, np.int64),
        names,
        bytes(compiler.symbols),
    )


class _Compiler:
    """Nodes of one schema; a named type is one node, however often it is used."""

    def __init__(self) -> None:
        self.nodes: list[tuple[int, int, int, int]] = []
        self.links: list[int] = []
        self.symbols = bytearray()
        self.field_names: dict[int, tuple[str, ...]] = {}
        self._named: dict[str, int] = {}

    def node(self, schema: object, namespace: str, depth: int) -> int:
        """The node of a schema that stands in `namespace`."""
        if depth > _DEPTH_MAX:
            raise InputError(f"is nested more than {_DEPTH_MAX} deep")
        if isinstance(schema, str):
            return self._of_name(schema, namespace, {})
        if isinstance(schema, list):
            return self._union(schema, namespace, depth)
        if not isinstance(schema, dict):
            raise InputError(f"is no Avro schema: {str(schema)[:40]} is no type")
        kind = schema.get("type")
        if not isinstance(kind, str):  # a schema in a schema
            return self.node(kind, namespace, depth + 1)
        match kind:
            case "record" | "error":
                return self._record(schema, namespace, depth)
            case "enum":
                return self._enum(schema, namespace)
            case "fixed":
                return self._declare(schema, namespace, (FIXED, 0, _size(schema), 0))
            case "array":
                items = self.node(schema.get("items"), namespace, depth + 1)
                return self._add((ARRAY, items, 0, 0))
            case "map":
                values = self.node(schema.get("values"), namespace, depth + 1)
                return self._add((MAP, values, 0, 0))
        return self._of_name(kind, namespace, schema)

    def _of_name(self, name: str, namespace: str, schema: Mapping[str, object]) -> int:
        if name in _PRIMITIVES:
            logical = schema.get("logicalType")
            if not isinstance(logical, str):
                return self._add((_PRIMITIVES.index(name), 0, 0, 1))
            scale = 0 if logical in _NOT_OURS else 1
            if name == "long":
                scale = _SCALES.get(logical, scale)
            return self._add((_PRIMITIVES.index(name), 0, 0, scale))
        for known in (_full_name(name, namespace), name):
            if known in self._named:
                return self._named[known]
        raise InputError(f"is no Avro schema: it has no type {name[:80]!r}")

    def _union(self, branches: Sequence[object], namespace: str, depth: int) -> int:
        found = [self.node(branch, namespace, depth + 1) for branch in branches]
        if any(self.nodes[branch][0] == UNION for branch in found):
            raise InputError("is no Avro schema: a union stands in a union")
        return self._add((UNION, self._link(found), len(found), 0))

    def _record(self, schema: Mapping[str, object], namespace: str, depth: int) -> int:
        record = self._declare(schema, namespace, (RECORD, 0, 0, 0))
        inner = _full_name(_text(schema, "name"), _namespace(schema, namespace)).rpartition(".")[0]
        fields = schema.get("fields")
        if not isinstance(fields, list) or not all(isinstance(f, dict) for f in fields):
            raise InputError("is no Avro schema: a record has no fields")
        names = tuple(_text(field, "name") for field in fields)
        if len(set(names)) < len(names):
            raise InputError("is no Avro schema: a record has a field twice")
        found = [self.node(field.get("type"), inner, depth + 1) for field in fields]
        self.nodes[record] = (RECORD, self._link(found), len(found), 0)
        self.field_names[record] = names
        return record

    def _enum(self, schema: Mapping[str, object], namespace: str) -> int:
        symbols = schema.get("symbols")
        if not isinstance(symbols, list) or not all(isinstance(s, str) for s in symbols):
            raise InputError("is no Avro schema: an enum has no symbols")
        links = []
        for symbol in map(str.encode, symbols):
            links += [len(self.symbols), len(symbol)]
            self.symbols += symbol
        return self._declare(schema, namespace, (ENUM, self._link(links), len(symbols), 1))

    def _declare(
        self, schema: Mapping[str, object], namespace: str, node: tuple[int, int, int, int]
    ) -> int:
        name = _full_name(_text(schema, "name"), _namespace(schema, namespace))
        if name in self._named or name in _PRIMITIVES:
            raise InputError(f"is no Avro schema: it has two types {name[:80]!r}")
        self._named[name] = self._add(node)
        return self._named[name]

    def _add(self, node: tuple[int, int, int, int]) -> int:
        if len(self.nodes) == _NODES_MAX:
            raise InputError(f"has more than {_NODES_MAX} parts")
        self.nodes.append(node)
        return len(self.nodes) - 1

    def _link(self, found: Sequence[int]) -> int:
        self.links += found
        return len(self.links) - len(found)


def _text(schema: Mapping[str, object], key: str) -> str:
    value = schema.get(key)
    if not isinstance(value, str) or not value:
        raise InputError(f"is no Avro schema: a type or field has no {key}")
    return value


def _size(schema: Mapping[str, object]) -> int:
    size = schema.get("size")
    if type(size) is not int or not 0 <= size < 2**31:
        raise InputError("is no Avro schema: a fixed has no size")
    return size


def _namespace(schema: Mapping[str, object], enclosing: str) -> str:
    namespace = schema.get("namespace")
    return namespace if isinstance(namespace, str) else enclosing


def _full_name(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"
