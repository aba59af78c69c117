"""Committing: a commit is on its way while the next batch is decided."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait

from alcyon.domain.commit import Commit
from alcyon.domain.ports import DecisionsLog


class Committing:
    """Appends to the decisions log in a thread of its own, one commit at a time.

    Order: `start`, then `ended`, and again; between the two nobody else may use the log. `close`
    last, which waits for what is on its way.
    """

    def __init__(self, log: DecisionsLog) -> None:
        self._log = log
        self._thread = ThreadPoolExecutor(1, "commit")
        self._going: Future[tuple[int, float]] | None = None

    @property
    def is_going(self) -> bool:
        """Whether a commit is on its way."""
        return self._going is not None and not self._going.done()

    def start(self, commit: Commit) -> None:
        """Begin to append; nothing may be on its way."""
        assert self._going is None
        self._going = self._thread.submit(self._append, commit)

    def join(self) -> None:
        """Wait until nothing is on its way; how it ended, `ended` says."""
        if self._going is not None:
            wait([self._going])

    def ended(self) -> tuple[int, float]:
        """Wait; (the commit's index, when it was in: `time.perf_counter`). Raises as `append`."""
        assert self._going is not None
        going, self._going = self._going, None
        try:
            return going.result()
        finally:
            del going  # its error holds this frame: the two would keep all that the worker has

    def close(self) -> None:
        """Called once, last."""
        self._thread.shutdown()

    def _append(self, commit: Commit) -> tuple[int, float]:
        return self._log.append(commit), time.perf_counter()
