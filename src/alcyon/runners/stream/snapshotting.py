"""Snapshotting: when a snapshot is due, and its writing beside the decisions."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

from alcyon.features.state import State
from alcyon.io.snapshot_writing import PAUSE_S, SnapshotWriting, Written
from alcyon.io.snapshots import SnapshotHeader

_PAUSE_S = 0.001
_PAUSED_SHARE = 0.1
"""Of the time between two copies, copying may take as much again: in a backlog, where batches take
long, a snapshot would otherwise hardly ever come to its end."""


@dataclass
class Snapshotting:
    """Writes one snapshot at a time into `folder`, every `every` records, and keeps `kept`.

    due: the next sequence at which one is to be begun. refused: names of such as cannot be used.
    """

    folder: Path
    every: int
    kept: int
    due: int
    refused: tuple[str, ...] = ()
    _writing: SnapshotWriting | None = None
    _advanced_at: float = 0.0

    @property
    def is_writing(self) -> bool:
        """Whether one is half-way."""
        return self._writing is not None

    def is_due(self, next_sequence: int) -> bool:
        """Whether one is to be begun."""
        return self._writing is None and next_sequence >= self.due

    def begin(self, header: SnapshotHeader, state: State) -> None:
        """Begin one of this moment."""
        self.due = header.next_sequence + self.every
        self._advanced_at = time.perf_counter()
        self._writing = SnapshotWriting(self.folder, header, state, self.kept, self.refused)

    def advance(self, next_sequence: int) -> Written | None:
        """Copy some of it, between two batches; how it ended, None while it has not."""
        if self._writing is None:
            return None
        now = time.perf_counter()
        pause_s = max(PAUSE_S, (now - self._advanced_at) * _PAUSED_SHARE)
        written = self._writing.advance(pause_s)
        self._advanced_at = time.perf_counter()
        if written is not None:
            self._writing = None
            # Rest as long as it took, in records: where they come so fast that the next is due
            # already, writing would otherwise never end, and decisions would wait behind it.
            self.due = max(self.due, 2 * next_sequence - written.next_sequence)
        return written

    def finish(self, timeout_s: float = math.inf) -> Written | None:
        """Wait for it; None where that took longer, and it was abandoned."""
        assert self._writing is not None
        deadline = time.monotonic() + timeout_s
        while (written := self._writing.advance()) is None:
            if time.monotonic() > deadline:
                self.abandon()
                return None
            time.sleep(_PAUSE_S)
        self._writing = None
        return written

    def abandon(self) -> None:
        """Give up one that is half-way, if there is one."""
        if self._writing is not None:
            self._writing.abandon()
            self._writing = None
