"""The kernel's state: one reserved memory, and the snapshot that leaves it block by block."""

from __future__ import annotations

import mmap
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.errors import SettingsError
from alcyon.features.compiled import interner, ledger, table
from alcyon.features.compiled.memory import (
    BLOCK_SHIFT,
    BLOCK_WORDS,
    BUMP,
    CODE_COUNT,
    COW_LIMIT,
    EVENTS,
    FRONT,
    META_WORDS,
    NO_FRONT,
    SIDE_COUNT,
    SMALL_MAX,
    Memory,
    drain,
)
from alcyon.features.layout import CODES_BASE, PENDING_BASE, SEEN_BASE, Layout

_NO_RESERVE = 0x4000  # Linux MAP_NORESERVE, which the mmap module does not name before 3.13
_ROW_BYTES = (BLOCK_WORDS + 1) * 8


def reserve(words: int) -> NDArray[np.int64]:
    """Zeroed int64[words] of address space; a page takes memory when it is first written."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
    try:
        area = mmap.mmap(-1, words * 8, flags=flags)
        if hasattr(mmap, "MADV_HUGEPAGE"):  # state is read at random: fewer, larger pages
            area.madvise(mmap.MADV_HUGEPAGE)
    except OSError as error:
        raise SettingsError(
            f"cannot reserve {words * 8 / 2**30:.0f} GiB for state ({error.strerror}): "
            "lower ALCYON_KERNEL__STATE_BYTES_MAX"
        ) from None
    return np.frombuffer(area, np.int64)


@dataclass
class State:
    """Everything that outlives a batch. Not shared between threads."""

    memory: Memory
    ledger_words: int

    @classmethod
    def empty(cls, layout: Layout, bytes_max: int) -> State:
        """No history. Raises SettingsError if the address space cannot be had."""
        words = bytes_max // 8
        blocks = (words >> BLOCK_SHIFT) + 1
        memory = Memory(
            words=reserve(words),
            meta=np.zeros(META_WORDS, np.int64),
            free=np.zeros(SMALL_MAX + 64, np.int64),
            copied=reserve(blocks // 8 + 1).view(np.uint8),
            side=reserve(blocks * (BLOCK_WORDS + 1)),
            stamps=np.zeros(1024, np.int64),
        )
        memory.meta[BUMP] = 8  # address 0 means none
        memory.meta[FRONT] = NO_FRONT
        width = ledger.KEYS + 2 * len(layout.label_entities)
        ledger.create(memory, SEEN_BASE, width)
        ledger.create(memory, PENDING_BASE, ledger.LABEL_WORDS)
        interner.create(memory, CODES_BASE)
        for plan in layout.plans:
            table.create(memory, plan.base)
        return cls(memory, width)

    def fit_stamps(self) -> None:
        """Make the scratch of distinct counts as long as there are codes."""
        codes = int(self.memory.meta[CODE_COUNT])
        if codes > len(self.memory.stamps):
            self.memory = self.memory._replace(stamps=np.zeros(codes * 2, np.int64))

    @property
    def front(self) -> int | None:
        """The largest accepted event time, UTC ms; None before the first transaction."""
        front = int(self.memory.meta[FRONT])
        return None if front == NO_FRONT else front

    @property
    def kept_events(self) -> int:
        """Events kept for windows, over all entities."""
        return int(self.memory.meta[EVENTS])

    @property
    def used_bytes(self) -> int:
        """Bytes handed out so far, given back ones included: what a snapshot holds."""
        return int(self.memory.meta[BUMP]) * 8


class SnapshotReader:
    """Takes a consistent copy while the kernel works on; drive it between two batches.

    From construction on, the kernel keeps the old contents of each block it first writes to.
    Call `blocks()` between batches until it returns None: each call copies at most `blocks_max`
    blocks, so the pause is bounded. Only one may run at a time.
    """

    def __init__(self, state: State) -> None:
        memory = state.memory
        if memory.meta[COW_LIMIT] != 0:
            raise RuntimeError("a snapshot is running already")
        self.meta = memory.meta.copy()
        self.free = memory.free.copy()
        self._limit = (int(memory.meta[BUMP]) + BLOCK_WORDS - 1) >> BLOCK_SHIFT
        memory.copied[: self._limit] = 0
        memory.meta[SIDE_COUNT] = 0
        memory.meta[COW_LIMIT] = self._limit
        self._memory = memory
        self._cursor = 0
        self._sent = 0

    def blocks(self, blocks_max: int = 1024) -> NDArray[np.int64] | None:
        """int64[rows, 513] of block number and words; every block once; None when done."""
        memory = self._memory
        waiting = int(memory.meta[SIDE_COUNT])
        if waiting > 0:
            rows = memory.side[: waiting * (BLOCK_WORDS + 1)].reshape(waiting, -1)
            taken = rows[max(0, waiting - blocks_max) :].copy()
            memory.meta[SIDE_COUNT] = waiting - len(taken)
            self._sent += len(taken)
            return taken
        if self._cursor >= self._limit:
            memory.meta[COW_LIMIT] = 0
            return None
        out = np.empty((blocks_max, BLOCK_WORDS + 1), np.int64)
        count, self._cursor = drain(memory, self._cursor, blocks_max, out)
        self._sent += count
        return out[:count]

    @property
    def total_blocks(self) -> int:
        """How many blocks the whole snapshot has."""
        return self._limit

    def abandon(self) -> None:
        """Stop half-way: nothing more is kept for this snapshot."""
        self._memory.meta[COW_LIMIT] = 0
        self._memory.meta[SIDE_COUNT] = 0


def load_blocks(state: State, rows: NDArray[np.int64]) -> None:
    """Put blocks that a `SnapshotReader` gave into an otherwise empty state."""
    words = state.memory.words
    blocks = words[: len(words) >> BLOCK_SHIFT << BLOCK_SHIFT].reshape(-1, BLOCK_WORDS)
    blocks[rows[:, 0]] = rows[:, 1:]


def load_scalars(state: State, meta: NDArray[np.int64], free: NDArray[np.int64]) -> None:
    """Put the snapshot's scalars and free lists in place, after all its blocks."""
    state.memory.meta[:] = meta
    state.memory.meta[COW_LIMIT] = 0
    state.memory.meta[SIDE_COUNT] = 0
    state.memory.free[:] = free
    state.fit_stamps()
