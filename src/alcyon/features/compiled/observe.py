"""A batch against the state, in two passes.

`arrive` settles each transaction's place: duplicate, future, late or accepted, the front, its
sequence, and which labels came before it. `observe` then takes one entity at a time through the
batch, turning labels and computing windows in that order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alcyon.features.compiled import ledger, table
from alcyon.features.compiled.ahead import fetch_ahead, fetch_seen_ahead
from alcyon.features.compiled.entity import (
    Columns,
    Plan,
    add_event,
    compute,
    measure_event,
    read_event,
    sweep,
)
from alcyon.features.compiled.growth import DEPTH, ROOT, turn_label
from alcyon.features.compiled.machine import Floats, Word, Words, compiled
from alcyon.features.compiled.memory import (
    FRONT,
    NEXT_SEQUENCE,
    NO_FRONT,
    PENDING_DROPPED,
    Memory,
    own,
)
from alcyon.features.compiled.timeline import Scratch

ACCEPTED, LATE, FUTURE, DUPLICATE, CONFLICTING = range(5)
"""What became of a transaction."""
APPLIED, UNCHANGED, WAITING, NO_WINDOW = range(4)
"""What became of a label; NO_WINDOW: its transaction was late."""

FLIP_ROW, FLIP_TIME, FLIP_SEQUENCE, FLIP_IS_FRAUD, FLIP_KEYS = range(5)


LOOK_EVERY, LOOKS_PER_NEW = 4, 4
"""Transactions to one look for an idle entity, which is a cache miss; and looks for each new one:
with more than 1.6 the idle ones leave before the table has to grow for ever."""


class Arrivals(NamedTuple):
    """A batch's transactions and labels as they arrive, and where the answers go."""

    ids: NDArray[np.int64]  # [2, n]
    payload: NDArray[np.int64]  # [n]
    times: NDArray[np.int64]  # [n]
    latest: NDArray[np.int64]  # [n]: event time above this is in the future
    keys: NDArray[np.int64]  # [s, 2, n]: entities whose windows look at labels
    sequences: NDArray[np.int64]  # [n]: given, or filled in if labels are placed by time
    status: NDArray[np.int64]  # [n] out
    first: NDArray[np.int64]  # [n] out: sequence of the one it repeats, or -1
    is_fraud: NDArray[np.int64]  # [n] out: a label was waiting and says so
    fronts: NDArray[np.int64]  # [n] out: the front, this transaction included


class Labels(NamedTuple):
    """Labels in order, and where the answers go."""

    ids: NDArray[np.int64]  # [2, k]
    is_fraud: NDArray[np.int64]  # [k]
    due: NDArray[np.int64]  # [k]: sequence, or labelled_at where labels are placed by time
    sequences: NDArray[np.int64]  # [k] out where placed by time
    status: NDArray[np.int64]  # [k] out
    flips: NDArray[np.int64]  # [k, FLIP_KEYS + 2 s] out: label turns for `observe`


class Rules(NamedTuple):
    """The semantics' numbers, in ms."""

    lateness_max: int
    dedupe_horizon: int
    keep: int  # how long a transaction stays in the ledger
    pending_labels_max: int
    seen_base: int
    pending_base: int
    by_time: int  # 1: a label precedes transaction i iff labelled_at ≤ front(i)


