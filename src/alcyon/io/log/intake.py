"""The intake log: all topics in one log, so that the log is the order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Lock

from alcyon.domain.ports import Intake, Source
from alcyon.domain.record import Record, Topic
from alcyon.io.log.guard import SoleWriter
from alcyon.io.log.reader import LogReader
from alcyon.io.log.writer import SEGMENT_BYTES_MAX, Fsync, LogWriter, TornTail

_PAUSE_S = 0.001
_TOPICS = {topic.value: topic for topic in Topic}


class EmbeddedIntake(Intake):
    """Appends records to the intake log in `folder`; the only one to do so while it is open.

    For several threads.
    """

    def __init__(
        self, folder: Path, fsync: Fsync = "always", segment_bytes_max: int = SEGMENT_BYTES_MAX
    ) -> None:
        self._lock = Lock()
        with ExitStack() as undo:
            self._guard = undo.enter_context(closing(SoleWriter(folder)))
            self._log = LogWriter(folder, self._guard, fsync, segment_bytes_max)
            undo.pop_all()

    @property
    def torn_tail(self) -> TornTail | None:
        """What opening had to cut off: an append that was never acknowledged, or lost power."""
        return self._log.torn_tail

    @property
    def end(self) -> int:
        """The position the next record will have."""
        return self._log.end

    def append(self, topic: Topic, payloads: Sequence[bytes]) -> None:
        """Add records at the end, all or none."""
        mark = topic.to_bytes(1, "little")
        entries = [mark + payload for payload in payloads]
        with self._lock:
            self._log.append(entries)

    def sync(self) -> None:
        """Force appended records to the disk, under fsync "batch"."""
        with self._lock:
            self._log.sync()

    def drop_before(self, position: int) -> int:
        """Remove whole segments before `position`; return how many. What is dropped cannot be
        replayed: keep what the oldest snapshot and the slowest projection still need."""
        with self._lock:
            return self._log.drop_before(position)

    def close(self) -> None:
        """Called once, last; lets the next writer in."""
        with closing(self._guard):
            self._log.close()


class EmbeddedSource(Source):
    """Reads the intake log in `folder`; any number of them, while it grows."""

    def __init__(self, folder: Path) -> None:
        self._log = LogReader(folder)

    @property
    def first(self) -> int:
        """The position of the first record kept; 0 for an empty log."""
        return self._log.first

    def seek(self, position: int) -> None:
        """Make `position` the next one read."""
        self._log.seek(position)

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """The next records; waits up to `timeout_s` while none is there."""
        first = self._log.position
        found = self._log.read(max_records)
        deadline = time.monotonic() + timeout_s
        while not found and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)
            found = self._log.read(max_records)
        return [Record(_TOPICS[e[0]], p, e[1:]) for p, e in enumerate(found, first)]

    def close(self) -> None:
        """Called once, last."""
        self._log.close()
