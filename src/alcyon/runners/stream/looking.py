"""Looking: whether what the worker would go on from is still there, asked beside the decisions."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple


class Kept(NamedTuple):
    """What was found."""

    position: int
    """At which the older of the snapshots stands; 0 where there is only one."""
    is_kept: bool
    """Whether all records behind it are still there."""


class Looking:
    """Asks in a thread of its own, for no decision is to wait for the answer: it takes the broker
    tens of milliseconds, and for ever where it is silent.

    ask: errors as it raises them come out of `look`. Order: `look` between two batches, `close`
    last, which waits for a question that is on its way.
    """

    def __init__(self, ask: Callable[[], Kept]) -> None:
        self._ask = ask
        self._thread = ThreadPoolExecutor(1, "looking")
        self._going: Future[Kept] | None = None
        self._asked_ms, self._is_wanted = 0, False

    def look(self, now_ms: int, every_ms: int, is_wanted: bool) -> Kept | None:
        """The answer, if one has come; asks anew where it is so long ago, or wanted."""
        self._is_wanted |= is_wanted
        if self._going is not None:
            return self._answer() if self._going.done() else None
        # A clock that was set back must not silence it.
        if self._is_wanted or not 0 <= now_ms - self._asked_ms < every_ms:
            self._asked_ms, self._is_wanted = now_ms, False
            self._going = self._thread.submit(self._ask)
        return None

    def close(self) -> None:
        """Called once, last."""
        self._thread.shutdown()

    def _answer(self) -> Kept:
        assert self._going is not None
        going, self._going = self._going, None
        try:
            return going.result()
        finally:
            del going  # its error holds this frame: the two would keep all that the worker has
