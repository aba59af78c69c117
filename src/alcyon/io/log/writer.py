"""LogWriter: appends frames to the newest segment of a log."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from alcyon.domain.errors import LogError
from alcyon.io.log.frames import Segment, encode, frames, is_torn, segment_at, segments
from alcyon.io.log.guard import Guard

Fsync = Literal["always", "batch", "never"]
"""When bytes are forced to the disk: with each append; when the owner calls `sync`, at a
segment's end and at close; or when the system likes. Against kill -9 all three are equal; the
loss of power may take what was not forced."""

SEGMENT_BYTES_MAX = 64 * 2**20


@dataclass(frozen=True)
class TornTail:
    """An append that was never finished, found and cut off when the log was opened."""

    path: Path
    offset: int
    dropped_bytes: int


class LogWriter:
    """The one writer of a log; `guard` sees to that.

    Opening reads the newest segment, cuts off a torn tail (told in `torn_tail`) and raises
    LogError for corruption before the end. Order of calls: append and sync in any order, drop
    between them, close last.
    """

    def __init__(
        self,
        folder: Path,
        guard: Guard,
        fsync: Fsync = "always",
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
    ) -> None:
        self._folder, self._guard, self._fsync = folder, guard, fsync
        self._segment_bytes_max = segment_bytes_max
        self._in_doubt = False
        self.torn_tail: TornTail | None = None
        with guard.held(), _translated(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._segment = max(segments(folder), default=segment_at(folder, 0))
            self.end, self._bytes = self._recover()
            self._descriptor = _create(self._segment)
            self._force(folder)

    def append(self, batch: Sequence[bytes]) -> int:
        """Add entries at the end as one frame with one write; return the last one's position.

        LogError: the guard refuses, or the disk is full, and nothing was added. If the message
        says "in doubt", the frame may be there or not, and every further append is refused.
        """
        if not batch:
            return self.end - 1
        frame = encode(self.end, batch)
        with self._guard.held(), _translated(self._segment.path):
            if self._in_doubt:
                raise LogError(f"{self._segment.path}: an append is in doubt; open the log anew")
            if self._bytes and self._bytes + len(frame) > self._segment_bytes_max:
                self._roll()
            # Set first: an interrupt anywhere below must not let a later append overwrite this
            # one, which a reader may have seen already.
            self._in_doubt = True
            self._write(frame)
            if self._fsync == "always":
                self._sync()
            self.end += len(batch)
            self._bytes += len(frame)
            self._in_doubt = False
        return self.end - 1

    def sync(self) -> None:
        """Force what was appended to the disk (fsync "batch"); LogError: it may be lost."""
        with _translated(self._segment.path):
            if self._fsync != "never":
                self._sync()

    def drop_before(self, position: int) -> int:
        """Remove the segments whose entries are all before `position`; return how many.

        The last entry stays. What a reader is reading stays readable to it.
        """
        first_kept = min(position, self.end - 1)
        old = [a for a, b in pairwise(segments(self._folder)) if b.first <= first_kept]
        with self._guard.held(), _translated(self._folder):
            for segment in old:
                segment.path.unlink()
            self._force(self._folder)
        return len(old)

    def close(self) -> None:
        """Called once, last."""
        try:
            self.sync()
        finally:
            os.close(self._descriptor)

    def _recover(self) -> tuple[int, int]:
        end, good = self._segment.first, 0
        if not self._segment.path.exists():
            return end, good
        buffer = self._segment.path.read_bytes()
        for frame in frames(buffer, end):
            end, good = frame.end, frame.stop
        if good < len(buffer):
            if not is_torn(buffer, good):
                raise corrupt(self._segment.path, good, end)
            os.truncate(self._segment.path, good)
            self.torn_tail = TornTail(self._segment.path, good, len(buffer) - good)
        return end, good

    def _roll(self) -> None:
        """Go on in a new segment; until that exists, this one stays as it is."""
        if self._fsync != "never":
            os.fsync(self._descriptor)
        segment = segment_at(self._folder, self.end)
        descriptor = _create(segment)
        os.close(self._descriptor)
        self._segment, self._descriptor, self._bytes = segment, descriptor, 0
        self._force(self._folder)

    def _write(self, frame: bytes) -> None:
        written = 0
        try:
            while written < len(frame):  # a second round only where the disk or a quota is full
                written += os.pwrite(self._descriptor, frame[written:], self._bytes + written)
        except OSError:
            # No reader takes a part of a frame, so what was written can go.
            os.ftruncate(self._descriptor, self._bytes)
            self._in_doubt = False
            raise

    def _sync(self) -> None:
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            # The system may have dropped the pages: what is on the disk is not known any more.
            self._in_doubt = True
            raise LogError(
                f"{self._segment.path}: {error.strerror}; the last appends are in doubt; "
                "see to the disk, then open the log anew"
            ) from error

    def _force(self, folder: Path) -> None:
        """Make the folder's own entries durable: a new segment's name is data too."""
        if self._fsync == "never":
            return
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def corrupt(path: Path, offset: int, position: int) -> LogError:
    """The error for a frame that was whole once."""
    return LogError(
        f"{path}: corrupt at byte {offset}, entry {position}, with entries behind it; "
        "restore this file from a backup"
    )


def _create(segment: Segment) -> int:
    return os.open(segment.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LogError(
            f"{path} cannot be written: {error.strerror}; make room or see to the disk"
        ) from error
