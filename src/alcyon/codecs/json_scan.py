"""Passes over bytes that JSON decoding needs beside msgspec: duplicate keys, depth, columns.

Compiled, because they look at every byte.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

DEPTH_MAX = 32
"""How deeply objects and arrays may nest; what we read is flat, so this is only a bound."""

PLAIN, TOO_DEEP, UNSURE = 0, 1, 2
"""What `scan` says of a payload; `UNSURE` may have a duplicate key and wants a slower look."""

NULL_MARK = "\x01\x01"
"""Stands for null among strings; no accepted string has a control character. Two characters long,
because Python has but one object for each single character and this one is found by identity."""
SEPARATOR = "\x00"
"""Stands between strings that `split` takes apart."""

_KEYS_MAX = 64
_Offsets = types.Array(types.int64, 1, "C", readonly=True)
_Bytes = types.Array(types.uint8, 1, "C", readonly=True)


_ONES = np.uint64(0x0101010101010101)
_HIGHS = np.uint64(0x8080808080808080)
_QUOTES = np.uint64(0x2222222222222222)
_BACKSLASHES = np.uint64(0x5C5C5C5C5C5C5C5C)
_WORD = np.uint64(8)


@intrinsic
def _eight(typing: Any, data: Any, at: Any) -> Any:
    """data[at:at + 8] as one number, the first byte lowest, wherever it lies."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(held.data, [arguments[1]])
        word = builder.bitcast(place, ir.IntType(64).as_pointer())
        return builder.load(word, align=1)

    return types.uint64(data, types.uint64), generate


@intrinsic
def _put_eight(typing: Any, data: Any, at: Any, word: Any) -> Any:
    """Let data[at:at + 8] be these eight bytes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(held.data, [arguments[1]])
        builder.store(arguments[2], builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(data, types.uint64, types.uint64), generate


@intrinsic
def _lowest_bit(typing: Any, word: Any) -> Any:
    """How many zero bits stand below the lowest bit of a number that is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@njit(types.uint64(types.uint64), cache=True, inline="always")
def _zero_bytes(word: np.uint64) -> np.uint64:  # pragma: no cover
    """The high bit of the lowest byte that is 0; above it further bits may be wrong.

    Source: Alan Mycroft's test for a zero byte in a word (1987).
    """
    return (word - _ONES) & ~word & _HIGHS


@njit(types.Tuple((types.uint64, types.boolean))(_Bytes, types.uint64), cache=True, inline="always")
def _closing_quote(
    data: NDArray[np.uint8], at: np.uint64
) -> tuple[np.uint64, bool]:  # pragma: no cover
    """Where the string that `at` stands in ends, and whether it has an escape."""
    escaped = False
    size = np.uint64(len(data))
    while True:
        while at + _WORD <= size:  # eight bytes at a time, up to the first that ends or escapes
            word = _eight(data, at)
            found = _zero_bytes(word ^ _QUOTES) | _zero_bytes(word ^ _BACKSLASHES)
            if found != 0:
                at += _lowest_bit(found) >> np.uint64(3)
                break
            at += _WORD
        c = data[at]
        if c == 34:
            return at, escaped
        if c == 92:  # a backslash: the next byte is no quote
            escaped = True
            at += np.uint64(1)
        at += np.uint64(1)


