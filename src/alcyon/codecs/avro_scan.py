"""Avro bodies to raw columns, compiled: a schema is a table of nodes that one function follows.

Nothing in a body is trusted: no read goes beyond its end, nesting is bounded by `DEPTH_MAX` and
work by the body's length, so that no bytes can crash, hang or exhaust the process.

A node is `(op, first, count, scale)`: FIXED has its size in `count`; ENUM, UNION and RECORD have
`count` entries from `first` on in `links` (where a symbol starts and ends, a branch, a field);
ARRAY and MAP have the items' node in `first`. `scale` is what a value is divided by to become
ours (microseconds: 1000), 0 where it means what we cannot hold (a decimal).
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

NULL, BOOLEAN, INT, LONG, FLOAT, DOUBLE, BYTES, STRING = range(8)
FIXED, ENUM, UNION, RECORD, ARRAY, MAP = range(8, 14)

TEXT, INTEGER, NUMBER, FLAG, TIME = range(5)
"""What a column holds; a `TIME` is an integer that may come as text."""

GOOD, WRONG_TYPE, MISSING, TOO_LARGE = range(4)
"""What is found of a body, with the column; then the first in canonical order counts."""
TRUNCATED, MALFORMED, TOO_DEEP, TRAILING = range(10, 14)
"""The same, with the field, where the rest of the body cannot be read: these come first."""

DEPTH_MAX = 32
"""How deeply records, arrays and maps may nest."""
ABSENT = -1
"""The length of null."""

_STEPS_PER_BYTE, _STEPS_MIN = 4, 4096  # items may take no bytes: their number is no bound
_NULL_INT = np.int64(-(2**63))

_Ints = types.Array(types.int64, 1, "C", readonly=True)
_Table = types.Array(types.int64, 2, "C", readonly=True)
_Bytes = types.Array(types.uint8, 1, "C", readonly=True)
_Moved = types.Tuple((types.int64, types.int64))
_Valued = types.Tuple((types.int64, types.int64, types.int64))


@njit(_Moved(_Bytes, types.int64, types.int64), cache=True, inline="always")
def _long(data: NDArray[np.uint8], at: int, end: int) -> tuple[int, int]:  # pragma: no cover
    """(a zigzag varint at `at`, the place behind it or minus what is wrong)."""
    value, shift = np.uint64(0), np.uint64(0)
    while at < end:
        byte = np.uint64(data[at])
        at += 1
        if shift == np.uint64(63) and byte > np.uint64(1):
            return 0, -MALFORMED
        value |= (byte & np.uint64(127)) << shift
        if byte < np.uint64(128):
            return int(np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1))), at
        shift += np.uint64(7)
    return 0, -TRUNCATED


@njit(_Moved(_Bytes, types.int64, types.int64, types.int64), cache=True, inline="always")
def _index(
    data: NDArray[np.uint8], at: int, end: int, count: int
) -> tuple[int, int]:  # pragma: no cover
    """Like `_long`, for a number in [0, count)."""
    index, at = _long(data, at, end)
    if at >= 0 and (index < 0 or index >= count):
        return 0, -MALFORMED
    return index, at


@njit(
    _Valued(_Bytes, types.int64, types.int64, types.int64, types.int64),
    cache=True,
    inline="always",
)
def _scalar(
    data: NDArray[np.uint8], at: int, end: int, op: int, size: int
) -> tuple[int, int, int]:  # pragma: no cover
    """(value, length, the place behind it or minus what is wrong).

    A float's value is its bits, a string's is where it starts.
    """
    if op == NULL:
        return 0, ABSENT, at
    if op in (INT, LONG):
        value, at = _long(data, at, end)
        if op == INT and at >= 0 and np.int64(np.int32(value)) != value:
            at = -MALFORMED
        return value, 0, at
    if op in (BYTES, STRING):
        size, at = _long(data, at, end)
        if at < 0:
            return 0, 0, at
        if size < 0:
            return 0, 0, -MALFORMED
    if op == FLOAT:
        size = 4
    elif op == DOUBLE:
        size = 8
    elif op == BOOLEAN:
        size = 1
    if size > end - at:
        return 0, 0, -TRUNCATED
    if op in (BYTES, STRING, FIXED):
        return at, size, at + size
    value = np.int64(0)
    for i in range(size):
        value |= np.int64(data[at + i]) << np.int64(8 * i)
    if op == BOOLEAN and value > 1:
        return 0, 0, -MALFORMED
    return int(value), 0, at + size


@njit(
    _Moved(_Bytes, types.int64, types.int64, _Table, _Ints, types.int64[:, ::1], types.int64),
    cache=True,
    inline="always",
)
def _next_item(
    data: NDArray[np.uint8],
    at: int,
    end: int,
    nodes: NDArray[np.int64],
    links: NDArray[np.int64],
    stack: NDArray[np.int64],
    top: int,
) -> tuple[int, int]:  # pragma: no cover
    """(the node of what comes next in a record, array or map or -1, its place).

    stack[top]: its node, and how many fields or items are left of it.
    """
    parent = stack[top, 0]
    op, first = nodes[parent, 0], nodes[parent, 1]
    if op == RECORD:
        if stack[top, 1] == 0:
            return -1, at
        stack[top, 1] -= 1
        return links[first + nodes[parent, 2] - stack[top, 1] - 1], at
    if stack[top, 1] == 0:
        count, at = _long(data, at, end)
        if at >= 0 and count < 0:  # the block's size in bytes follows; not needed
            count = -count
            _, at = _long(data, at, end)
        if at < 0 or count == 0:
            return -1, at
        stack[top, 1] = count
    stack[top, 1] -= 1
    if op == MAP:
        _, _, at = _scalar(data, at, end, STRING, 0)
    return first, at


@njit(
    types.int64(_Bytes, types.int64, types.int64, _Table, _Ints, types.int64),
    cache=True,
)
def _skipped(
    data: NDArray[np.uint8],
    at: int,
    end: int,
    nodes: NDArray[np.int64],
    links: NDArray[np.int64],
    node: int,
) -> int:  # pragma: no cover
    """The place behind whatever `node` describes, or minus what is wrong."""
    stack = np.empty((DEPTH_MAX, 2), np.int64)
    depth, steps = 0, _STEPS_MIN + _STEPS_PER_BYTE * (end - at)
    while at >= 0:
        op, first, count = nodes[node, 0], nodes[node, 1], nodes[node, 2]
        if op == UNION:
            index, at = _index(data, at, end, count)
            if at >= 0:
                node = links[first + index]
            continue
        if op == ENUM:
            _, at = _index(data, at, end, count)
        elif op >= RECORD:
            if depth == DEPTH_MAX:
                return -TOO_DEEP
            stack[depth, 0], stack[depth, 1] = node, count if op == RECORD else 0
            depth += 1
        else:
            _, _, at = _scalar(data, at, end, op, count)
        node = -1
        while node < 0 and depth > 0 and at >= 0:
            node, at = _next_item(data, at, end, nodes, links, stack, depth - 1)
            steps -= 1
            if node < 0:
                depth -= 1
        if node < 0:
            return at
        if steps < 0:
            return -TOO_DEEP
    return at


@njit(types.int64(types.float64), cache=True)
def _bits(number: float) -> int:  # pragma: no cover
    held = np.empty(1, np.float64)
    held[0] = number
    return held.view(np.int64)[0]  # type: ignore[no-any-return]


@njit(types.float64(types.int64), cache=True)
def _double(bits: int) -> float:  # pragma: no cover
    held = np.empty(1, np.int64)
    held[0] = bits
    return held.view(np.float64)[0]  # type: ignore[no-any-return]


@njit(types.float64(types.int64), cache=True)
def _single(bits: int) -> float:  # pragma: no cover
    held = np.empty(1, np.int32)
    held[0] = bits
    return np.float64(held.view(np.float32)[0])


@njit(_Valued(types.float64, types.int64), cache=True)
def _rounded(number: float, kind: int) -> tuple[int, int, int]:  # pragma: no cover
    """Like `_converted`, for a float: an integer takes it only without a fraction."""
    if np.isnan(number) or kind == FLAG:
        return WRONG_TYPE, 0, 0
    if kind == NUMBER:
        return GOOD, _bits(number), 0
    if np.abs(number) >= 2.0**63:
        return TOO_LARGE, 0, 0
    whole = np.int64(number)
    return (GOOD if np.float64(whole) == number else WRONG_TYPE), int(whole), 0


@njit(
    types.Tuple((types.int64, types.int64, types.int64))(
        types.int64, types.int64, types.int64, types.int64, types.int64
    ),
    cache=True,
)
def _converted(
    op: int, scale: int, kind: int, value: int, length: int
) -> tuple[int, int, int]:  # pragma: no cover
    """(what is found, value, length) of a value, not null, in a column of this kind."""
    if kind == TEXT:
        return (GOOD if scale and op in (STRING, BYTES, ENUM) else WRONG_TYPE), value, length
    if op == STRING and kind == TIME:
        return (GOOD if length else WRONG_TYPE), value, length
    if op == BOOLEAN:
        return (GOOD if kind == FLAG else WRONG_TYPE), value, 0
    if op not in (INT, LONG, FLOAT, DOUBLE) or not scale:
        return WRONG_TYPE, 0, 0
    if op in (INT, LONG):
        value //= scale
        if kind == FLAG:
            return (GOOD if value in (0, 1) else WRONG_TYPE), value, 0
        if kind == NUMBER:
            return GOOD, _bits(np.float64(value)), 0
        return (TOO_LARGE if value == _NULL_INT else GOOD), value, 0
    number = _double(value) if op == DOUBLE else _single(value)
    return _rounded(number, kind)  # type: ignore[no-any-return]


@njit(
    types.Tuple((types.int64[:, ::1], types.int64[:, ::1], types.int64[:, ::1]))(
        _Bytes, _Table, _Table, _Ints, _Table, _Table
    ),
    cache=True,
)
def scan(
    data: NDArray[np.uint8],
    bodies: NDArray[np.int64],
    nodes: NDArray[np.int64],
    links: NDArray[np.int64],
    fields: NDArray[np.int64],
    plan: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:  # pragma: no cover
    """Take n bodies of one record schema apart.

    bodies: int64[n, 2], where each starts and ends in `data`. fields: int64[f, 2], the node of
    each field and the column it fills or -1. plan: int64[c, 2], each column's kind and whether it
    is required.

    Returns values int64[c, n] (a number, a double's bits, where a text starts), lengths
    int64[c, n] (`ABSENT` for null, a text's bytes, else 0), and found int64[n, 3]: what is found,
    where (a column; a field for what comes first), and the op met or how many bytes are left.
    """
    n = len(bodies)
    values = np.zeros((len(plan), n), np.int64)
    lengths = np.full((len(plan), n), ABSENT, np.int64)
    found = np.zeros((n, 3), np.int64)
    for row in range(n):
        at, end = bodies[row, 0], bodies[row, 1]
        for field in range(len(fields)):
            node, column = fields[field, 0], fields[field, 1]
            if nodes[node, 0] == UNION:
                index, at = _index(data, at, end, nodes[node, 2])
                if at >= 0:
                    node = links[nodes[node, 1] + index]
            if at >= 0:
                op, length = nodes[node, 0], np.int64(0)
                if op < ENUM:
                    value, length, at = _scalar(data, at, end, op, nodes[node, 2])
                elif op == ENUM and column >= 0:
                    index, at = _index(data, at, end, nodes[node, 2])
                    value = links[nodes[node, 1] + 2 * index]
                    length = links[nodes[node, 1] + 2 * index + 1]
                else:
                    value, at = 0, _skipped(data, at, end, nodes, links, node)
            if at < 0:
                found[row, 0], found[row, 1] = -at, field
                break
            if column < 0:
                continue
            if op == NULL:
                result = MISSING if plan[column, 1] else GOOD
            else:
                result, value, length = _converted(
                    op, nodes[node, 3], plan[column, 0], value, length
                )
            if result == GOOD:
                values[column, row], lengths[column, row] = value, length
            elif found[row, 0] == GOOD or column < found[row, 1]:
                found[row, 0], found[row, 1], found[row, 2] = result, column, op
        if at >= 0 and at < end:
            found[row, 0], found[row, 2] = TRAILING, end - at
    return values, lengths, found


@njit(
    types.Tuple((types.uint8[::1], types.int64[:, ::1], types.int64[:, ::1]))(
        _Bytes, _Table, _Table, _Table
    ),
    cache=True,
)
def gather(
    data: NDArray[np.uint8],
    values: NDArray[np.int64],
    lengths: NDArray[np.int64],
    plan: NDArray[np.int64],
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:  # pragma: no cover
    """Take the texts of all columns from `data`, column by column.

    Returns the texts' bytes, the offsets of each column's texts from the column's own start
    (int64[c, n + 1]), and of each column, of numbers too, where its bytes start and end, how many
    values are null and how many bytes are odd (int64[c, 4]): not ASCII, or one of the two
    characters that JSON's decoding has a use for.
    """
    columns, rows = values.shape
    offsets = np.zeros((columns, rows + 1), np.int64)
    places = np.zeros((columns, 4), np.int64)
    total = 0
    for column in range(columns):
        for row in range(rows):
            places[column, 2] += lengths[column, row] == ABSENT
            if plan[column, 0] == TEXT:
                total += max(lengths[column, row], 0)
    texts = np.empty(total, np.uint8)
    at = 0
    for column in range(columns):
        places[column, 0] = at
        if plan[column, 0] == TEXT:
            for row in range(rows):
                start = values[column, row]
                for i in range(start, start + max(lengths[column, row], 0)):
                    places[column, 3] += (data[i] < 2) | (data[i] > 127)
                    texts[at] = data[i]
                    at += 1
                offsets[column, row + 1] = at - places[column, 0]
        places[column, 1] = at
    return texts, offsets, places
