"""Trial: transactions change a kernel's state for a while, and then it is as if they had not.

While it runs, the old contents of each block that is written to are kept, as for a snapshot; at its
end they are put back. It costs what the transactions touch, whatever the size of the state.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alcyon.features.compiled.memory import (
    BLOCK_SHIFT,
    BLOCK_WORDS,
    BUMP,
    COW_LIMIT,
    SIDE_COUNT,
    STAMP,
)
from alcyon.features.kernel import Kernel
from alcyon.features.state import ROW_WORDS


@contextmanager
def trial(kernel: Kernel) -> Iterator[None]:
    """Take back whatever is observed inside. Not while a snapshot of the state is being taken.

    Codes and registers of what was observed mean nothing after it.
    """
    memory = kernel.state.memory
    if memory.meta[COW_LIMIT] != 0:
        raise RuntimeError("a snapshot or another trial is running")
    meta, free = memory.meta.copy(), memory.free.copy()
    pinned, literals = dict(kernel._pinned), dict(kernel._literals)
    limit = (int(meta[BUMP]) + BLOCK_WORDS - 1) >> BLOCK_SHIFT
    memory.copied[:limit] = 0
    memory.meta[SIDE_COUNT] = 0
    memory.meta[COW_LIMIT] = limit
    try:
        yield
    finally:
        memory = kernel.state.memory
        kept = memory.side[: int(memory.meta[SIDE_COUNT]) * ROW_WORDS].reshape(-1, ROW_WORDS)
        blocks = memory.words[: limit << BLOCK_SHIFT].reshape(-1, BLOCK_WORDS)
        blocks[kept[:, 0]] = kept[:, 1:]
        # The scratch of distinct counts is not taken back: no number may come twice.
        meta[STAMP] = memory.meta[STAMP]
        memory.meta[:] = meta
        memory.free[:] = free
        kernel._pinned, kernel._literals = pinned, literals
