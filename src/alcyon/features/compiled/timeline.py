"""The events of one entity in event-time order: a B+ tree whose inner rows carry exact sums.

An *event* is what `measures` says.
A *leaf* is [count, capacity, events…]; an *inner node* [count, capacity, rows…]; a *row* stands
for a child: [newest time, address, (low, high) per measure, (min, max) per extreme, a palette per
32-bit lane].
A window is a difference of two sums "newer than": nothing is kept per window, so that an event
out of order costs what any other costs, and no value depends on when old leaves were dropped.

Source of the structure: Bayer, McCreight, "Organization and maintenance of large ordered indices"
(1972), with aggregates in the inner rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alcyon.features.compiled import palette, wide
from alcyon.features.compiled.machine import Word, Words, compiled, inlined
from alcyon.features.compiled.measures import NULL, Shape, holds, lane_code, measure
from alcyon.features.compiled.memory import STAMP, Memory, allocate, move, own, release

LEAF_MAX = 32
INNER_MAX = 32
INNER_FIRST = 4
DEPTH_MAX = 12

MIN_NONE = np.int64(2**63 - 1)
MAX_NONE = NULL


class Scratch(NamedTuple):
    """Reused arrays; `path` belongs to `insert` and `drop_oldest`, the rest to the query."""

    path: NDArray[np.int64]  # [2, DEPTH_MAX]: nodes, rows
    low: NDArray[np.int64]  # [bounds, K]
    high: NDArray[np.int64]
    sums: NDArray[np.int64]  # [2, K]: rows of the root, while a query runs
    own: NDArray[np.int64]  # [2, K]: the contribution of one event
    event: NDArray[np.int64]  # one event's words


@compiled
def count_until(words: Words, node: Word, step: Word, limit: Word, count: Word) -> Word:
    """How many of the node's first `count` entries have time ≤ limit; searched from the newest.

    Entries are a leaf's events or an inner node's rows, `step` words each: the result is also the
    first child that has an event newer than the limit.
    """
    at = node + 2 + (count - 1) * step
    while count > 0 and words[at] > limit:
        count -= 1
        at -= step
    return count


@compiled
def _add_row(words: Words, at: Word, low: Words, high: Words) -> None:
    for k in range(len(low)):
        low[k], high[k] = wide.add(low[k], high[k], words[at + 2 + 2 * k], words[at + 3 + 2 * k])


@compiled
def _subtract_row(words: Words, at: Word, low: Words, high: Words) -> None:
    for k in range(len(low)):
        low[k], high[k] = wide.subtract(
            low[k], high[k], words[at + 2 + 2 * k], words[at + 3 + 2 * k]
        )


@inlined
def _add_newer_in_leaf(
    words: Words, leaf: Word, at: Word, limit: Word, shape: Shape, low: Words, high: Words
) -> Word:
    """Add the leaf's events with time > limit; `at` is its row, 0 for a lone leaf."""
    n, stride = words[leaf], shape.stride
    index = count_until(words, leaf, stride, limit, words[leaf])
    if at != 0 and 2 * index < n:  # fewer to take off than to add
        _add_row(words, at, low, high)
        for k in range(len(low)):
            x, y = measure(words, leaf + 2, index, shape, k)
            low[k], high[k] = wide.subtract(low[k], high[k], x, y)
    else:
        for k in range(len(low)):
            x, y = measure(words, leaf + 2 + index * stride, n - index, shape, k)
            low[k], high[k] = wide.add(low[k], high[k], x, y)
    return index


@inlined
def _add_newer_in_child(
    words: Words, at: Word, depth: Word, limit: Word, shape: Shape, low: Words, high: Words
) -> tuple[Word, Word]:
    """Add what is newer than the limit below the row at `at`, where something is.

    Returns (leaf, index): in that leaf, events from the index on were added.
    """
    row = shape.row
    for _ in range(depth):
        node = words[at + 1]
        n, child = words[node], count_until(words, node, row, limit, words[node])
        if 2 * child + 2 < n:  # fewer rows to take off than to add
            _add_row(words, at, low, high)
            for c in range(child + 1):
                _subtract_row(words, node + 2 + c * row, low, high)
        else:
            for c in range(child + 1, n):
                _add_row(words, node + 2 + c * row, low, high)
        at = node + 2 + child * row
    leaf = words[at + 1]
    return leaf, _add_newer_in_leaf(words, leaf, at, limit, shape, low, high)


