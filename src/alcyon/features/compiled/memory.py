"""One flat memory of 64-bit words: allocation by size, and copy on write while a snapshot runs.

Everything the kernel keeps between batches lives here, addressed by word number, so that a
snapshot is a copy of blocks and knows nothing of what they mean. Word 0 is never handed out:
address 0 means "none".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alcyon.features.compiled.machine import Word, Words, compiled

MEMORY_VERSION = 1
"""Raised when words that a snapshot holds come to mean something else."""
BLOCK_SHIFT = 7
BLOCK_WORDS = 1 << BLOCK_SHIFT
"""Copy on write works on blocks of 128 words, 1 KiB: what is written lies apart, and of blocks of
4 KiB two to three times as much would be copied while the first transactions wait."""
SMALL_MAX = 4096
"""Sizes up to this many words have a free list each; larger ones are powers of two."""

# Places in `Memory.meta`, all int64.
BUMP = 0  # first word never handed out
COW_LIMIT = 1  # blocks below belong to the running snapshot; 0: none runs
SIDE_COUNT = 2  # pre-images waiting in `side`
FRONT = 3  # largest accepted event time, NO_FRONT before the first
NEXT_SEQUENCE = 4
STAMP = 5  # query number of the last distinct count
CODE_COUNT = 6  # codes handed out so far, code 0 is null
CODE_FREE = 7  # head of the list of free codes
CODE_PLACES = 8  # address of the table from code to entry
CODE_CAPACITY = 9
PENDING_DROPPED = 10  # labels dropped because too many waited
EVENTS = 11  # events kept, over all entities
NEW_CODES = 12  # codes handed out since the last look for unused ones
TABLES = 16  # from here: tables and ledgers, META_STRIDE words each
META_STRIDE = 8
META_WORDS = 1024

NO_FRONT = -(2**62)


class Memory(NamedTuple):
    """The arrays of one state; a NamedTuple because Numba takes it apart for free."""

    words: NDArray[np.int64]  # the memory itself
    meta: NDArray[np.int64]  # META_WORDS scalars
    free: NDArray[np.int64]  # heads of free lists: by size, then by power of two
    copied: NDArray[np.uint8]  # per block: already in the running snapshot
    side: NDArray[np.int64]  # pre-images: block number, then its words
    stamps: NDArray[np.int64]  # scratch of distinct counts, by code; not state


@compiled
def _pre_image(m: Memory, block: Word) -> None:
    at = m.meta[SIDE_COUNT] * (BLOCK_WORDS + 1)
    m.meta[SIDE_COUNT] += 1
    m.side[at] = block
    start = block << BLOCK_SHIFT
    for i in range(BLOCK_WORDS):
        m.side[at + 1 + i] = m.words[start + i]
    m.copied[block] = 1


@compiled
def own(m: Memory, address: Word, size: Word) -> None:
    """Call before writing words [address, address + size): keeps what a snapshot still needs."""
    limit = m.meta[COW_LIMIT]
    if limit == 0:
        return
    for block in range(address >> BLOCK_SHIFT, ((address + size - 1) >> BLOCK_SHIFT) + 1):
        if block < limit and m.copied[block] == 0:
            _pre_image(m, block)


@compiled
def _size_class(size: Word) -> tuple[Word, Word]:
    """(place in `free`, words really taken) for a wanted size."""
    if size <= SMALL_MAX:
        return size, size
    power = 13
    while (1 << power) < size:
        power += 1
    return SMALL_MAX + power, 1 << power


@compiled
def allocate(m: Memory, size: Word) -> Word:
    """Address of `size` words with undefined contents; MemoryError where the reserve is used up."""
    place, taken = _size_class(size)
    address = m.free[place]
    if address != 0:
        m.free[place] = m.words[address]
        return address
    address = m.meta[BUMP]
    if address + taken + BLOCK_WORDS > len(m.words):
        raise MemoryError
    m.meta[BUMP] = address + taken
    return address


@compiled
def release(m: Memory, address: Word, size: Word) -> None:
    """Give back what `allocate(size)` returned."""
    place, _ = _size_class(size)
    own(m, address, 1)
    m.words[address] = m.free[place]
    m.free[place] = address


@compiled
def move(m: Memory, source: Word, target: Word, size: Word) -> None:
    """Copy `size` words; the areas may overlap. `target` must be owned."""
    words = m.words
    if target < source:
        for i in range(size):
            words[target + i] = words[source + i]
    else:
        for i in range(size - 1, -1, -1):
            words[target + i] = words[source + i]


@compiled
def drain(m: Memory, cursor: Word, blocks_max: Word, out: Words) -> tuple[Word, Word]:
    """Copy up to `blocks_max` blocks not yet in the snapshot into `out` (rows of number, words).

    Returns (rows filled, next cursor).
    """
    rows = 0
    limit = m.meta[COW_LIMIT]
    while cursor < limit and rows < blocks_max:
        if m.copied[cursor] == 0:
            m.copied[cursor] = 1
            start = cursor << BLOCK_SHIFT
            out[rows, 0] = cursor
            for i in range(BLOCK_WORDS):
                out[rows, 1 + i] = m.words[start + i]
            rows += 1
        cursor += 1
    return rows, cursor
