"""Text to small codes: equal texts, and only those, have equal codes while anything can see them.

An *entry* is five words: key low, key high, when last used (event time), code, address of the text
or 0. Code 0 is null. A code is used by a batch and by the events that it leaves behind; once the
front is so far ahead of its last use that no window can reach those, it is given out again.
"""

from __future__ import annotations

import numpy as np

from alcyon.features.compiled import table
from alcyon.features.compiled.machine import Bytes, Word, Words, compiled
from alcyon.features.compiled.memory import (
    CODE_CAPACITY,
    CODE_COUNT,
    CODE_FREE,
    CODE_PLACES,
    NEW_CODES,
    Memory,
    allocate,
    own,
    release,
)

FOR_EVER = np.int64(2**62)
"""Last use of what is never given out again: literals of programs."""

LOOKS_PER_NEW = 4
_LAST_USED, _CODE, _TEXT = 2, 3, 4
_ENTRY_WORDS = 5
_ADDRESS = np.int64((1 << 48) - 1)
NEVER = np.int64(-(2**62))
_CODES_FIRST = 1024


@compiled
def create(m: Memory, base: Word) -> None:
    """An empty interner; its table is at meta[base]."""
    table.create(m, base)
    m.meta[CODE_PLACES] = allocate(m, _CODES_FIRST)
    own(m, m.meta[CODE_PLACES], _CODES_FIRST)
    m.meta[CODE_CAPACITY] = _CODES_FIRST
    m.meta[CODE_COUNT] = 1
    m.meta[CODE_FREE] = 0


@compiled
def _new_code(m: Memory) -> Word:
    code = m.meta[CODE_FREE]
    if code != 0:
        m.meta[CODE_FREE] = m.words[m.meta[CODE_PLACES] + code]
        return code
    code, capacity = m.meta[CODE_COUNT], m.meta[CODE_CAPACITY]
    if code == capacity:
        old, places = m.meta[CODE_PLACES], allocate(m, capacity * 2)
        own(m, places, capacity * 2)
        for i in range(capacity):
            m.words[places + i] = m.words[old + i]
        release(m, old, capacity)
        m.meta[CODE_PLACES] = places
        m.meta[CODE_CAPACITY] = capacity * 2
    m.meta[CODE_COUNT] = code + 1
    return code


@compiled
def _new_entry(m: Memory, base: Word, low: Word, high: Word) -> Word:
    entry = allocate(m, _ENTRY_WORDS)
    own(m, entry, _ENTRY_WORDS)
    code = _new_code(m)
    m.meta[NEW_CODES] += 1
    m.words[entry] = low
    m.words[entry + 1] = high
    m.words[entry + _LAST_USED] = NEVER
    m.words[entry + _CODE] = code
    m.words[entry + _TEXT] = 0
    table.insert(m, base, entry)
    own(m, m.meta[CODE_PLACES] + code, 1)
    m.words[m.meta[CODE_PLACES] + code] = entry
    return entry


@compiled
def _keep_text(m: Memory, entry: Word, data: Bytes, start: Word, stop: Word) -> None:
    size = stop - start
    text = allocate(m, 1 + (size + 7) // 8)
    own(m, text, 1 + (size + 7) // 8)
    m.words[text] = size
    for w in range((size + 7) // 8):
        word = np.int64(0)
        for i in range(min(8, size - 8 * w)):
            word |= np.int64(data[start + 8 * w + i]) << (8 * i)
        m.words[text + 1 + w] = word
    m.words[entry + _TEXT] = text


@compiled
def use(
    m: Memory,
    base: Word,
    keys: Words,
    offsets: Words,
    data: Bytes,
    with_text: bool,
    times: Words,
    codes: Words,
) -> None:
    """Codes of n keys[2, n], used at times[n], into codes[n]."""
    for i in range(keys.shape[1]):
        if keys[1, i] == 0:
            codes[i] = 0
            continue
        entry = table.find(m, base, keys[0, i], keys[1, i])
        if entry == 0:
            entry = _new_entry(m, base, keys[0, i], keys[1, i])
        if with_text and m.words[entry + _TEXT] == 0:
            own(m, entry, _ENTRY_WORDS)
            _keep_text(m, entry, data, offsets[i], offsets[i + 1])
        if times[i] > m.words[entry + _LAST_USED]:
            own(m, entry, _ENTRY_WORDS)
            m.words[entry + _LAST_USED] = times[i]
        codes[i] = m.words[entry + _CODE]


@compiled
def _remove(m: Memory, base: Word, entry: Word) -> None:
    table.remove(m, base, entry)
    text, code = m.words[entry + _TEXT], m.words[entry + _CODE]
    if text != 0:
        release(m, text, 1 + (m.words[text] + 7) // 8)
    release(m, entry, _ENTRY_WORDS)
    place = m.meta[CODE_PLACES] + code
    own(m, place, 1)
    m.words[place] = m.meta[CODE_FREE]
    m.meta[CODE_FREE] = code


@compiled
def sweep(m: Memory, base: Word, slots: Word, horizon: Word) -> None:
    """Look at some slots, more after new codes, and take back what was last used by the horizon."""
    looks = slots + LOOKS_PER_NEW * m.meta[NEW_CODES]
    m.meta[NEW_CODES] = 0
    for _ in range(looks):
        hand = (m.meta[base + table.HAND] + 1) & m.meta[base + table.MASK]
        m.meta[base + table.HAND] = hand
        slot = m.words[m.meta[base + table.SLOTS] + hand]
        if slot != 0 and m.words[(slot & _ADDRESS) + _LAST_USED] <= horizon:
            _remove(m, base, slot & _ADDRESS)


@compiled
def text_of(m: Memory, code: Word, out: Bytes) -> Word:
    """Bytes of a held code's text into out; returns how many, or -1 - needed if out is small."""
    text = m.words[m.words[m.meta[CODE_PLACES] + code] + _TEXT]
    size = m.words[text]
    if size > len(out):
        return -1 - size
    for i in range(size):
        out[i] = (m.words[text + 1 + i // 8] >> (8 * (i % 8))) & 0xFF
    return size


@compiled
def key_of(m: Memory, code: Word) -> tuple[Word, Word, bool]:
    """(low, high, has text) of a held code."""
    entry = m.words[m.meta[CODE_PLACES] + code]
    return m.words[entry], m.words[entry + 1], m.words[entry + _TEXT] != 0