@inlined
def newer_than_each(
    words: Words, root: Word, depth: Word, time: Word, bounds: Words, shape: Shape, scratch: Scratch
) -> None:
    """Sums over events newer than time − bounds[b] into scratch.low[b], .high[b]; bounds ascend.

    Each goes on where the one before ended, as long as that is in the same leaf, else in the root.
    """
    low, high, sums = scratch.low, scratch.high, scratch.sums
    sums[:] = 0
    added = words[root]  # rows of the root from here on are in `sums`
    leaf, index = np.int64(0), np.int64(0)
    for b in range(len(bounds)):
        limit = time - bounds[b]
        if leaf != 0:
            older = count_until(words, leaf, shape.stride, limit, index)
            if older > 0 or depth == 0:
                _add_between(words, leaf, older, index, b, shape, scratch)
                index = older
                continue
        if depth == 0:
            low[b, :] = 0
            high[b, :] = 0
            leaf, index = root, _add_newer_in_leaf(words, root, 0, limit, shape, low[b], high[b])
            continue
        child = count_until(words, root, shape.row, limit, words[root])
        for c in range(child + 1, added):
            _add_row(words, root + 2 + c * shape.row, sums[0], sums[1])
        added = min(added, child + 1)
        for k in range(low.shape[1]):
            low[b, k], high[b, k] = sums[0, k], sums[1, k]
        if child < words[root]:
            at = root + 2 + child * shape.row
            leaf, index = _add_newer_in_child(words, at, depth - 1, limit, shape, low[b], high[b])


@inlined
def _add_between(
    words: Words, leaf: Word, older: Word, index: Word, b: Word, shape: Shape, scratch: Scratch
) -> None:
    """The sums of bound b: those of b − 1 and the leaf's events [older, index)."""
    low, high = scratch.low, scratch.high
    for k in range(low.shape[1]):
        low[b, k], high[b, k] = low[b - 1, k], high[b - 1, k]
        if older < index:
            first = leaf + 2 + older * shape.stride
            x, y = measure(words, first, index - older, shape, k)
            low[b, k], high[b, k] = wide.add(low[b, k], high[b, k], x, y)


@inlined
def newest_until(words: Words, root: Word, depth: Word, limit: Word, shape: Shape) -> Word:
    """Address of the last event with time ≤ limit, 0 if there is none."""
    node, row = root, shape.row
    older, older_depth = np.int64(0), 0
    for d in range(depth):
        child = count_until(words, node, row, limit, words[node])
        if child > 0:
            older, older_depth = words[node + 2 + (child - 1) * row + 1], depth - 1 - d
        if child == words[node]:
            child = np.int64(-1)
            break
        node = words[node + 2 + child * row + 1]
    else:
        child = np.int64(0)
    if child == 0:
        index = count_until(words, node, shape.stride, limit, words[node])
        if index > 0:
            return node + 2 + (index - 1) * shape.stride
    if older == 0:
        return np.int64(0)
    for _ in range(older_depth):
        older = words[older + 2 + (words[older] - 1) * row + 1]
    return older + 2 + (words[older] - 1) * shape.stride


@compiled
def extreme(
    words: Words, node: Word, depth: Word, since: Word, until: Word, shape: Shape, x: Word
) -> tuple[Word, Word]:
    """(min, max) of extreme x over since < time ≤ until; (MIN_NONE, MAX_NONE) if there is none."""
    low, high = MIN_NONE, MAX_NONE
    condition, lane = shape.extremes[x, 0], shape.extremes[x, 1]
    if depth == 0:
        for i in range(words[node] - 1, -1, -1):
            event = node + 2 + i * shape.stride
            if words[event] <= since:
                break
            value = words[event + 2 + lane]
            if words[event] <= until and value != NULL and holds(words[event + 1], condition):
                low, high = min(low, value), max(high, value)
        return low, high
    for c in range(words[node] - 1, -1, -1):
        at = node + 2 + c * shape.row
        if words[at] <= since:
            break
        oldest = words[at - shape.row] if c > 0 else NULL  # every event here is at least so new
        if oldest > until:
            continue
        if oldest > since and words[at] <= until:
            best = at + 2 + 2 * len(shape.measures) + 2 * x
            child_low, child_high = words[best], words[best + 1]
        else:
            child_low, child_high = extreme(words, words[at + 1], depth - 1, since, until, shape, x)
        low, high = min(low, child_low), max(high, child_high)
    return low, high


class Lane(NamedTuple):
    """What a distinct count must know of a shape, and no more: it calls itself."""

    stride: int
    row: int
    event: int  # word of an event that holds the lane's code
    shift: int  # bits of that word below the code
    palette: int  # word of a row where the lane's palette begins
    condition: int


@compiled
def _distinct_in_leaf(
    words: Words, stamps: Words, stamp: Word, leaf: Word, since: Word, until: Word, lane: Lane
) -> Word:
    total, last = np.int64(0), np.int64(0)
    index = count_until(words, leaf, lane.stride, until, words[leaf])
    event = leaf + 2 + index * lane.stride
    for _ in range(index):
        event -= lane.stride
        if words[event] <= since:
            break
        code = (words[event + lane.event] >> lane.shift) & 0xFFFFFFFF
        # neighbours are often alike: one comparison instead of a look at the stamps
        if code == last or code == 0 or not holds(words[event + 1], lane.condition):
            continue
        last = code
        if stamps[code] != stamp:
            stamps[code] = stamp
            total += 1
    return total