@compiled
def _apply_label(
    m: Memory, rules: Rules, labels: Labels, k: Word, row: Word, width: Word, flips: Word
) -> Word:
    """Label k, before transaction `row` of the batch; returns the number of flips."""
    low, high = labels.ids[0, k], labels.ids[1, k]
    seen = ledger.find(m, rules.seen_base, low, high)
    if seen == 0:
        labels.status[k] = WAITING
        base = rules.pending_base
        if m.meta[base + ledger.ROWS] < rules.pending_labels_max:
            waiting = ledger.append(m, base, ledger.LABEL_WORDS, low, high, m.meta[FRONT])
        else:  # a label that waits already may change its mind, no other may join
            waiting = ledger.find(m, base, low, high)
            if waiting == 0:
                m.meta[PENDING_DROPPED] += 1
                return flips
            own(m, waiting, ledger.LABEL_WORDS)
        m.words[waiting + ledger.IS_FRAUD] = labels.is_fraud[k]
        return flips
    tag = m.words[seen + ledger.TAG]
    if tag & 2 == 2:
        labels.status[k] = NO_WINDOW
        return flips
    if tag & 1 == labels.is_fraud[k]:
        labels.status[k] = UNCHANGED
        return flips
    labels.status[k] = APPLIED
    own(m, seen + ledger.TAG, 1)
    m.words[seen + ledger.TAG] = tag ^ 1
    labels.flips[flips, FLIP_ROW] = row
    labels.flips[flips, FLIP_TIME] = m.words[seen + ledger.TIME]
    labels.flips[flips, FLIP_SEQUENCE] = tag >> 2
    labels.flips[flips, FLIP_IS_FRAUD] = labels.is_fraud[k]
    for w in range(ledger.KEYS, width):
        labels.flips[flips, FLIP_KEYS + w - ledger.KEYS] = m.words[seen + w]
    return flips + 1


@compiled
def _status(m: Memory, rules: Rules, arrivals: Arrivals, i: Word) -> tuple[Word, Word]:
    """Duplicate, future or late, in this order; the ledger row of what it repeats."""
    front, time = m.meta[FRONT], arrivals.times[i]
    seen = ledger.find(m, rules.seen_base, arrivals.ids[0, i], arrivals.ids[1, i])
    if seen != 0 and front - m.words[seen + ledger.FRONT_AT] <= rules.dedupe_horizon:
        same = m.words[seen + ledger.PAYLOAD] == arrivals.payload[i]
        return (DUPLICATE if same else CONFLICTING), seen
    if time > arrivals.latest[i]:
        return FUTURE, np.int64(0)
    if front != NO_FRONT and time < front - rules.lateness_max:
        return LATE, np.int64(0)
    return ACCEPTED, np.int64(0)


@compiled
def _waiting_label(m: Memory, rules: Rules, low: Word, high: Word) -> Word:
    """is_fraud of a label that waits for this id and has not waited too long."""
    if m.meta[rules.pending_base + table.COUNT] == 0:
        return np.int64(0)
    waiting = ledger.find(m, rules.pending_base, low, high)
    if waiting == 0:
        return np.int64(0)
    if m.meta[FRONT] > m.words[waiting + ledger.FRONT_AT] + rules.lateness_max:
        return np.int64(0)
    return m.words[waiting + ledger.IS_FRAUD]


@compiled
def _remember(m: Memory, rules: Rules, arrivals: Arrivals, i: Word, width: Word) -> None:
    """File transaction i, accepted or late, in the ledger of what was seen.

    A late repeat of an id that is still known stands for the earlier one: a label that names the
    id is about the event that windows hold.
    """
    low, high = arrivals.ids[0, i], arrivals.ids[1, i]
    earlier = np.int64(0)
    if arrivals.status[i] == LATE:
        earlier = ledger.find(m, rules.seen_base, low, high)
    row = ledger.append(m, rules.seen_base, width, low, high, m.meta[FRONT])
    m.words[row + ledger.PAYLOAD] = arrivals.payload[i]
    if earlier != 0:
        for w in range(ledger.TIME, width):
            m.words[row + w] = m.words[earlier + w]
        return
    is_late = np.int64(1) if arrivals.status[i] == LATE else np.int64(0)
    m.words[row + ledger.TIME] = arrivals.times[i]
    m.words[row + ledger.TAG] = arrivals.sequences[i] << 2 | is_late << 1 | arrivals.is_fraud[i]
    for s in range(len(arrivals.keys)):
        m.words[row + ledger.KEYS + 2 * s] = arrivals.keys[s, 0, i]
        m.words[row + ledger.KEYS + 2 * s + 1] = arrivals.keys[s, 1, i]


