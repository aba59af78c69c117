"""Measures: what a window adds up, over a run of events that lie next to each other.

An event is `stride` words: time, sequence << 24 | flags, the 64-bit lanes, the 32-bit lanes two
to a word. Flag bit 0 is the label, bit 1 + w says whether condition w holds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alcyon.features.compiled import wide
from alcyon.features.compiled.machine import Word, Words, compiled

COUNT, NON_NULL, SUM, SQUARES, LABEL = 0, 1, 2, 3, 4
"""Kinds of measure: events, events with a value, Σx, Σx², labels that say fraud."""

NULL = np.int64(-(2**63))


class Shape(NamedTuple):
    """What the tree must know of an entity; arrays so that one compiled kernel serves all."""

    stride: int  # words of an event
    wides: int  # number of 64-bit lanes
    codes: int  # number of 32-bit lanes
    measures: NDArray[np.int64]  # [K, 3]: kind, condition or -1, lane or -1
    extremes: NDArray[np.int64]  # [X, 2]: condition or -1, 64-bit lane
    row: int  # words of an inner row


@compiled
def lane_code(words: Words, event: Word, wides: Word, lane: Word) -> Word:
    """A 32-bit lane of the event at `event`; 0 is null."""
    word = words[event + 2 + wides + (lane >> 1)]
    return (word >> (32 * (lane & 1))) & 0xFFFFFFFF


@compiled
def holds(tag: Word, condition: Word) -> bool:
    """Whether the event with this tag word meets the condition (-1: always)."""
    return bool(condition < 0 or (tag >> (condition + 1)) & 1 == 1)


@compiled
def _count(words: Words, first: Word, events: Word, stride: Word, condition: Word) -> Word:
    if condition < 0:
        return np.int64(events)
    total = np.int64(0)
    for i in range(events):
        total += (words[first + i * stride + 1] >> (condition + 1)) & 1
    return total


@compiled
def _non_null(
    words: Words, first: Word, events: Word, stride: Word, condition: Word, lane: Word
) -> Word:
    total = np.int64(0)
    for i in range(events):
        event = first + i * stride
        if words[event + 2 + lane] != NULL and holds(words[event + 1], condition):
            total += 1
    return total


@compiled
def _sum(
    words: Words, first: Word, events: Word, stride: Word, condition: Word, lane: Word
) -> tuple[Word, Word]:
    low, high = np.int64(0), np.int64(0)
    for i in range(events):
        event = first + i * stride
        value = words[event + 2 + lane]
        if value != NULL and holds(words[event + 1], condition):
            low += value & 0xFFFFFFFF
            high += value >> 32
    return wide.from_halves(low, high)


@compiled
def _squares(
    words: Words, first: Word, events: Word, stride: Word, condition: Word, lane: Word
) -> tuple[Word, Word]:
    low, high = np.int64(0), np.int64(0)
    for i in range(events):
        event = first + i * stride
        value = words[event + 2 + lane]
        if value != NULL and holds(words[event + 1], condition):
            square_low, square_high = wide.square(value)
            low, high = wide.add(low, high, square_low, square_high)
    return low, high


@compiled
def _labels(words: Words, first: Word, events: Word, stride: Word, condition: Word) -> Word:
    total = np.int64(0)
    for i in range(events):
        tag = words[first + i * stride + 1]
        if tag & 1 == 1 and holds(tag, condition):
            total += 1
    return total


@compiled
def measure(words: Words, first: Word, events: Word, shape: Shape, k: Word) -> tuple[Word, Word]:
    """Measure k over `events` events from address `first`, as 128 bits."""
    kind, condition, lane = shape.measures[k, 0], shape.measures[k, 1], shape.measures[k, 2]
    if kind == SUM:
        return _sum(words, first, events, shape.stride, condition, lane)
    if kind == SQUARES:
        return _squares(words, first, events, shape.stride, condition, lane)
    zero = np.int64(0)
    if kind == COUNT:
        return _count(words, first, events, shape.stride, condition), zero
    if kind == NON_NULL:
        return _non_null(words, first, events, shape.stride, condition, lane), zero
    return _labels(words, first, events, shape.stride, condition), zero
