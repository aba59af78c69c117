"""Avro bodies of one schema to raw columns: decoded and well-formed, not yet validated."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.codecs.avro_scan import (
    ABSENT,
    ARRAY,
    BOOLEAN,
    BYTES,
    DEPTH_MAX,
    DOUBLE,
    ENUM,
    FIXED,
    FLAG,
    FLOAT,
    GOOD,
    INT,
    INTEGER,
    LONG,
    MALFORMED,
    MAP,
    MISSING,
    NUMBER,
    RECORD,
    STRING,
    TEXT,
    TIME,
    TOO_DEEP,
    TOO_LARGE,
    TRAILING,
    TRUNCATED,
    gather,
    scan,
)
from alcyon.codecs.avro_schema import WriterSchema, compiled
from alcyon.codecs.avro_writing import HEADER_BYTES, TIMES, Plan
from alcyon.codecs.json_rows import as_integer
from alcyon.domain.columns import NULL_INT, Batch, Column, ColumnType, Strings

Why = tuple[str, str]
"""Reason code and one line."""
_KINDS = {
    ColumnType.STRING: TEXT,
    ColumnType.INT: INTEGER,
    ColumnType.FLOAT: NUMBER,
    ColumnType.BOOLEAN: FLAG,
}
_ZonedTime = Annotated[datetime, msgspec.Meta(tz=True)]
_TIME_NEEDED = "an RFC 3339 time with its offset"
_NEEDED = {
    ColumnType.STRING: "a string",
    ColumnType.INT: "an integer",
    ColumnType.FLOAT: "a number",
    ColumnType.BOOLEAN: "true or false",
}
_MET = {
    BOOLEAN: "a boolean", INT: "a number", LONG: "a number", FLOAT: "a number",
    DOUBLE: "a number", BYTES: "bytes", STRING: "a string", FIXED: "fixed bytes",
    ENUM: "a string", RECORD: "an object", MAP: "an object", ARRAY: "an array",
}  # fmt: skip


class Bodies:
    """Turns bodies of any writer's schema into the columns of one plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._kinds = tuple(plan.columns.items())
        table = [
            (TIME if name in TIMES else _KINDS[kind], name in plan.required)
            for name, kind in self._kinds
        ]
        self._table = np.array(table, np.int64)

    def schema(self, text: str) -> WriterSchema:
        """A writer's schema for `decode`. InputError as `compiled` says."""
        return compiled(text, self._plan)

    def decode(
        self, schema: WriterSchema, payloads: Sequence[bytes]
    ) -> tuple[Batch, NDArray[np.int64], dict[int, Why]]:
        """(columns, which payloads they are of, why not the others), all of one schema."""
        data = b"".join([schema.symbols, *payloads])
        sizes = np.fromiter(map(len, payloads), np.int64, len(payloads))
        ends = np.cumsum(sizes) + len(schema.symbols)
        bodies = np.stack([ends - sizes + HEADER_BYTES, ends], axis=1)
        raw = np.frombuffer(data, np.uint8)
        values, lengths, found = scan(
            raw, bodies, schema.nodes, schema.links, schema.fields, self._table
        )
        dead = {
            row: self._why(schema, *found[row].tolist())
            for row in np.flatnonzero(found[:, 0] != GOOD).tolist()
        }
        dead |= self._read_times(data, values, lengths, found)
        while True:
            good = np.ones(len(payloads), np.bool_)
            good[list(dead)] = False
            rows = np.flatnonzero(good)
            kept = (np.compress(good, a, axis=1) if dead else a for a in (values, lengths))
            batch, refused = self._columns(raw, *kept)
            if not refused:
                return batch, rows, dead
            dead |= {int(rows[at]): why for at, why in refused.items()}

    def _why(self, schema: WriterSchema, code: int, place: int, met: int) -> Why:
        if code == TRAILING:
            return "invalid_avro", f"{met} bytes follow the record"
        if code in (TRUNCATED, MALFORMED, TOO_DEEP):
            what = {
                TRUNCATED: "ends inside",
                MALFORMED: "has an impossible length, index or number in",
                TOO_DEEP: f"is nested more than {DEPTH_MAX} deep, or without end, in",
            }
            return "invalid_avro", f"the record {what[code]} {schema.names[place]}"
        name, kind = self._kinds[place]
        if code == MISSING:
            return "missing_field", f"{name} is missing"
        if code == TOO_LARGE:
            is_amount = name.endswith("_minor")
            reason = "amount_out_of_range" if is_amount else f"{name}_out_of_range"
            return reason, f"{name} is beyond 64 bits"
        if name in TIMES and met == STRING:
            return "wrong_type", f"{name} must be {_TIME_NEEDED}, got a string"
        if kind is ColumnType.INT and met in (INT, LONG):
            return "wrong_type", f"{name} must not be a local time: its zone is not known"
        return "wrong_type", f"{name} must be {_NEEDED[kind]}, got {_MET[met]}"

    def _read_times(
        self,
        data: bytes,
        values: NDArray[np.int64],
        lengths: NDArray[np.int64],
        found: NDArray[np.int64],
    ) -> dict[int, Why]:
        """Replace times given as text by milliseconds; why not, where that cannot be."""
        refused: dict[int, Why] = {}
        for column, (name, _) in enumerate(self._kinds):
            if name not in TIMES or not (lengths[column] > 0).any():
                continue
            for row in np.flatnonzero(lengths[column] > 0).tolist():
                start, size = int(values[column, row]), int(lengths[column, row])
                try:
                    text = data[start : start + size].decode()
                    values[column, row] = as_integer(msgspec.convert(text, _ZonedTime))
                except (UnicodeDecodeError, msgspec.ValidationError):
                    # The first fault in canonical order counts; an unreadable body before that.
                    code, place, _ = found[row].tolist()
                    if code == GOOD or (code < TRUNCATED and column < place):
                        detail = f"{name} must be {_TIME_NEEDED}, got a string"
                        refused[row] = "wrong_type", detail
        return refused

    def _columns(
        self, raw: NDArray[np.uint8], values: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> tuple[Batch, dict[int, Why]]:
        """The columns that are not null throughout, and rows with texts that cannot be kept."""
        columns: dict[str, Column] = {}
        refused: dict[int, Why] = {}
        texts, offsets, places = gather(raw, values, lengths, self._table)
        for at, (start, end, nulls, odd) in enumerate(places.tolist()):
            name, kind = self._kinds[at]
            if nulls == len(lengths[at]) and name not in self._plan.required:
                continue
            if kind is ColumnType.STRING:
                valid = lengths[at] != ABSENT if nulls else None
                columns[name] = Strings(offsets[at], texts[start:end], valid)
                if odd:
                    refused = _odd_texts(name, texts[start:end].tobytes(), offsets[at]) | refused
            elif kind is ColumnType.FLOAT:
                column = values[at].view(np.float64)
                columns[name] = np.where(lengths[at] == ABSENT, np.nan, column) if nulls else column
            else:
                column = values[at]
                columns[name] = (
                    np.where(lengths[at] == ABSENT, NULL_INT, column) if nulls else column
                )
        return Batch(columns), refused


def _odd_texts(name: str, texts: bytes, offsets: NDArray[np.int64]) -> dict[int, Why]:
    """Rows whose text is no UTF-8, or has a character that JSON's decoding refuses at once."""
    refused: dict[int, Why] = {}
    at = offsets.tolist()
    for row in range(len(at) - 1):
        text = texts[at[row] : at[row + 1]]
        mark = next((c for c in (0, 1) if c in text), None)
        if mark is not None:
            refused[row] = "control_character", f"{name} has control character U+{mark:04X}"
        try:
            text.decode()
        except UnicodeDecodeError:
            refused[row] = "invalid_avro", f"{name} is not UTF-8"
    return refused
