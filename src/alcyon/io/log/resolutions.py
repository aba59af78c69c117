"""The resolutions log: what became of reviews, one entry each, for who has no broker."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from alcyon.io.log.guard import SoleWriter
from alcyon.io.log.reader import LogReader
from alcyon.io.log.writer import Fsync, LogWriter

_AT_ONCE = 4096


class EmbeddedResolutions:
    """Appends resolutions, as JSON, to the log in `folder`; the only one to do so while it is
    open."""

    def __init__(self, folder: Path, fsync: Fsync = "always") -> None:
        with ExitStack() as undo:
            self._guard = undo.enter_context(closing(SoleWriter(folder)))
            self._log = LogWriter(folder, self._guard, fsync)
            undo.pop_all()

    def append(self, payloads: Sequence[bytes]) -> None:
        """Add them at the end, all or none. LogError: none is in, unless it is in doubt."""
        self._log.append(payloads)

    def close(self) -> None:
        """Called once, last; lets the next writer in."""
        with closing(self._guard):
            self._log.close()


def resolutions(folder: Path) -> list[bytes]:
    """All of them; a `resolution_id` may be there twice, and means the same both times."""
    found: list[bytes] = []
    with closing(LogReader(folder)) as log:
        while entries := log.read(_AT_ONCE):
            found += entries
    return found
