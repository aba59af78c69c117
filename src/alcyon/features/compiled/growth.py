"""How a tree changes: an event comes in, old leaves are dropped, a label turns.

An entity's *header* is HEADER_WORDS words: key low, key high, root, depth, events, newest time.
"""

from __future__ import annotations

import numpy as np

from alcyon.features.compiled import palette, wide
from alcyon.features.compiled.machine import Word, Words, compiled, inlined
from alcyon.features.compiled.measures import LABEL, NULL, Shape, holds, lane_code
from alcyon.features.compiled.memory import EVENTS, Memory, allocate, move, own, release
from alcyon.features.compiled.timeline import (
    INNER_FIRST,
    INNER_MAX,
    LEAF_MAX,
    Scratch,
    count_until,
    new_node,
    node_words,
    palette_of,
    resized,
    summarise,
)

ROOT, DEPTH, KEPT, NEWEST = 2, 3, 4, 5
HEADER_WORDS = 6


@compiled
def new_entity(m: Memory, low: Word, high: Word) -> Word:
    """The owned header of an entity without events."""
    header = allocate(m, HEADER_WORDS)
    own(m, header, HEADER_WORDS)
    m.words[header] = low
    m.words[header + 1] = high
    m.words[header + ROOT] = 0
    m.words[header + DEPTH] = 0
    m.words[header + KEPT] = 0
    m.words[header + NEWEST] = NULL
    return header


@compiled
def _add_to_row(m: Memory, at: Word, shape: Shape, scratch: Scratch) -> None:
    """Let the row at `at` take in the event in scratch, whose sums are in scratch.own."""
    words, measures = m.words, len(shape.measures)
    own(m, at, shape.row)
    words[at] = max(words[at], scratch.event[0])
    for k in range(measures):
        p = at + 2 + 2 * k
        words[p], words[p + 1] = wide.add(
            words[p], words[p + 1], scratch.own[0, k], scratch.own[1, k]
        )
    for x in range(len(shape.extremes)):
        value = scratch.event[2 + shape.extremes[x, 1]]
        if value != NULL and holds(scratch.event[1], shape.extremes[x, 0]):
            p = at + 2 + 2 * measures + 2 * x
            words[p], words[p + 1] = min(words[p], value), max(words[p + 1], value)
    for lane in range(shape.codes):
        code = lane_code(scratch.event, 0, shape.wides, lane)
        palette.add(words, palette_of(at, shape, lane), code)


@compiled
def _relink(
    m: Memory, header: Word, level: Word, scratch: Scratch, shape: Shape, node: Word
) -> None:
    """Let whatever leads to the node at `level` of the path lead to `node`."""
    if level == 0:
        m.words[header + ROOT] = node
        return
    at = scratch.path[0, level - 1] + 2 + scratch.path[1, level - 1] * shape.row
    own(m, at + 1, 1)
    m.words[at + 1] = node


@compiled
def _next_capacity(capacity: Word) -> Word:
    """2, 4, 6, 8, 12, 16, 24, 32: less waste than doubling, for the many small entities."""
    if capacity < 8:
        return capacity + 2
    if capacity == 8 or capacity == 12:
        return capacity + 4
    return capacity + 8


@compiled
def drop_first(m: Memory, header: Word, dropped: Word, stride: Word) -> None:
    """Drop the first events of an entity that has only one leaf."""
    leaf = m.words[header + ROOT]
    n = m.words[leaf]
    own(m, header, HEADER_WORDS)
    own(m, leaf, node_words(n, stride))
    move(m, leaf + 2 + dropped * stride, leaf + 2, (n - dropped) * stride)
    m.words[leaf] = n - dropped
    m.words[header + KEPT] -= dropped
    m.meta[EVENTS] -= dropped


@compiled
def _split(m: Memory, node: Word, index: Word, step: Word) -> Word:
    """Move a full node's upper half into a new sibling; all of it stays if the end grows."""
    words, n = m.words, m.words[node]
    keep = n if index == n else n // 2
    capacity = words[node + 1]
    sibling = new_node(m, 4 if keep == n else capacity, step)
    move(m, node + 2 + keep * step, sibling + 2, (n - keep) * step)
    words[sibling] = n - keep
    own(m, node, 2)
    words[node] = keep
    return sibling


