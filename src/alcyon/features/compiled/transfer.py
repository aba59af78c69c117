"""An entity's events out of the state and into it, as rows."""

from __future__ import annotations

import numpy as np

from alcyon.features.compiled import table
from alcyon.features.compiled.entity import Plan, Scratch, measure_event, remove_entity
from alcyon.features.compiled.growth import DEPTH, KEPT, ROOT, collect, insert, new_entity
from alcyon.features.compiled.machine import Word, Words, compiled
from alcyon.features.compiled.memory import Memory


@compiled
def kept(m: Memory, plan: Plan, low: Word, high: Word) -> Word:
    """Events kept for the entity; -1 if there is no such entity."""
    header = table.find(m, plan.base, low, high)
    return m.words[header + KEPT] if header != 0 else np.int64(-1)


@compiled
def events_of(m: Memory, plan: Plan, low: Word, high: Word, out: Words) -> None:
    """All events of an entity that exists, in order, into out[kept, stride]."""
    header = table.find(m, plan.base, low, high)
    if m.words[header + ROOT] != 0:
        root, depth, zero = m.words[header + ROOT], m.words[header + DEPTH], np.int64(0)
        # A literal here would crash code from the cache: numba, in recursive functions.
        collect(m.words, root, depth, plan.shape, out, zero)


@compiled
def replace(m: Memory, plan: Plan, scratch: Scratch, low: Word, high: Word, events: Words) -> None:
    """Let the entity have these events[n, stride], which are in order, and no others."""
    header = table.find(m, plan.base, low, high)
    if header != 0:
        remove_entity(m, plan, header)
    if len(events) == 0:
        return
    header = new_entity(m, low, high)
    table.insert(m, plan.base, header)
    for i in range(len(events)):
        for w in range(events.shape[1]):
            scratch.event[w] = events[i, w]
        measure_event(plan, scratch)
        insert(m, header, plan.shape, scratch)
