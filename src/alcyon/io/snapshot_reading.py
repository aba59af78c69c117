"""Snapshot files as bytes: sections, and reading them, the blocks straight to their places.

    kind 4 | CRC of the head u32 | CRC of the payload u32 | payload bytes u64 | payload

`SNP2` holds the header as JSON, `SIZE` the words of a block and the words in use, `SCAL` the
scalars, each `BLOC` rows of block number and that block's words, `DONE` the number of blocks and
the CRC over all heads before it, which hold the CRCs of the payloads. Numbers are little-endian.
A file without a valid `DONE` at its end is no snapshot.

Quick to import, so that a worker reads its snapshot while the rest of it is still imported.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import BinaryIO
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.errors import SettingsError, SnapshotError
from alcyon.domain.reserve import reserve

SUFFIX, UNFINISHED = ".snapshot", ".unfinished"
HEADER, SIZE, SCALARS, BLOCKS, DONE = b"SNP2", b"SIZE", b"SCAL", b"BLOC", b"DONE"
SECTION_BYTES_MAX = 2**30

_PATTERN = "[0-9]" * 10 + "-" + "[0-9]" * 20 + SUFFIX
_SEQUENCE = slice(11, 31)
_HEAD = struct.Struct("<4sIIQ")
_CHECKED = struct.Struct("<4sIQ")
_SIZE = struct.Struct("<QQ")
_DONE = struct.Struct("<QI")


def snapshot_names(folder: Path, before: int | None = None) -> list[str]:
    """The finished snapshots, the newest first; none if the folder does not exist.

    before: only those whose next sequence is at most that.
    """
    names = sorted((path.name for path in folder.glob(_PATTERN)), reverse=True)
    return [n for n in names if before is None or int(n[_SEQUENCE]) <= before]


def section(kind: bytes, payload: memoryview | bytes) -> bytes:
    """The head of a section, to be written before its payload."""
    length = memoryview(payload).nbytes
    payload_crc = crc32(payload)
    return _HEAD.pack(kind, crc32(_CHECKED.pack(kind, payload_crc, length)), payload_crc, length)


def size(block_words: int, words: int) -> bytes:
    """The payload of the second section."""
    return _SIZE.pack(block_words, words)


def done(blocks: int, heads_crc: int) -> bytes:
    """The payload of the last section."""
    return _DONE.pack(blocks, heads_crc)


class Sections:
    """Reads a file's sections in order; SnapshotError at the first that is not whole."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._buffer = bytearray()
        self.heads_crc = 0

    def next(self) -> tuple[bytes, memoryview]:
        """Kind and payload; the payload is good until the next call."""
        head = self._file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            raise SnapshotError("it ends too early")
        kind, head_crc, payload_crc, length = _HEAD.unpack(head)
        if crc32(_CHECKED.pack(kind, payload_crc, length)) != head_crc or (
            length > SECTION_BYTES_MAX
        ):
            raise SnapshotError(f"it is corrupt at byte {self._file.tell() - _HEAD.size}")
        if kind != DONE:
            self.heads_crc = crc32(head, self.heads_crc)
        if len(self._buffer) < length:
            self._buffer = bytearray(length)
        payload = memoryview(self._buffer)[:length]
        if self._file.readinto(payload) < length:  # type: ignore[attr-defined]
            raise SnapshotError("it ends too early")
        if crc32(payload) != payload_crc:
            raise SnapshotError(f"it is corrupt before byte {self._file.tell()}")
        return kind, payload

    def expect(self, kind: bytes) -> memoryview:
        """The payload of a section that must come here."""
        found, payload = self.next()
        if found != kind and kind == HEADER and found.startswith(kind[:3]):
            raise SnapshotError(f"it is of format {found.decode()}, not {kind.decode()}")
        if found != kind:
            raise SnapshotError(f"{found!r} stands where {kind!r} should")
        return payload

    def end(self) -> None:
        """Nothing may follow."""
        if self._file.read(1):
            raise SnapshotError("something follows its end")