@inlined
def _put_event(m: Memory, leaf: Word, index: Word, stride: Word, event: Words) -> None:
    words, n = m.words, m.words[leaf]
    at = leaf + 2 + index * stride
    own(m, leaf, 1)
    own(m, at, (n + 1 - index) * stride)
    move(m, at, at + stride, (n - index) * stride)
    for i in range(stride):
        words[at + i] = event[i]
    words[leaf] = n + 1


@compiled
def _add_child(
    m: Memory,
    header: Word,
    level: Word,
    scratch: Scratch,
    shape: Shape,
    child: Word,
    children_are_leaves: bool,
) -> None:
    """File `child` as the right neighbour of the path's node at `level`, splitting upwards."""
    words, row = m.words, shape.row
    while True:
        left = scratch.path[0, level]
        if level == 0:  # the root itself was split: a new root above
            root = new_node(m, INNER_FIRST, row)
            words[root] = 2
            summarise(m, left, children_are_leaves, root + 2, shape)
            summarise(m, child, children_are_leaves, root + 2 + row, shape)
            words[header + ROOT] = root
            words[header + DEPTH] += 1
            return
        parent, index = scratch.path[0, level - 1], scratch.path[1, level - 1]
        own(m, parent, node_words(words[parent + 1], row))
        summarise(m, left, children_are_leaves, parent + 2 + index * row, shape)
        n, index = words[parent], index + 1
        sibling = np.int64(0)
        if n == words[parent + 1] and n < INNER_MAX:
            parent = resized(m, parent, n * 2, row)
            scratch.path[0, level - 1] = parent
            _relink(m, header, level - 1, scratch, shape, parent)
        elif n == INNER_MAX:
            sibling = _split(m, parent, index, row)
        target = parent
        if sibling != 0 and index >= words[parent] and words[parent] < INNER_MAX:
            target, index = sibling, index - words[parent]
        elif sibling != 0 and index == INNER_MAX:
            target, index = sibling, np.int64(0)
        at = target + 2 + index * row
        move(m, at, at + row, (words[target] - index) * row)
        summarise(m, child, children_are_leaves, at, shape)
        words[target] += 1
        if sibling == 0:
            return
        child, level, children_are_leaves = sibling, level - 1, False


@inlined
def _descend(m: Memory, header: Word, shape: Shape, scratch: Scratch) -> Word:
    """The leaf where scratch.event belongs, behind its equals; rows on the way take it in."""
    node, depth = m.words[header + ROOT], m.words[header + DEPTH]
    for d in range(depth):
        child = count_until(m.words, node, shape.row, scratch.event[0], m.words[node])
        child = min(child, m.words[node] - 1)
        scratch.path[0, d] = node
        scratch.path[1, d] = child
        at = node + 2 + child * shape.row
        _add_to_row(m, at, shape, scratch)
        node = m.words[at + 1]
    scratch.path[0, depth] = node
    return node


@inlined
def insert(m: Memory, header: Word, shape: Shape, scratch: Scratch) -> None:
    """Add scratch.event, whose sums are in scratch.own."""
    words, stride = m.words, shape.stride
    own(m, header, HEADER_WORDS)
    words[header + KEPT] += 1
    words[header + NEWEST] = max(words[header + NEWEST], scratch.event[0])
    m.meta[EVENTS] += 1
    if words[header + ROOT] == 0:
        words[header + ROOT] = new_node(m, 2, stride)
    leaf, depth = _descend(m, header, shape, scratch), words[header + DEPTH]
    n, capacity = words[leaf], words[leaf + 1]
    index = count_until(words, leaf, stride, scratch.event[0], words[leaf])
    if n < capacity:
        _put_event(m, leaf, index, stride, scratch.event)
    elif capacity < LEAF_MAX:
        leaf = resized(m, leaf, _next_capacity(capacity), stride)
        _relink(m, header, depth, scratch, shape, leaf)
        _put_event(m, leaf, index, stride, scratch.event)
    else:
        sibling = _split(m, leaf, index, stride)
        kept = words[leaf]
        if index > kept or index == LEAF_MAX:
            _put_event(m, sibling, index - kept, stride, scratch.event)
        else:
            _put_event(m, leaf, index, stride, scratch.event)
        _add_child(m, header, depth, scratch, shape, sibling, True)