@compiled
def _distinct(
    words: Words,
    stamps: Words,
    stamp: Word,
    node: Word,
    depth: Word,
    since: Word,
    until: Word,
    lane: Lane,
) -> Word:
    if depth == 0:
        return _distinct_in_leaf(words, stamps, stamp, node, since, until, lane)
    total = np.int64(0)
    for c in range(words[node] - 1, -1, -1):
        at = node + 2 + c * lane.row
        if words[at] <= since:
            break
        oldest = words[at - lane.row] if c > 0 else NULL  # every event here is at least so new
        if oldest > until:
            continue
        is_whole = lane.condition < 0 and oldest > since and words[at] <= until
        if is_whole and palette.is_known(words, at + lane.palette):
            total += palette.stamp(words, stamps, stamp, at + lane.palette)
            continue
        total += _distinct(words, stamps, stamp, words[at + 1], depth - 1, since, until, lane)
    return total


@inlined
def distinct(
    m: Memory,
    node: Word,
    depth: Word,
    since: Word,
    until: Word,
    shape: Shape,
    condition: Word,
    lane: Word,
) -> Word:
    """Codes of a lane not stamped before, over events with since < time ≤ until; null is none."""
    known = Lane(
        stride=shape.stride,
        row=shape.row,
        event=2 + shape.wides + (lane >> 1),
        shift=32 * (lane & 1),
        palette=palette_of(0, shape, lane),
        condition=condition,
    )
    stamp = m.meta[STAMP]
    if depth == 0:
        return _distinct_in_leaf(m.words, m.stamps, stamp, node, since, until, known)
    return _distinct(m.words, m.stamps, stamp, node, depth, since, until, known)


@compiled
def summarise(m: Memory, node: Word, is_leaf: bool, at: Word, shape: Shape) -> None:
    """Fill the row at `at` (owned by the caller) from its child, all but the address."""
    words, n, measures = m.words, m.words[node], len(shape.measures)
    step = shape.stride if is_leaf else shape.row
    words[at] = words[node + 2 + (n - 1) * step]
    words[at + 1] = node
    for k in range(measures):
        low, high = np.int64(0), np.int64(0)
        if is_leaf:
            low, high = measure(words, node + 2, n, shape, k)
        else:
            for c in range(n):
                part = node + 2 + c * step + 2 + 2 * k
                low, high = wide.add(low, high, words[part], words[part + 1])
        words[at + 2 + 2 * k] = low
        words[at + 3 + 2 * k] = high
    for x in range(len(shape.extremes)):
        low, high = MIN_NONE, MAX_NONE
        if is_leaf:
            low, high = extreme(words, node, np.int64(0), NULL, MIN_NONE, shape, x)
        else:
            for c in range(n):
                part = node + 2 + c * step + 2 + 2 * measures + 2 * x
                low, high = min(low, words[part]), max(high, words[part + 1])
        words[at + 2 + 2 * measures + 2 * x] = low
        words[at + 3 + 2 * measures + 2 * x] = high
    for lane in range(shape.codes):
        _summarise_codes(words, node, is_leaf, at, shape, lane)


@compiled
def palette_of(row: Word, shape: Shape, lane: Word) -> Word:
    """Address of the palette of a lane in the row at `row`."""
    return row + shape.row - (shape.codes - lane) * palette.WORDS


@compiled
def _summarise_codes(
    words: Words, node: Word, is_leaf: bool, at: Word, shape: Shape, lane: Word
) -> None:
    target = palette_of(at, shape, lane)
    palette.clear(words, target)
    for c in range(words[node]):
        if is_leaf:
            event = node + 2 + c * shape.stride
            palette.add(words, target, lane_code(words, event, shape.wides, lane))
        else:
            palette.unite(words, target, palette_of(node + 2 + c * shape.row, shape, lane))


@compiled
def node_words(capacity: Word, step: Word) -> Word:
    """Words of a node with this capacity."""
    return 2 + capacity * step


@compiled
def new_node(m: Memory, capacity: Word, step: Word) -> Word:
    """An empty, owned node."""
    size = node_words(capacity, step)
    node = allocate(m, size)
    own(m, node, size)
    m.words[node] = 0
    m.words[node + 1] = capacity
    return node


@compiled
def resized(m: Memory, node: Word, capacity: Word, step: Word) -> Word:
    """The node moved into one of another capacity; the old one is released."""
    grown = new_node(m, capacity, step)
    m.words[grown] = m.words[node]
    move(m, node + 2, grown + 2, m.words[node] * step)
    release(m, node, node_words(m.words[node + 1], step))
    return grown
