"""Grouping: a thread that takes whatever has arrived, and never waits for more."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

T = TypeVar("T")


class Grouping(Generic[T]):
    """Hands what was put to `work` in groups, in order, in a thread of its own.

    work: must not raise. Order: `put` from any thread, `close` last.
    """

    def __init__(self, name: str, work: Callable[[list[T]], None], at_once: int) -> None:
        self._work, self._at_once = work, at_once
        self._queue: SimpleQueue[T | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many were put and not taken, more or less."""
        return self._queue.qsize()

    def put(self, one: T) -> None:
        """Have it done soon."""
        self._queue.put(one)

    def close(self) -> None:
        """Called once, last: what was put is done first."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        is_over = False
        while not is_over:
            group, one = list[T](), self._queue.get()
            while one is not None:
                group.append(one)
                if len(group) == self._at_once or self._queue.empty():
                    break
                one = self._queue.get()
            is_over = one is None
            if group:
                self._work(group)