@dataclass(frozen=True, eq=False)
class Contents:
    """A sound file's."""

    header: bytes
    scalars: NDArray[np.int64]
    words: NDArray[np.int64]
    """As many as were asked to be reserved, the blocks in place."""


def read(
    path: Path,
    bytes_max: int,
    check: Callable[[bytes], None] = lambda header: None,
    stop: Event | None = None,
) -> Contents:
    """Read a whole file; what it holds lies in memory of its own, and goes with it.

    check: raises where its header shows that it is not wanted. SnapshotError: it is not sound, or
    `stop` was set meanwhile. SettingsError: it does not fit into `bytes_max`.
    """
    with path.open("rb") as file:
        sections = Sections(file)
        header = bytes(sections.expect(HEADER))
        check(header)
        block_words, used = _SIZE.unpack(sections.expect(SIZE))
        if used * 8 > bytes_max:
            raise SettingsError(
                f"{path.name} holds {used * 8} bytes of state, state_bytes_max is {bytes_max}: "
                "raise it"
            )
        scalars = np.frombuffer(sections.expect(SCALARS), np.int64).copy()
        words = reserve(bytes_max // 8)
        blocks = words[: len(words) // block_words * block_words].reshape(-1, block_words)
        _read_blocks(sections, blocks, stop)
    return Contents(header, scalars, words)


def read_header(path: Path) -> bytes:
    """The header of a file that is sound to its end; nothing of the state is kept.

    SnapshotError: it is not sound.
    """
    with path.open("rb") as file:
        sections = Sections(file)
        header = bytes(sections.expect(HEADER))
        block_words, _ = _SIZE.unpack(sections.expect(SIZE))
        sections.expect(SCALARS)
        _each_block(sections, block_words, lambda rows: None)
    return header


def _read_blocks(sections: Sections, blocks: NDArray[np.int64], stop: Event | None) -> None:
    def keep(rows: NDArray[np.int64]) -> None:
        blocks[rows[:, 0]] = rows[:, 1:]
        if stop is not None and stop.is_set():
            raise SnapshotError("it was not wanted any more")

    _each_block(sections, blocks.shape[1], keep)


def _each_block(
    sections: Sections, block_words: int, keep: Callable[[NDArray[np.int64]], None]
) -> None:
    """Hands over int64[n, 1 + block_words] by section, up to the file's end."""
    found, (kind, payload) = 0, sections.next()
    while kind == BLOCKS:
        rows = np.frombuffer(payload, np.int64).reshape(-1, 1 + block_words)
        keep(rows)
        found += len(rows)
        kind, payload = sections.next()
    if kind != DONE:
        raise SnapshotError(f"{kind!r} stands where its end should")
    if _DONE.unpack(payload) != (found, sections.heads_crc):
        raise SnapshotError(f"blocks are missing: it has {found}")
    sections.end()


class ReadAhead:
    """A snapshot that a thread reads before it is known whether it will be wanted."""

    def __init__(self, path: Path, bytes_max: int) -> None:
        self._path, self._bytes_max = path, bytes_max
        self._stop = Event()
        self._contents: Contents | None = None
        self._error: Exception | None = None
        self._thread = Thread(target=self._run, name="read-ahead", daemon=True)
        self._thread.start()

    def take(self, name: str) -> Contents | None:
        """Wait for it, and forget it: it is the caller's. Raises as `read` does.

        None where another is asked for, which this one then makes room for, or it is gone.
        """
        if name != self._path.name:
            self.drop()
        self._thread.join()
        contents, error = self._contents, self._error
        self._contents = self._error = None
        if error is not None:
            raise error
        return contents

    def drop(self) -> None:
        """Stop and forget it."""
        self._stop.set()
        self._thread.join()
        self._contents = self._error = None

    def _run(self) -> None:
        try:
            self._contents = read(self._path, self._bytes_max, stop=self._stop)
        except Exception as error:  # raised where it is taken
            self._error = error


def read_ahead(folder: Path, bytes_max: int) -> ReadAhead | None:
    """Begin to read the newest snapshot of a folder; None where there is none."""
    names = snapshot_names(folder)
    return ReadAhead(folder / names[0], bytes_max) if names else None