@compiled
def arrive(m: Memory, rules: Rules, arrivals: Arrivals, labels: Labels) -> tuple[Word, Word]:
    """Settle a batch's places. Returns (labels used, flips)."""
    n, total = len(arrivals.times), len(labels.due)
    width = ledger.KEYS + 2 * len(arrivals.keys)
    used, flips = 0, 0
    for i in range(n):
        fetch_seen_ahead(m, rules.seen_base, arrivals.ids, i)
        status, seen = _status(m, rules, arrivals, i)
        arrivals.status[i] = status
        arrivals.first[i] = m.words[seen + ledger.TAG] >> 2 if seen != 0 else -1
        arrivals.is_fraud[i] = 0
        front = m.meta[FRONT]
        front_then = max(front, arrivals.times[i]) if status == ACCEPTED else front
        arrivals.fronts[i] = front_then
        due = front_then if rules.by_time == 1 else arrivals.sequences[i]
        while used < total and labels.due[used] <= due:
            if rules.by_time == 1:
                labels.sequences[used] = m.meta[NEXT_SEQUENCE]
                m.meta[NEXT_SEQUENCE] += 1
            flips = _apply_label(m, rules, labels, used, i, width, flips)
            used += 1
        if rules.by_time == 1:
            arrivals.sequences[i] = m.meta[NEXT_SEQUENCE]
        m.meta[NEXT_SEQUENCE] = arrivals.sequences[i] + 1
        if status == ACCEPTED:
            if front == NO_FRONT:
                ledger.restamp(m, rules.pending_base, ledger.LABEL_WORDS, front_then)
            m.meta[FRONT] = front_then
            ledger.forget(m, rules.seen_base, width, front_then - rules.keep)
            ledger.forget(
                m, rules.pending_base, ledger.LABEL_WORDS, front_then - rules.lateness_max
            )
            arrivals.is_fraud[i] = _waiting_label(m, rules, arrivals.ids[0, i], arrivals.ids[1, i])
        if status in (ACCEPTED, LATE):
            _remember(m, rules, arrivals, i, width)
    while rules.by_time == 0 and used < total:
        flips = _apply_label(m, rules, labels, used, n, width, flips)
        m.meta[NEXT_SEQUENCE] = max(m.meta[NEXT_SEQUENCE], labels.due[used] + 1)
        used += 1
    return used, flips


@compiled
def _turn(m: Memory, plan: Plan, flip: Words) -> None:
    at = FLIP_KEYS + 2 * plan.label_slot
    if flip[at + 1] == 0:
        return
    header = table.find(m, plan.base, flip[at], flip[at + 1])
    if header != 0 and m.words[header + ROOT] != 0:
        turn_label(
            m,
            m.words[header + ROOT],
            m.words[header + DEPTH],
            flip[FLIP_TIME],
            flip[FLIP_SEQUENCE],
            flip[FLIP_IS_FRAUD],
            plan.shape,
        )


@compiled
def observe(
    m: Memory,
    plan: Plan,
    scratch: Scratch,
    columns: Columns,
    keys: Words,
    status: Words,
    fronts: Words,
    flips: Words,
    nulls: Words,
    out: Words,
    floats: Floats,
) -> None:
    """One entity through a batch: features into out[F, n] (`floats` is the same memory)."""
    turned, n = 0, len(status)
    for i in range(n):
        fetch_ahead(m, plan, keys, i)
        if plan.label_slot >= 0:
            while turned < len(flips) and flips[turned, FLIP_ROW] == i:
                _turn(m, plan, flips[turned])
                turned += 1
        if status[i] != ACCEPTED or keys[1, i] == 0:
            for j in range(len(plan.features)):
                out[plan.features[j, 1], i] = nulls[plan.features[j, 1]]
            continue
        header = table.find(m, plan.base, keys[0, i], keys[1, i])
        looks = LOOKS_PER_NEW if header == 0 else 0 if i % LOOK_EVERY else 1
        read_event(plan, columns, i, scratch.event)
        measure_event(plan, scratch)
        compute(m, plan, scratch, header, out, floats, i)
        horizon = fronts[i] - plan.reach
        add_event(m, plan, scratch, header, keys[0, i], keys[1, i], horizon)
        sweep(m, plan, looks, horizon)
    if plan.label_slot >= 0:
        while turned < len(flips):
            _turn(m, plan, flips[turned])
            turned += 1