@njit(types.uint64(_Bytes, types.uint64, types.uint64), cache=True, inline="always")
def _signature(
    data: NDArray[np.uint8], start: np.uint64, end: np.uint64
) -> np.uint64:  # pragma: no cover
    """A number made of a key's length and four of its bytes: cheaper than a hash of all."""
    length = end - start
    if length == 0:
        return np.uint64(0)
    quarter = length >> np.uint64(2)
    last = end - np.uint64(1)
    signature = length + np.uint64(5) * np.uint64(data[last])
    signature = (signature << np.uint64(8)) + np.uint64(data[start])
    signature = (signature << np.uint64(8)) + np.uint64(data[last - quarter])
    signature = (signature << np.uint64(8)) + np.uint64(data[start + quarter])
    return (signature * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(8)


@njit(types.Tuple((types.uint8[::1], types.boolean))(_Bytes, _Offsets), cache=True)
def scan(
    data: NDArray[np.uint8], ends: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], bool]:  # pragma: no cover
    """(uint8[n]: `PLAIN`, `TOO_DEEP` or `UNSURE` of each payload; whether all are `PLAIN`).

    data: the payloads one after the other, all valid JSON objects; ends: int64[n], where each
    ends. Keys of the outermost object are compared by a signature, so `UNSURE` has false alarms
    and no misses; a key with an escape is one of them.
    """
    found = np.zeros(len(ends), np.uint8)
    all_plain = True
    seen = np.empty(_KEYS_MAX, np.uint64)
    at = np.uint64(0)  # unsigned, so that no look-up has to test for a negative place
    one = np.uint64(1)
    for row in range(len(ends)):
        end = np.uint64(ends[row])
        depth, keys, is_key, state, filter_bits = 0, 0, False, PLAIN, np.uint64(0)
        while at < end:
            c = data[at]
            at += one
            if c == 34:  # a quote
                start = at
                at, escaped = _closing_quote(data, at)
                if is_key:
                    is_key = False
                    signature = _signature(data, start, at)
                    bit = one << (signature & np.uint64(63))
                    if escaped or keys == _KEYS_MAX:
                        state = UNSURE
                    else:
                        if filter_bits & bit and (seen[:keys] == signature).any():
                            state = UNSURE
                        filter_bits |= bit
                        seen[keys] = signature
                        keys += 1
                at += one
            elif c == 44:  # a comma
                is_key = depth == 1
            elif c | 32 == 123:  # an opening brace or bracket
                depth += 1
                is_key = depth == 1
                if depth > DEPTH_MAX:
                    state = TOO_DEEP
                    at = end
            elif c | 32 == 125:
                depth -= 1
        found[row] = state
        all_plain &= state == PLAIN
    return found, all_plain


@njit(
    types.Tuple(
        (types.uint8[::1], types.int64[:, ::1], types.boolean[:, ::1], types.int64[:, ::1])
    )(_Bytes, types.int64, types.int64),
    cache=True,
)
def split(
    raw: NDArray[np.uint8], columns: int, rows: int
) -> tuple[
    NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]
]:  # pragma: no cover
    """Take columns · rows strings apart that stand column by column with `SEPARATOR` between.

    Returns the strings' bytes without the separators, the offsets of each column's strings from
    the column's own start (int64[columns, rows + 1]), which are not null (bool[columns, rows]),
    and of each column where its bytes start and end and how many nulls it has (int64[columns, 3]).
    """
    data = np.empty(len(raw), np.uint8)  # eight bytes fit in: `at` is never ahead of `read`
    offsets = np.zeros((columns, rows + 1), np.int64)
    valid = np.ones((columns, rows), np.bool_)
    places = np.zeros((columns, 3), np.int64)
    read, at = np.int64(0), np.int64(0)
    for column in range(columns):
        base = at
        for row in range(rows):
            start = at
            while read + 8 <= len(raw):  # eight bytes at a time, up to the first separator
                word = _eight(raw, np.uint64(read))
                _put_eight(data, np.uint64(at), word)
                found = _zero_bytes(word)
                if found != 0:
                    size = np.int64(_lowest_bit(found) >> np.uint64(3))
                    at += size
                    read += size
                    break
                at += 8
                read += 8
            while read < len(raw) and raw[read] != 0:
                data[at] = raw[read]
                at += 1
                read += 1
            read += 1
            if at == start + 2 and data[start] == 1:
                at = start
                valid[column, row] = False
                places[column, 2] += 1
            offsets[column, row + 1] = at - base
        places[column, 0], places[column, 1] = base, at
    return data, offsets, valid, places
