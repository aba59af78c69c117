"""One snapshot on its way to the disk: copied between batches, written by a thread.

The batches' thread only copies blocks, for a bounded time, into one of a few buffers. Checksums,
writing, forcing to the disk, renaming and removing what is older are the other thread's work.
Never fork(): a child would hold the log's locks, and every page it shares costs a copy when first
written to, at the worst moment.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from typing import BinaryIO
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from alcyon.features.compiled.memory import BLOCK_WORDS
from alcyon.features.state import ROW_WORDS, SnapshotReader, State
from alcyon.io.snapshot_reading import (
    BLOCKS,
    DONE,
    HEADER,
    SCALARS,
    SIZE,
    UNFINISHED,
    done,
    section,
    size,
    snapshot_names,
)
from alcyon.io.snapshots import SnapshotHeader, header_payload

COPIED_MAX = 1024
"""Blocks copied at once: 1 MiB, about a quarter of a millisecond."""
SECTION_BLOCKS = 16_384
"""Blocks written at once: 16 MiB. A thread that reads or writes them asks for the interpreter's
lock once for each."""
BUFFERS = 2
"""Sections in memory: one is filled while the other is written."""
FORCED_EVERY = 2
"""Sections between two syncs: one sync of gigabytes would hold up those of the log."""
PAUSE_S = 0.003
"""How long `advance` copies at most, but for its last copy."""

_Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Written:
    """How a snapshot ended."""

    name: str
    next_sequence: int
    blocks: int
    seconds: float
    paused_s: float
    """As much of it as held up the batches."""
    error: str | None
    """None: it is complete. Else it was abandoned, and the older ones are still there."""


class SnapshotWriting:
    """A snapshot from its beginning to its end; one at a time for a state.

    Order: `advance` between batches until it returns the end, or `abandon`. The state may go on
    meanwhile; the snapshot is of the moment when this was made.

    refused: names that cannot be used, which do not count among the `keep` that are kept.
    """

    def __init__(
        self,
        folder: Path,
        header: SnapshotHeader,
        state: State,
        keep: int,
        refused: Collection[str] = (),
    ) -> None:
        if keep < 2:
            raise ValueError(f"keep is {keep}: at least 2, for the newest may be corrupt")
        self._started = time.perf_counter()
        self._folder, self._header, self._keep = folder, header, keep
        self._refused = frozenset(refused) - {header.name}
        self._reader = SnapshotReader(state)
        self._used_words = state.used_bytes // 8
        self._empty: Queue[_Rows] = Queue()
        self._full: Queue[_Rows | None] = Queue()
        self._filling: _Rows | None = None
        self._filled = 0
        self._is_copied, self._is_abandoned = False, Event()
        self._error: str | None = "its thread ended early"
        self._thread = Thread(target=self._run, name="snapshot", daemon=True)
        self._thread.start()
        self._paused_s = time.perf_counter() - self._started

    def advance(self, pause_s: float = PAUSE_S) -> Written | None:
        """Copy for at most about `pause_s`; how it ended, None while it has not."""
        began = time.perf_counter()
        deadline = began + pause_s
        while (
            not self._is_copied
            and self._thread.is_alive()
            and time.perf_counter() < deadline
            and self._copy()
        ):
            pass
        self._paused_s += time.perf_counter() - began
        return None if self._thread.is_alive() else self._end()

    def finish(self) -> Written:
        """Copy and wait until it has ended."""
        while (written := self.advance()) is None:
            self._thread.join(0.001)
        return written

    def abandon(self) -> None:
        """Stop half-way; the unfinished file goes."""
        self._is_abandoned.set()
        self._full.put(None)
        self._thread.join()
        self._end()

    def _copy(self) -> bool:
        """Copy some blocks; False where both buffers wait to be written."""
        if self._filling is None:
            try:
                self._filling, self._filled = self._empty.get_nowait(), 0
            except Empty:
                return False
        room = self._filling[self._filled : self._filled + COPIED_MAX]
        count = self._reader.copy(room)
        self._filled += count or 0
        self._is_copied = count is None
        if self._is_copied or self._filled == len(self._filling):
            self._full.put(self._filling[: self._filled])
            self._filling = None
        if self._is_copied:
            self._full.put(None)
        return True

    def _end(self) -> Written:
        if not self._is_copied:
            self._reader.abandon()
            self._is_copied = True
        seconds = time.perf_counter() - self._started
        header, blocks = self._header, self._reader.total_blocks
        return Written(
            header.name, header.next_sequence, blocks, seconds, self._paused_s, self._error
        )

    def _run(self) -> None:
        unfinished = self._folder / f"{self._header.name}{UNFINISHED}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._remove_unfinished()
            with _created(unfinished) as file:
                if self._write(file):
                    unfinished.rename(self._folder / self._header.name)
                    _force(self._folder)
                    self._remove_older()
                    self._error = None
                else:
                    self._error = "it was abandoned"
                    unfinished.unlink()
        except OSError as error:
            self._error = f"{error.strerror}: make room or see to the disk"
            with suppress(OSError):  # the next snapshot tries again
                unfinished.unlink(missing_ok=True)

    def _write(self, file: BinaryIO) -> bool:
        """All sections; False if it was abandoned on the way."""
        heads_crc = _put(file, HEADER, header_payload(self._header), 0)
        heads_crc = _put(file, SIZE, size(BLOCK_WORDS, self._used_words), heads_crc)
        scalars = np.concatenate([self._reader.meta, self._reader.free])
        heads_crc, sections = _put(file, SCALARS, scalars.data, heads_crc), 0
        for _ in range(BUFFERS):
            blocks = min(SECTION_BLOCKS, self._reader.total_blocks)
            self._empty.put(np.ones((blocks, ROW_WORDS), np.int64))  # touched here, not there
        while (rows := self._full.get()) is not None and not self._is_abandoned.is_set():
            if len(rows):
                heads_crc = _put(file, BLOCKS, rows.data, heads_crc)
            sections += 1
            if sections % FORCED_EVERY == 0:
                os.fdatasync(file.fileno())
            self._empty.put(rows)
        if self._is_abandoned.is_set():
            return False
        _put(file, DONE, done(self._reader.total_blocks, heads_crc), heads_crc)
        os.fsync(file.fileno())
        return True

    def _remove_unfinished(self) -> None:
        """What a killed worker left; a live one that was fenced abandons its own for it."""
        for path in self._folder.glob(f"*{UNFINISHED}"):
            path.unlink(missing_ok=True)

    def _remove_older(self) -> None:
        """Keep the newest; what was refused goes only when enough others are there."""
        good = [n for n in snapshot_names(self._folder) if n not in self._refused]
        if len(good) < self._keep:
            return
        for name in set(snapshot_names(self._folder)) - set(good[: self._keep]):
            (self._folder / name).unlink(missing_ok=True)


def _created(path: Path) -> BinaryIO:
    """A file that only its owner may read, as the logs are."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0)


def _put(file: BinaryIO, kind: bytes, payload: memoryview | bytes, heads_crc: int) -> int:
    """Write a section; return the CRC over all heads so far."""
    head = section(kind, payload)
    for part in (head, payload):
        view = memoryview(part).cast("B")
        while len(view):
            view = view[file.write(view) :]
    return crc32(head, heads_crc)


def _force(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
