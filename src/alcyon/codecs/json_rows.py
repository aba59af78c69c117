"""Payloads to raw columns: decoded and well-formed, not yet validated.

One msgspec call per record makes a struct; after that only whole columns are touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Annotated, Any, Literal, cast

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from alcyon.codecs.json_faults import duplicate_key, explain
from alcyon.codecs.json_scan import (
    DEPTH_MAX,
    NULL_MARK,
    PLAIN,
    SEPARATOR,
    TOO_DEEP,
    scan,
    split,
)
from alcyon.domain.columns import NULL_INT, Batch, Column, ColumnType, Strings
from alcyon.domain.tokens import mask
from alcyon.domain.validation import Fault

_DETAIL_MAX = 300
_TIMES = ("event_time", "labelled_at")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_Int64 = Annotated[int, Meta(ge=NULL_INT + 1, le=2**63 - 1)]
_Time = _Int64 | Annotated[datetime, Meta(tz=True)]
_FIELD_TYPES: Mapping[ColumnType, Any] = {
    ColumnType.STRING: str,
    ColumnType.INT: _Int64,
    ColumnType.FLOAT: float,
    ColumnType.BOOLEAN: bool | Literal[0, 1],
}
_ABSENT: Mapping[ColumnType, str | int | float] = {
    ColumnType.STRING: NULL_MARK,
    ColumnType.INT: NULL_INT,
    ColumnType.FLOAT: float("nan"),
    ColumnType.BOOLEAN: NULL_INT,
}
"""What an absent field is decoded to: one object each, found again by identity."""


class RowDecoder:
    """Turns payloads into the columns of one schema."""

    def __init__(
        self, columns: Mapping[str, ColumnType], required: frozenset[str], payload_bytes_max: int
    ) -> None:
        self._columns = dict(columns)
        self._plan = tuple((name, kind, _ABSENT[kind]) for name, kind in columns.items())
        self._required = required
        self._payload_bytes_max = payload_bytes_max
        fields = [_field(name, kind, name in required) for name, kind in columns.items()]
        # Fields are numbers and strings, so no struct can be part of a cycle: gc=False is safe.
        struct = msgspec.defstruct("Row", fields, gc=False, kw_only=True)
        self._decode = msgspec.json.Decoder(struct).decode

    def decode(self, payloads: Sequence[bytes]) -> tuple[Batch, NDArray[np.int64], list[Fault]]:
        """(columns, the payload of each row, why each other payload was refused)."""
        structs, dead = self._structs(payloads)
        rows = np.arange(len(payloads))
        if dead:
            rows = np.setdiff1d(rows, list(dead), assume_unique=True)
        accepted = payloads if not dead else [payloads[row] for row in rows.tolist()]
        refused = self._malformed(accepted, structs)
        if refused:
            dead |= {int(rows[i]): why for i, why in refused.items()}
            kept = np.setdiff1d(np.arange(len(rows)), list(refused), assume_unique=True)
            structs, rows = [structs[i] for i in kept.tolist()], rows[kept]
        faults = [fault(row, *dead[row]) for row in sorted(dead)]
        return self._batch(structs), rows, faults

    def _structs(
        self, payloads: Sequence[bytes]
    ) -> tuple[list[msgspec.Struct], dict[int, tuple[str, str]]]:
        """The payloads that decode, in order, and the reason for each that does not."""
        structs: list[msgspec.Struct] = []
        dead: dict[int, tuple[str, str]] = {}
        whole = max(map(len, payloads), default=0) <= self._payload_bytes_max
        rest = iter(payloads if whole else map(self._cut, payloads))
        while True:
            try:
                # `extend` keeps what it has when `decode` raises, and `rest` goes on behind.
                structs.extend(map(self._decode, rest))
            except (ValueError, RecursionError) as error:
                row = len(structs) + len(dead)
                dead[row] = self._reason(payloads[row], str(error))
            else:
                return structs, dead

    def _cut(self, payload: bytes) -> bytes:
        """An oversized payload is not shown to the parser: no bytes are no JSON either."""
        return payload if len(payload) <= self._payload_bytes_max else b""

    def _reason(self, payload: bytes, message: str) -> tuple[str, str]:
        if len(payload) > self._payload_bytes_max:
            detail = f"{len(payload)} bytes, more than {self._payload_bytes_max}"
            return "payload_too_large", detail
        return explain(payload, self._columns, self._required, message)

    def _malformed(
        self, payloads: Sequence[bytes], structs: Sequence[msgspec.Struct]
    ) -> dict[int, tuple[str, str]]:
        """Payloads that decoded and are refused all the same, with the reason."""
        joined = b"".join(payloads)
        ends = np.fromiter(accumulate(map(len, payloads)), np.int64, len(payloads))
        found, all_plain = scan(np.frombuffer(joined, np.uint8), ends)
        refused: dict[int, tuple[str, str]] = {}
        if not all_plain:
            for i in np.flatnonzero(found != PLAIN).tolist():
                refused |= _unsound(i, payloads[i], found[i])
        if not joined.isascii():  # msgspec does not look into fields it ignores
            refused |= {i: fault for i, p in enumerate(payloads) for fault in _not_utf8(p)}
        if b"\\" in joined:
            refused |= {
                i: fault
                for i, payload in enumerate(payloads)
                if b"\\u000" in payload
                for fault in _reserved(structs[i])
            }
        return refused

    def _batch(self, structs: Sequence[msgspec.Struct]) -> Batch:
        if not structs:
            return Batch({name: no_values(kind) for name, kind in self._columns.items()})
        texts: dict[str, tuple[str | None, ...]] = {}
        columns: dict[str, Column | None] = {}
        values = zip(*map(msgspec.structs.astuple, structs), strict=True)
        for (name, kind, absent), column in zip(self._plan, values, strict=True):
            if column[0] is absent and column.count(absent) == len(column):
                continue
            if kind is ColumnType.STRING:
                texts[name] = column
            columns[name] = None if kind is ColumnType.STRING else _numbers(column, kind)
        columns |= zip(texts, _strings(list(texts.values())), strict=True)
        return Batch(cast("dict[str, Column]", columns))


def fault(row: int, reason: str, detail: str) -> Fault:
    """Details may quote the payload: masked, then cut, so that no part of a number is left."""
    return Fault(row, reason, mask(detail)[:_DETAIL_MAX])


def _field(name: str, kind: ColumnType, is_required: bool) -> Any:
    held = _Time if name in _TIMES else _FIELD_TYPES[kind]
    return (name, held) if is_required else (name, held | None, _ABSENT[kind])


def no_values(kind: ColumnType) -> Column:
    """A column of no records."""
    if kind is ColumnType.STRING:
        return Strings.nulls(0)
    return np.empty(0, np.float64) if kind is ColumnType.FLOAT else np.empty(0, np.int64)


def _strings(columns: Sequence[tuple[str | None, ...]]) -> list[Strings]:
    """Columns of one length, all taken from one buffer."""
    raw = SEPARATOR.join(map(_joined, columns)).encode()
    data, offsets, valid, places = split(
        np.frombuffer(raw, np.uint8), len(columns), len(columns[0])
    )
    return [
        Strings(offsets[i], data[start:end], valid[i])
        if nulls
        else Strings(offsets[i], data[start:end], None, cast("tuple[str, ...]", columns[i]))
        for i, (start, end, nulls) in enumerate(places.tolist())
    ]


def _joined(values: tuple[str | None, ...]) -> str:
    try:
        return SEPARATOR.join(values)  # type: ignore[arg-type]
    except TypeError:  # explicit nulls
        return SEPARATOR.join([NULL_MARK if value is None else value for value in values])


def _numbers(values: tuple[Any, ...], kind: ColumnType) -> Column:
    if kind is ColumnType.FLOAT:
        return np.array(values, np.float64)  # makes None a NaN
    try:
        return np.fromiter(values, np.int64, len(values))
    except TypeError:  # explicit nulls, or times as text
        return np.fromiter(map(as_integer, values), np.int64, len(values))


def as_integer(value: int | datetime | None) -> int:
    """What an integer column holds for a value: a time in milliseconds, `NULL_INT` for None."""
    if value is None:
        return NULL_INT
    return (value - _EPOCH) // _MILLISECOND if isinstance(value, datetime) else value


def _unsound(row: int, payload: bytes, found: int) -> dict[int, tuple[str, str]]:
    if found == TOO_DEEP:
        return {row: ("invalid_json", f"nested more than {DEPTH_MAX} deep")}
    try:
        key = duplicate_key(payload)
    except UnicodeDecodeError:  # `_not_utf8` reports it
        return {}
    except ValueError as error:  # in a field that msgspec passes over
        return {row: ("invalid_json", f"not valid JSON: {error}")}
    return {} if key is None else {row: ("invalid_json", f"key {key!r} stands twice")}


def _not_utf8(payload: bytes) -> list[tuple[str, str]]:
    if payload.isascii():
        return []
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        return [("invalid_json", f"not UTF-8 at byte {error.start}")]
    return []


def _reserved(struct: msgspec.Struct) -> list[tuple[str, str]]:
    """A value with a character that `split` gives a meaning of its own."""
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        if isinstance(value, str) and value is not NULL_MARK:
            for mark in {SEPARATOR, NULL_MARK[0]} & set(value):
                return [("control_character", f"{name} has control character U+{ord(mark):04X}")]
    return []