@compiled
def drop_oldest(m: Memory, header: Word, horizon: Word, shape: Shape, scratch: Scratch) -> Word:
    """Drop the oldest leaf if all its events are ≤ horizon and it is not the only one.

    Returns the leaf, no longer linked, for the caller to read and release; 0 if none.
    """
    words, row, depth = m.words, shape.row, m.words[header + DEPTH]
    if depth == 0:
        return np.int64(0)
    node = words[header + ROOT]
    for d in range(depth):
        scratch.path[0, d] = node
        if d == depth - 1 and words[node + 2] > horizon:
            return np.int64(0)
        node = words[node + 2 + 1]
    own(m, header, HEADER_WORDS)
    words[header + KEPT] -= words[node]
    m.meta[EVENTS] -= words[node]
    d = depth - 1
    while True:  # take out the first row; a parent left without rows goes too
        parent = scratch.path[0, d]
        own(m, parent, node_words(words[parent], row))
        words[parent] -= 1
        move(m, parent + 2 + row, parent + 2, words[parent] * row)
        if words[parent] > 0:
            break
        release(m, parent, node_words(words[parent + 1], row))
        d -= 1
    for level in range(d - 1, -1, -1):
        at = scratch.path[0, level] + 2
        own(m, at, row)
        summarise(m, scratch.path[0, level + 1], False, at, shape)
    while words[header + DEPTH] > 0 and words[words[header + ROOT]] == 1:
        root = words[header + ROOT]
        words[header + ROOT] = words[root + 2 + 1]
        words[header + DEPTH] -= 1
        release(m, root, node_words(words[root + 1], row))
    return node


@compiled
def release_tree(m: Memory, node: Word, depth: Word, shape: Shape) -> Word:
    """Give back a whole tree's nodes."""
    if depth == 0:
        release(m, node, node_words(m.words[node + 1], shape.stride))
        return 0
    for c in range(m.words[node]):
        release_tree(m, m.words[node + 2 + c * shape.row + 1], depth - 1, shape)
    release(m, node, node_words(m.words[node + 1], shape.row))
    return 0


@compiled
def turn_label(
    m: Memory, node: Word, depth: Word, time: Word, sequence: Word, is_fraud: Word, shape: Shape
) -> Word:
    """Set the label of the event (time, sequence), which has the other one; its tag, -1 if gone."""
    words = m.words
    if depth == 0:
        for i in range(words[node] - 1, -1, -1):
            event = node + 2 + i * shape.stride
            if words[event] == time and words[event + 1] >> 24 == sequence:
                own(m, event + 1, 1)
                words[event + 1] = (words[event + 1] & ~np.int64(1)) | is_fraud
                return words[event + 1]
        return np.int64(-1)
    for c in range(words[node]):
        at = node + 2 + c * shape.row
        if words[at] < time:
            continue
        tag = turn_label(m, words[at + 1], depth - 1, time, sequence, is_fraud, shape)
        if tag >= 0:
            own(m, at, shape.row)
            delta = np.int64(1) if is_fraud == 1 else np.int64(-1)
            for k in range(len(shape.measures)):
                if shape.measures[k, 0] == LABEL and holds(tag, shape.measures[k, 1]):
                    p = at + 2 + 2 * k
                    words[p], words[p + 1] = wide.add(words[p], words[p + 1], delta, delta >> 63)
            return tag
        if words[at] > time:
            break
    return np.int64(-1)


@compiled
def collect(words: Words, node: Word, depth: Word, shape: Shape, out: Words, at: Word) -> Word:
    """Copy all events in order into out[:, stride] from row `at`; returns the next row."""
    if depth == 0:
        for i in range(words[node]):
            for w in range(shape.stride):
                out[at, w] = words[node + 2 + i * shape.stride + w]
            at += 1
        return at
    for c in range(words[node]):
        at = collect(words, words[node + 2 + c * shape.row + 1], depth - 1, shape, out, at)
    return at
