"""Packing: columns as the bytes that `COPY … (FORMAT binary)` takes.

The format is a row's number of fields in two bytes, then each field with its length in four, all
big-endian; the length -1 is null. Rows are filled column by column in machine code, so that no
Python object is made per field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from alcyon.domain.columns import NULL_INT, Column, Strings

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""Before the first row; the end of the stream is told by the protocol alone."""
_FIELDS_BYTES, _LENGTH_BYTES = 2, 4
_NO_PREFIX = -1
_JSONB_VERSION = 1


@dataclass(frozen=True, eq=False)
class Numbers:
    """A column of `width`-byte numbers: int64[n] or float64[n] bits as int64, null where marked."""

    values: NDArray[np.int64]
    is_null: NDArray[np.bool_]
    width: int


@dataclass(frozen=True, eq=False)
class Texts:
    """A column of text or bytes; of jsonb, which has a byte before its text."""

    strings: Strings
    is_jsonb: bool = False


Field = Numbers | Texts


def field(column: Column, width: int = 8) -> Field:
    """A column of a batch. width: the bytes of the table's integer, 1 for a boolean."""
    if isinstance(column, Strings):
        return Texts(column)
    if column.dtype == np.float64:
        return Numbers(column.view(np.int64), np.isnan(column), 8)
    values = np.asarray(column, np.int64)
    return Numbers(values, values == NULL_INT, width)


def integers(values: Sequence[int | None], width: int = 8) -> Field:
    """Python integers, None is null."""
    held = [NULL_INT if value is None else value for value in values] if None in values else values
    return field(np.array(held, np.int64), width)


def texts(values: Sequence[bytes | msgspec.Raw], *, is_jsonb: bool = False) -> Texts:
    """Encoded text, or bytes; never null."""
    offsets = np.zeros(len(values) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, values), np.int64, len(values)), out=offsets[1:])
    return Texts(Strings(offsets, np.frombuffer(b"".join(values), np.uint8)), is_jsonb)


def packed(fields: Sequence[Field]) -> memoryview:
    """The rows of columns of one length; the stream has `HEADER` before its rows."""
    n = len(_lengths(fields[0]))
    sizes = np.full(n, _FIELDS_BYTES, np.int64)
    for column in fields:
        sizes += _lengths(column) + _LENGTH_BYTES
    places = np.zeros(n + 1, np.int64)
    np.cumsum(sizes, out=places[1:])
    out, places = np.empty(places[-1], np.uint8), places[:-1]
    _put_counts(out, places, len(fields))
    for column in fields:
        if isinstance(column, Numbers):
            _put_numbers(out, places, column.values, column.is_null, column.width)
        else:
            strings, prefix = column.strings, _JSONB_VERSION if column.is_jsonb else _NO_PREFIX
            _put_texts(out, places, strings.offsets, strings.data, strings.is_valid, prefix)
    return out.data


def _lengths(column: Field) -> NDArray[np.int64]:
    """int64[n]: the bytes of each field behind its length."""
    if isinstance(column, Numbers):
        return np.where(column.is_null, 0, column.width)
    return np.diff(column.strings.offsets) + column.is_jsonb


_Out = types.Array(types.uint8, 1, "C")
_Places = types.Array(types.int64, 1, "C")
_Ints = types.Array(types.int64, 1, "C", readonly=True)
_Bytes = types.Array(types.uint8, 1, "C", readonly=True)
_Flags = types.Array(types.boolean, 1, "C", readonly=True)


@njit(types.void(_Out, types.int64, types.int64, types.int64), cache=True)
def _put_int(out: NDArray[np.uint8], at: int, value: int, width: int) -> None:  # pragma: no cover
    for i in range(width):
        out[at + i] = (value >> (8 * (width - 1 - i))) & 0xFF


@njit(types.void(_Out, _Places, types.int64), cache=True)
def _put_counts(
    out: NDArray[np.uint8], places: NDArray[np.int64], count: int
) -> None:  # pragma: no cover
    """Write the number of fields of each row at its place, and move the places on."""
    for row in range(len(places)):
        _put_int(out, places[row], count, _FIELDS_BYTES)
        places[row] += _FIELDS_BYTES


@njit(types.void(_Out, _Places, _Ints, _Flags, types.int64), cache=True)
def _put_numbers(
    out: NDArray[np.uint8],
    places: NDArray[np.int64],
    values: NDArray[np.int64],
    is_null: NDArray[np.bool_],
    width: int,
) -> None:  # pragma: no cover
    """Write one number of each row at its place, and move the places on."""
    for row in range(len(places)):
        at = places[row]
        if is_null[row]:
            _put_int(out, at, -1, _LENGTH_BYTES)
            places[row] = at + _LENGTH_BYTES
        else:
            _put_int(out, at, width, _LENGTH_BYTES)
            _put_int(out, at + _LENGTH_BYTES, values[row], width)
            places[row] = at + _LENGTH_BYTES + width


@njit(types.void(_Out, _Places, _Ints, _Bytes, _Flags, types.int64), cache=True)
def _put_texts(
    out: NDArray[np.uint8],
    places: NDArray[np.int64],
    offsets: NDArray[np.int64],
    data: NDArray[np.uint8],
    is_valid: NDArray[np.bool_],
    prefix: int,
) -> None:  # pragma: no cover
    """Write one text of each row at its place, and move the places on. prefix: a byte, or -1."""
    extra = 1 if prefix >= 0 else 0
    for row in range(len(places)):
        at, length = places[row], offsets[row + 1] - offsets[row]
        if not is_valid[row]:
            _put_int(out, at, -1, _LENGTH_BYTES)
            places[row] = at + _LENGTH_BYTES
            continue
        _put_int(out, at, length + extra, _LENGTH_BYTES)
        at += _LENGTH_BYTES
        if extra:
            out[at] = prefix
            at += 1
        for i in range(length):
            out[at + i] = data[offsets[row] + i]
        places[row] = at + length
