"""LogReader: reads a log from any position, while it may be growing."""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from pathlib import Path

from alcyon.domain.errors import LogError
from alcyon.io.log.frames import (
    FRAME_BYTES_MAX,
    Segment,
    entries,
    frame_bytes,
    frames,
    is_torn,
    segment_at,
    segments,
)
from alcyon.io.log.writer import corrupt

CHUNK_BYTES = 2**18
_REST_S = 0.05
"""How long it may go unnoticed that a segment is missing, where nothing else comes."""
_NOWHERE = 2**63  # behind every position and offset


class LogReader:
    """Reads entries in order; `seek` first to begin elsewhere than at 0.

    Any number may read, in any process, while a writer appends: an entry is given once its whole
    frame is there, its CRC checked. LogError: corruption, or entries that are gone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._segment: Segment | None = None
        self._descriptor = -1
        self._offset = 0  # where, in the segment, reading goes on
        self._parsed = 0  # position of the entry that stands there
        self._rested_at = float("-inf")  # when it was sure that nothing follows
        self._following = ""  # the segment that would
        self._entries: list[bytes] = []  # parsed and not yet given
        self._marks: dict[int, list[tuple[int, int]]] = {}
        """The sparse index: by segment, (position, offset) of a frame in each chunk passed."""
        self.position = 0
        """The position of the entry read next."""

    @property
    def first(self) -> int:
        """The position of the first entry kept; 0 for an empty log."""
        found = segments(self._folder)
        return found[0].first if found else 0

    def read(self, max_entries: int) -> list[bytes]:
        """The next entries, at most `max_entries`, without waiting; empty at the end."""
        if not self._entries and not self._fill():
            return []
        while len(self._entries) < max_entries and self._look():
            pass
        given, self._entries = self._entries[:max_entries], self._entries[max_entries:]
        self.position += len(given)
        return given

    def seek(self, position: int) -> None:
        """Make `position` the next one read; LogError outside [first entry kept, end]."""
        found = segments(self._folder)
        before = [segment for segment in found if segment.first <= position]
        if not before and (found or position):
            kept = f"begins at {found[0].first}" if found else "is empty"
            raise LogError(f"{self._folder}: entry {position} is not there: the log {kept}")
        self._entries, self.position = [], position
        if before:
            self._open(before[-1], position)
        while self._parsed < position:
            if not self._fill() and self._parsed < position:
                raise LogError(
                    f"{self._folder}: entry {position} is not there: the log ends at {self._parsed}"
                )

    def seek_end(self) -> int:
        """Make the end the next position read, and return it."""
        self._entries, self.position = [], _NOWHERE  # passed, not given
        if found := segments(self._folder):
            self._open(found[-1], _NOWHERE)
        while self._fill():
            pass
        self.position = self._parsed
        return self.position

    def close(self) -> None:
        """Called once, last."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self, segment: Segment, position: int) -> None:
        """Stand in `segment` at a frame not behind `position`, as near as the index knows."""
        try:
            descriptor = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise LogError(f"{segment.path} cannot be read: {error.strerror}") from error
        self.close()
        self._segment, self._descriptor = segment, descriptor
        self._rested_at = float("-inf")
        marks = self._marks.setdefault(segment.first, [(segment.first, 0)])
        self._parsed, self._offset = marks[bisect_right(marks, (position, _NOWHERE)) - 1]

    def _fill(self) -> bool:
        """Parse what has come since; False if nothing has.

        A second look before the verdict: the writer may have finished a frame, or taken half a
        frame back, between the first look and the question whether more must be there.
        """
        if self._is_at_rest():
            return False
        for _ in range(2):
            if self._look():
                return True
            if not self._is_more_due():
                self._rested_at = time.monotonic()
                return False
        if self._segment and self._bytes(1):
            raise corrupt(self._segment.path, self._offset, self._parsed)
        raise LogError(
            f"{self._folder}: entry {self._parsed} is missing, later ones are there; restore its "
            "segment, or seek a later one if it was dropped"
        )

    def _is_at_rest(self) -> bool:
        """Whether nothing has come since a moment ago: asked a thousand times a second by whoever
        waits, so it looks at two things only."""
        return (
            self._segment is not None
            and time.monotonic() - self._rested_at < _REST_S
            and os.fstat(self._descriptor).st_size == self._offset
            and not os.path.exists(self._following)  # noqa: PTH110  # a Path would cost as much again
        )

    def _look(self) -> bool:
        if not (chunk := self._chunk()) and self._next_segment():
            chunk = self._chunk()
        marks = self._marks[self._segment.first] if self._segment else [(0, 0)]
        if chunk and marks[-1][0] < self._parsed:
            marks.append((self._parsed, self._offset))
        stop = 0
        for frame in frames(chunk, self._parsed):
            if frame.end > self.position:
                given = entries(chunk, frame)
                self._entries += given[max(0, self.position - frame.first) :]
            self._parsed, stop = frame.end, frame.stop
        self._offset += stop
        self._following = str(segment_at(self._folder, self._parsed).path)
        return stop > 0

    def _chunk(self) -> bytes:
        """The bytes that follow: at least one whole frame, if one is there."""
        chunk = self._bytes(CHUNK_BYTES)
        needed = frame_bytes(chunk, 0)
        return chunk if needed <= len(chunk) else self._bytes(needed)

    def _bytes(self, count: int) -> bytes:
        if self._segment is None:
            return b""
        try:
            return os.pread(self._descriptor, count, self._offset)
        except OSError as error:
            raise LogError(f"{self._segment.path} cannot be read: {error.strerror}") from error

    def _next_segment(self) -> bool:
        """Move to the segment that begins where this one ended, if it exists."""
        following = segment_at(self._folder, self._parsed)
        if following == self._segment or not following.path.exists():
            return False
        self._open(following, following.first)
        return True

    def _is_more_due(self) -> bool:
        """Whether a whole frame must stand where none was found."""
        if (newest := segments(self._folder)[-1:]) and newest != [self._segment]:
            return True
        if self._segment is None:
            return False
        rest = self._bytes(FRAME_BYTES_MAX)
        return bool(rest) and not is_torn(rest, 0)
