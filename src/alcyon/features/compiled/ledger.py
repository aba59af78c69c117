"""What was seen lately, by 128-bit id, in order of arrival: transactions, and labels that wait.

A ledger is META_STRIDE words of `meta` at `base`: a table (4 words), then the oldest chunk, the
place in it, the newest chunk, the place in it. A *row* begins with key low, key high and the
front at its arrival; since the front only rises, the oldest row always expires first.
"""

from __future__ import annotations

import numpy as np

from alcyon.features.compiled import table
from alcyon.features.compiled.machine import Word, compiled
from alcyon.features.compiled.memory import Memory, allocate, own, release

FRONT_AT = 2
PAYLOAD, TIME, TAG, KEYS = 3, 4, 5, 6
"""A transaction's row: payload hash, event time, sequence << 2 | is_late << 1 | is_fraud, then
two words per entity whose windows look at labels."""
IS_FRAUD, LABEL_WORDS = 3, 4
"""A waiting label's row."""

ROWS = table.HAND  # nothing sweeps a ledger's table: this place counts its rows
_OLDEST, _OLDEST_ROW, _NEWEST, _NEWEST_ROW = 4, 5, 6, 7
_CHUNK_ROWS = 256


@compiled
def _new_chunk(m: Memory, width: Word) -> Word:
    chunk = allocate(m, 1 + _CHUNK_ROWS * width)
    own(m, chunk, 1)
    m.words[chunk] = 0
    return chunk


@compiled
def create(m: Memory, base: Word, width: Word) -> None:
    """An empty ledger whose rows have `width` words."""
    table.create(m, base)
    chunk = _new_chunk(m, width)
    m.meta[base + _OLDEST] = chunk
    m.meta[base + _NEWEST] = chunk
    m.meta[base + _OLDEST_ROW] = 0
    m.meta[base + _NEWEST_ROW] = 0


@compiled
def append(m: Memory, base: Word, width: Word, low: Word, high: Word, front: Word) -> Word:
    """A new owned row under the key, which from now on leads to it."""
    if m.meta[base + _NEWEST_ROW] == _CHUNK_ROWS:
        chunk = _new_chunk(m, width)
        own(m, m.meta[base + _NEWEST], 1)
        m.words[m.meta[base + _NEWEST]] = chunk
        m.meta[base + _NEWEST] = chunk
        m.meta[base + _NEWEST_ROW] = 0
    row = m.meta[base + _NEWEST] + 1 + m.meta[base + _NEWEST_ROW] * width
    m.meta[base + _NEWEST_ROW] += 1
    m.meta[base + ROWS] += 1
    own(m, row, width)
    m.words[row] = low
    m.words[row + 1] = high
    m.words[row + FRONT_AT] = front
    earlier = table.find(m, base, low, high)
    if earlier != 0:
        table.repoint(m, base, earlier, row)
    else:
        table.insert(m, base, row)
    return row


@compiled
def forget(m: Memory, base: Word, width: Word, front_min: Word) -> None:
    """Drop rows that arrived when the front was below `front_min`."""
    while True:
        chunk, i = m.meta[base + _OLDEST], m.meta[base + _OLDEST_ROW]
        if chunk == m.meta[base + _NEWEST] and i == m.meta[base + _NEWEST_ROW]:
            return
        if i == _CHUNK_ROWS:
            m.meta[base + _OLDEST] = m.words[chunk]
            m.meta[base + _OLDEST_ROW] = 0
            release(m, chunk, 1 + _CHUNK_ROWS * width)
            continue
        row = chunk + 1 + i * width
        if m.words[row + FRONT_AT] >= front_min:
            return
        table.remove(m, base, row)
        m.meta[base + _OLDEST_ROW] = i + 1
        m.meta[base + ROWS] -= 1


@compiled
def restamp(m: Memory, base: Word, width: Word, front: Word) -> None:
    """Let all rows have arrived at this front: those that came before there was any."""
    chunk, i = m.meta[base + _OLDEST], m.meta[base + _OLDEST_ROW]
    while chunk != m.meta[base + _NEWEST] or i != m.meta[base + _NEWEST_ROW]:
        if i == _CHUNK_ROWS:
            chunk, i = m.words[chunk], np.int64(0)
            continue
        row = chunk + 1 + i * width
        own(m, row, width)
        m.words[row + FRONT_AT] = front
        i += 1


@compiled
def find(m: Memory, base: Word, low: Word, high: Word) -> Word:
    """The newest row under the key, 0 if none."""
    return table.find(m, base, low, high) if high != 0 else np.int64(0)
