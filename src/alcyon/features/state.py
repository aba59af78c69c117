"""The kernel's state: one reserved memory, and the snapshot that leaves it block by block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.reserve import reserve
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

ROW_WORDS = BLOCK_WORDS + 1
"""A row of a snapshot: a block's number, then its words."""


@dataclass
class State:
    """Everything that outlives a batch. Not shared between threads."""

    memory: Memory
    ledger_words: int

    @classmethod
    def empty(cls, layout: Layout, bytes_max: int) -> State:
        """No history. Raises SettingsError if the address space cannot be had."""
        meta = np.zeros(META_WORDS, np.int64)
        meta[BUMP] = 8  # address 0 means none
        meta[FRONT] = NO_FRONT
        state = cls(_memory(reserve(bytes_max // 8), meta, _no_free()), _ledger_words(layout))
        ledger.create(state.memory, SEEN_BASE, state.ledger_words)
        ledger.create(state.memory, PENDING_BASE, ledger.LABEL_WORDS)
        interner.create(state.memory, CODES_BASE)
        for plan in layout.plans:
            table.create(state.memory, plan.base)
        return state

    @classmethod
    def restored(
        cls,
        layout: Layout,
        words: NDArray[np.int64],
        meta: NDArray[np.int64],
        free: NDArray[np.int64],
    ) -> State:
        """What a `SnapshotReader` gave: words with each block in its place, and its scalars."""
        state = cls(_memory(words, meta, free), _ledger_words(layout))
        meta[[COW_LIMIT, SIDE_COUNT]] = 0  # they are of the snapshot that ran
        state.fit_stamps()
        return state

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

    def blocks(self, blocks_max: int = 1024) -> NDArray[np.int64] | None:
        """int64[rows, ROW_WORDS] of block number and words; every block once; None when done."""
        out = np.empty((blocks_max, ROW_WORDS), np.int64)
        count = self.copy(out)
        return None if count is None else out[:count]

    def copy(self, out: NDArray[np.int64]) -> int | None:
        """As `blocks`, into the first rows of `out`; how many, None when done."""
        memory = self._memory
        waiting = int(memory.meta[SIDE_COUNT])
        if waiting > 0:
            count = min(waiting, len(out))
            left = waiting - count
            rows = memory.side[left * ROW_WORDS : waiting * ROW_WORDS]
            out[:count] = rows.reshape(count, ROW_WORDS)
            memory.meta[SIDE_COUNT] = left
            return count
        if self._cursor >= self._limit:
            memory.meta[COW_LIMIT] = 0
            return None
        count, self._cursor = drain(memory, self._cursor, len(out), out)
        return int(count)

    @property
    def total_blocks(self) -> int:
        """How many blocks the whole snapshot has."""
        return self._limit

    def abandon(self) -> None:
        """Stop half-way: nothing more is kept for this snapshot."""
        self._memory.meta[COW_LIMIT] = 0
        self._memory.meta[SIDE_COUNT] = 0


def _memory(words: NDArray[np.int64], meta: NDArray[np.int64], free: NDArray[np.int64]) -> Memory:
    blocks = (len(words) >> BLOCK_SHIFT) + 1
    return Memory(
        words=words,
        meta=meta,
        free=free,
        copied=reserve(blocks // 8 + 1).view(np.uint8),
        side=reserve(blocks * ROW_WORDS),
        stamps=np.zeros(1024, np.int64),
    )


def _no_free() -> NDArray[np.int64]:
    return np.zeros(SMALL_MAX + 64, np.int64)


def _ledger_words(layout: Layout) -> int:
    return ledger.KEYS + 2 * len(layout.label_entities)
