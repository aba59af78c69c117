"""128-bit keys to addresses: open addressing, linear probing, backward-shift deletion.

What an address points at begins with its key (two words). A slot holds the address in its lower
48 bits and 16 bits of the key above, so that most foreign keys are passed without looking. A
table is four words of `meta` at `base`: slots' address, mask, count, hand of the sweep.
Source of the deletion: Knuth, TAOCP 3, 6.4, algorithm R.
"""

from __future__ import annotations

import numpy as np

from alcyon.features.compiled.machine import Word, compiled, fetch
from alcyon.features.compiled.memory import Memory, allocate, own, release

SLOTS, MASK, COUNT, HAND = 0, 1, 2, 3
_FIRST = 64
_AHEAD = 32
"""How many slots ahead a key is asked for while a table grows: each is a cache miss, and all
transactions wait meanwhile."""
ADDRESS = np.int64((1 << 48) - 1)


@compiled
def _tag(high: Word) -> Word:
    return (high >> 1) & ~ADDRESS


@compiled
def create(m: Memory, base: Word) -> None:
    """An empty table at meta[base]."""
    slots = allocate(m, _FIRST)
    own(m, slots, _FIRST)
    m.words[slots : slots + _FIRST] = 0
    m.meta[base + SLOTS] = slots
    m.meta[base + MASK] = _FIRST - 1
    m.meta[base + COUNT] = 0
    m.meta[base + HAND] = 0


@compiled
def find(m: Memory, base: Word, low: Word, high: Word) -> Word:
    """Address filed under the key, 0 if none."""
    words, slots, mask = m.words, m.meta[base + SLOTS], m.meta[base + MASK]
    tag = _tag(high)
    i = low & mask
    while True:
        slot = words[slots + i]
        if slot == 0:
            return np.int64(0)
        if (slot & ~ADDRESS) == tag:
            address = slot & ADDRESS
            if words[address] == low and words[address + 1] == high:
                return address
        i = (i + 1) & mask


@compiled
def home(m: Memory, base: Word, low: Word) -> Word:
    """Where the slot of a key with this low word would be, were there no collision."""
    return m.meta[base + SLOTS] + (low & m.meta[base + MASK])


@compiled
def first_address(m: Memory, base: Word, low: Word) -> Word:
    """What the home slot leads to, 0 if it is empty."""
    return m.words[home(m, base, low)] & ADDRESS


@compiled
def _place(m: Memory, slots: Word, mask: Word, address: Word) -> None:
    i = m.words[address] & mask
    while m.words[slots + i] != 0:
        i = (i + 1) & mask
    own(m, slots + i, 1)
    m.words[slots + i] = address | _tag(m.words[address + 1])


@compiled
def _double(m: Memory, base: Word) -> None:
    old, mask = m.meta[base + SLOTS], m.meta[base + MASK]
    size = (mask + 1) * 2
    slots = allocate(m, size)
    own(m, slots, size)
    m.words[slots : slots + size] = 0
    for i in range(mask + 1):
        fetch(m.words, m.words[old + ((i + _AHEAD) & mask)] & ADDRESS)
        if m.words[old + i] != 0:
            _place(m, slots, size - 1, m.words[old + i] & ADDRESS)
    release(m, old, mask + 1)
    m.meta[base + SLOTS] = slots
    m.meta[base + MASK] = size - 1


@compiled
def insert(m: Memory, base: Word, address: Word) -> None:
    """File what lies at `address` under its key, which must not be filed yet."""
    if (m.meta[base + COUNT] + 1) * 8 > (m.meta[base + MASK] + 1) * 5:
        _double(m, base)
    _place(m, m.meta[base + SLOTS], m.meta[base + MASK], address)
    m.meta[base + COUNT] += 1


@compiled
def repoint(m: Memory, base: Word, old: Word, new: Word) -> None:
    """Let the key filed for `old` lead to `new`, which has the same key."""
    slots, mask = m.meta[base + SLOTS], m.meta[base + MASK]
    i = m.words[old] & mask
    while (m.words[slots + i] & ADDRESS) != old:
        i = (i + 1) & mask
    own(m, slots + i, 1)
    m.words[slots + i] = new | _tag(m.words[new + 1])


@compiled
def remove(m: Memory, base: Word, address: Word) -> None:
    """Forget the key filed for `address`; nothing happens if it leads elsewhere."""
    words, slots, mask = m.words, m.meta[base + SLOTS], m.meta[base + MASK]
    i = words[address] & mask
    while (words[slots + i] & ADDRESS) != address:
        if words[slots + i] == 0:
            return
        i = (i + 1) & mask
    m.meta[base + COUNT] -= 1
    j = i
    while True:
        own(m, slots + i, 1)
        words[slots + i] = 0
        while True:
            j = (j + 1) & mask
            slot = words[slots + j]
            if slot == 0:
                return
            home = words[slot & ADDRESS] & mask
            # the entry at j may fill the hole at i unless its home lies in (i, j]
            if ((j - home) & mask) >= ((j - i) & mask):
                break
        words[slots + i] = slot
        i = j
