"""Grouping: a thread that takes whatever has arrived, and waits for more only where groups follow
one another closely."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

T = TypeVar("T")


class Grouping(Generic[T]):
    """Hands what was put to `work` in groups, in order, in a thread of its own.

    work: must not raise. weigh: what one counts for. at_once: a group that weighs so much takes no
    more. every_s: so long after a group was begun the next one is, at the earliest; whoever comes
    after a pause is not kept waiting. Order: `put` from one thread, `close` last.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[list[T]], None],
        weigh: Callable[[T], int],
        at_once: int,
        every_s: float = 0.0,
    ) -> None:
        self._work, self._weigh = work, weigh
        self._at_once, self._every_s = at_once, every_s
        self._queue: SimpleQueue[tuple[T, int] | None] = SimpleQueue()
        self._put = self._taken = 0
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """What weighs that was put and not taken."""
        return self._put - self._taken

    def put(self, one: T) -> None:
        """Have it done soon."""
        weight = self._weigh(one)
        self._put += weight
        self._queue.put((one, weight))

    def close(self) -> None:
        """Called once, last: what was put is done first."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        is_over, due_at = False, 0.0
        while not is_over:
            taken = self._queue.get()
            if taken is not None and (early_s := due_at - time.monotonic()) > 0:
                time.sleep(early_s)
            due_at = time.monotonic() + self._every_s
            group, weight = list[T](), 0
            while taken is not None:
                group.append(taken[0])
                weight += taken[1]
                if weight >= self._at_once or self._queue.empty():
                    break
                taken = self._queue.get()
            is_over = taken is None
            self._taken += weight
            if group:
                self._work(group)
