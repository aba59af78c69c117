"""One transaction against one entity: its features, then its event."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alcyon.features.compiled import measures, table, timeline, wide
from alcyon.features.compiled.growth import (
    DEPTH,
    HEADER_WORDS,
    NEWEST,
    ROOT,
    drop_first,
    drop_oldest,
    insert,
    new_entity,
    release_tree,
)
from alcyon.features.compiled.machine import Floats, Word, Words, compiled, fetch, inlined
from alcyon.features.compiled.measures import NULL, Shape
from alcyon.features.compiled.memory import EVENTS, STAMP, Memory, release
from alcyon.features.compiled.timeline import Scratch

# Kinds of feature.
F_COUNT, F_SUM, F_MEAN, F_STD, F_MIN, F_MAX, F_DISTINCT, F_PREVIOUS, F_PREVIOUS_CODE, F_ELAPSED = (
    range(10)
)

# Columns of `Plan.features`.
KIND, OUT, NEAR, FAR, WITH_CURRENT, A, B, C, DELAY, REACH, CONDITION, LANE, IS_FLOAT = range(13)
"""OUT: row of the output. NEAR, FAR: bounds of the window, by number. A, B, C: measures, or A an
extreme; for Distinct A is 1 in the first of rows that differ in REACH only, which rises.
DELAY, REACH: the bounds themselves, ms before the transaction (REACH: `within`)."""
FEATURE_WORDS = 13
AHEAD = 8
"""How many slots ahead a sweep asks for what it will look at: each is a cache miss."""


class Plan(NamedTuple):
    """All the kernel must know of one entity."""

    shape: Shape
    bounds: NDArray[np.int64]  # ms before the transaction, ascending, unique
    features: NDArray[np.int64]  # [f, FEATURE_WORDS]
    wide_columns: NDArray[np.int64]  # column of `integers` behind each 64-bit lane
    code_columns: NDArray[np.int64]  # column of `codes` behind each 32-bit lane
    conditions: NDArray[np.int64]  # column of `conditions` behind each flag
    base: int  # its table in meta
    reach: int  # ms of history that a transaction can look back on
    label_slot: int  # its keys in a ledger row, -1 if its windows do not look at labels


class Columns(NamedTuple):
    """A batch as the kernel reads it; n transactions."""

    times: NDArray[np.int64]  # [n]
    sequences: NDArray[np.int64]  # [n]
    is_fraud: NDArray[np.int64]  # [n]: a label that came before its transaction
    integers: NDArray[np.int64]  # [columns, n]
    codes: NDArray[np.int64]  # [columns, n]
    conditions: NDArray[np.float64]  # [columns, n]: 1 holds; 0 and NaN do not


@inlined
def read_event(plan: Plan, columns: Columns, i: Word, event: Words) -> None:
    """Transaction i as the words of an event of this entity."""
    tag = columns.sequences[i] << 24
    tag |= columns.is_fraud[i]
    for w in range(len(plan.conditions)):
        if columns.conditions[plan.conditions[w], i] == 1.0:
            tag |= np.int64(1) << (w + 1)
    event[0] = columns.times[i]
    event[1] = tag
    wides = plan.shape.wides
    for lane in range(wides):
        event[2 + lane] = columns.integers[plan.wide_columns[lane], i]
    for w in range(2 + wides, plan.shape.stride):
        event[w] = 0
    for lane in range(len(plan.code_columns)):
        code = columns.codes[plan.code_columns[lane], i]
        event[2 + wides + (lane >> 1)] |= code << (32 * (lane & 1))


@compiled
def _window_sum(scratch: Scratch, f: Words, k: Word, found: bool) -> tuple[Word, Word]:
    """Measure k over the window of feature f, the current event included if f wants it."""
    low, high = np.int64(0), np.int64(0)
    if found:
        near, far = f[NEAR], f[FAR]
        low, high = wide.subtract(
            scratch.low[far, k], scratch.high[far, k], scratch.low[near, k], scratch.high[near, k]
        )
    if f[WITH_CURRENT] == 1:
        low, high = wide.add(low, high, scratch.own[0, k], scratch.own[1, k])
    return low, high


@compiled
def _extreme(m: Memory, plan: Plan, scratch: Scratch, f: Words, root: Word, depth: Word) -> Word:
    low, high = timeline.MIN_NONE, timeline.MAX_NONE
    time = scratch.event[0]
    if root != 0:
        since, until = time - f[REACH], time - f[DELAY]
        low, high = timeline.extreme(m.words, root, depth, since, until, plan.shape, f[A])
    value = scratch.event[2 + f[LANE]]
    if f[WITH_CURRENT] == 1 and value != NULL and measures.holds(scratch.event[1], f[CONDITION]):
        low, high = min(low, value), max(high, value)
    if high == timeline.MAX_NONE:
        return NULL
    return low if f[KIND] == F_MIN else high


@compiled
def _is_new_code(m: Memory, plan: Plan, scratch: Scratch, f: Words) -> Word:
    """1 if the feature counts the current transaction and its code was not stamped yet."""
    if f[WITH_CURRENT] == 0 or not measures.holds(scratch.event[1], f[CONDITION]):
        return 0
    word = scratch.event[2 + plan.shape.wides + (f[LANE] >> 1)]
    code = (word >> (32 * (f[LANE] & 1))) & 0xFFFFFFFF
    return 1 if code != 0 and m.stamps[code] != m.meta[STAMP] else 0


@compiled
def _put_number(out: Words, floats: Floats, f: Words, i: Word, value: Word) -> None:
    """A value of a 64-bit lane; float columns lie there as integers of the same order."""
    if f[IS_FLOAT] == 0:
        out[f[OUT], i] = value
    elif value == NULL:
        floats[f[OUT], i] = np.nan
    else:
        out[f[OUT], i] = value if value >= 0 else value ^ np.int64(0x7FFFFFFFFFFFFFFF)


@compiled
def _put_previous(
    m: Memory, plan: Plan, out: Words, floats: Floats, f: Words, i: Word, time: Word, newest: Word
) -> None:
    """Previous and Elapsed from the newest event, whose address is 0 if there is none."""
    if newest == 0 or m.words[newest] <= time - f[REACH]:
        if f[KIND] == F_PREVIOUS_CODE:
            out[f[OUT], i] = 0
        else:
            _put_number(out, floats, f, i, NULL)
    elif f[KIND] == F_ELAPSED:
        out[f[OUT], i] = time - m.words[newest]
    elif f[KIND] == F_PREVIOUS_CODE:
        out[f[OUT], i] = measures.lane_code(m.words, newest, plan.shape.wides, f[LANE])
    else:
        _put_number(out, floats, f, i, m.words[newest + 2 + f[LANE]])


@compiled
def _put_mean_or_std(
    scratch: Scratch, out: Words, floats: Floats, f: Words, i: Word, found: bool
) -> None:
    n, _ = _window_sum(scratch, f, f[B], found)
    low, high = _window_sum(scratch, f, f[A], found)
    if f[KIND] == F_MEAN:
        value = wide.to_float(low, high) / np.float64(n) if n > 0 else np.nan
    elif n < 2:
        value = np.nan
    else:
        s_low, s_high = _window_sum(scratch, f, f[C], found)
        value = math.sqrt(
            wide.variance_numerator(n, low, high, s_low, s_high)
            / (np.float64(n) * np.float64(n - 1))
        )
    floats[f[OUT], i] = value


@inlined
def compute(
    m: Memory, plan: Plan, scratch: Scratch, header: Word, out: Words, floats: Floats, i: Word
) -> None:
    """The features of the transaction in scratch.event, whose event is not in the tree yet."""
    root, depth, time = np.int64(0), np.int64(0), scratch.event[0]
    if header != 0:
        root, depth = m.words[header + ROOT], m.words[header + DEPTH]
    found = root != 0
    if found and len(plan.bounds) > 0 and len(plan.shape.measures) > 0:
        timeline.newer_than_each(m.words, root, depth, time, plan.bounds, plan.shape, scratch)
    newest = np.int64(0)
    if found:
        newest = timeline.newest_until(m.words, root, depth, time, plan.shape)
    different, until = np.int64(0), time
    for j in range(len(plan.features)):
        f = plan.features[j]
        kind = f[KIND]
        if kind in (F_COUNT, F_SUM):
            low, high = _window_sum(scratch, f, f[A], found)
            out[f[OUT], i] = low if wide.fits_int64(low, high) else NULL
        elif kind in (F_MEAN, F_STD):
            _put_mean_or_std(scratch, out, floats, f, i, found)
        elif kind in (F_MIN, F_MAX):
            _put_number(out, floats, f, i, _extreme(m, plan, scratch, f, root, depth))
        elif kind == F_DISTINCT:
            if f[A] == 1:  # a window of its own; the next ones go on where it ended
                m.meta[STAMP] += 1
                different, until = np.int64(0), time - f[DELAY]
            since = time - f[REACH]
            if found:
                different += timeline.distinct(
                    m, root, depth, since, until, plan.shape, f[CONDITION], f[LANE]
                )
            until = since
            out[f[OUT], i] = different + _is_new_code(m, plan, scratch, f)
        else:
            _put_previous(m, plan, out, floats, f, i, time, newest)


@inlined
def forget_old(m: Memory, plan: Plan, scratch: Scratch, header: Word, horizon: Word) -> None:
    """Drop events with time ≤ horizon, which no window can reach: whole leaves at a time."""
    while True:
        leaf = drop_oldest(m, header, horizon, plan.shape, scratch)
        if leaf == 0:
            break
        release(m, leaf, timeline.node_words(m.words[leaf + 1], plan.shape.stride))
    root = m.words[header + ROOT]
    if root != 0 and m.words[header + DEPTH] == 0 and m.words[root] == m.words[root + 1]:
        old = timeline.count_until(m.words, root, plan.shape.stride, horizon, m.words[root])
        if old > 0:
            drop_first(m, header, old, plan.shape.stride)


@compiled
def remove_entity(m: Memory, plan: Plan, header: Word) -> None:
    """Forget an entity altogether."""
    root, depth = m.words[header + ROOT], m.words[header + DEPTH]
    if root != 0:
        release_tree(m, root, depth, plan.shape)
    m.meta[EVENTS] -= m.words[header + 4]
    table.remove(m, plan.base, header)
    release(m, header, HEADER_WORDS)


@inlined
def sweep(m: Memory, plan: Plan, slots: Word, horizon: Word) -> None:
    """Look at some slots of the table and let idle entities leave."""
    words, mask = m.words, m.meta[plan.base + table.MASK]
    start, hand = m.meta[plan.base + table.SLOTS], m.meta[plan.base + table.HAND]
    for _ in range(slots):
        hand = (hand + 1) & mask
        fetch(words, words[start + ((hand + AHEAD) & mask)] & table.ADDRESS)
        slot = words[start + hand]
        if slot != 0 and words[(slot & table.ADDRESS) + NEWEST] <= horizon:
            remove_entity(m, plan, slot & table.ADDRESS)
    m.meta[plan.base + table.HAND] = hand


@inlined
def add_event(
    m: Memory, plan: Plan, scratch: Scratch, header: Word, low: Word, high: Word, horizon: Word
) -> Word:
    """File scratch.event under the entity, which is made if it is new; returns its header."""
    if header == 0:
        header = new_entity(m, low, high)
        table.insert(m, plan.base, header)
    else:
        forget_old(m, plan, scratch, header, horizon)
    insert(m, header, plan.shape, scratch)
    return header


@inlined
def measure_event(plan: Plan, scratch: Scratch) -> None:
    """The event's own contribution to every measure, into scratch.own."""
    for k in range(len(plan.shape.measures)):
        low, high = measures.measure(scratch.event, 0, 1, plan.shape, k)
        scratch.own[0, k] = low
        scratch.own[1, k] = high


__all__ = ["Columns", "Plan", "Scratch", "Shape"]
