"""Snapshots: the state and what is in force at one place of the log, as files in a folder.

A file is named by epoch and sequence and is a run of sections:

    kind 4 | CRC of the head u32 | CRC of the payload u32 | payload bytes u64 | payload

`SNP1` holds the header as JSON, `SCAL` the scalars, each `BLOC` rows of block number and 512
words, `DONE` the number of blocks and the CRC over all heads before it, which hold the CRCs of
the payloads. Numbers are little-endian. A file without a valid `DONE` at its end is no snapshot.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

import msgspec
import numpy as np

from alcyon.domain.errors import SettingsError, SnapshotError
from alcyon.features.compiled.memory import BLOCK_WORDS, BUMP, MEMORY_VERSION, META_WORDS
from alcyon.features.kernel import Kernel
from alcyon.features.state import State, load_blocks, load_scalars

SUFFIX, UNFINISHED = ".snapshot", ".unfinished"
HEADER, SCALARS, BLOCKS, DONE = b"SNP1", b"SCAL", b"BLOC", b"DONE"
SECTION_BYTES_MAX = 2**30
ROW_BYTES = 8 * (BLOCK_WORDS + 1)

_PATTERN = "[0-9]" * 10 + "-" + "[0-9]" * 20 + SUFFIX
_SEQUENCE = slice(11, 31)
_HEAD = struct.Struct("<4sIIQ")
_CHECKED = struct.Struct("<4sIQ")
_DONE = struct.Struct("<QI")


class SnapshotHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The place of the log at which the state stood, and what was in force there."""

    catalog: str
    """The catalog's hash."""
    key: tuple[int, int]
    """What the kernel hashes ids with."""
    epoch: int
    next_sequence: int
    position: int
    """The intake position that was to be read next."""
    commit_index: int
    """The index that the next commit was to have."""
    commit_digest: str
    """Of the commit before, empty for none: tells this decisions log from any other."""
    applied: dict[str, int]
    in_force: msgspec.Raw
    """`runners.in_force.InForceData` as JSON."""
    memory_version: int = MEMORY_VERSION
    """How the state's words are to be read."""

    @property
    def name(self) -> str:
        """The file's name; by name, the newest is the largest."""
        return f"{self.epoch:010d}-{self.next_sequence:020d}{SUFFIX}"


@dataclass(frozen=True)
class Loaded:
    """What loading found."""

    header: SnapshotHeader | None
    """None: no snapshot can be used, begin where the log does."""
    refused: tuple[tuple[str, str], ...]
    """(file name, why) of newer ones that cannot be used: tell them loudly."""


def snapshot_names(folder: Path, before: int | None = None) -> list[str]:
    """The finished snapshots, the newest first; none if the folder does not exist.

    before: only those whose next sequence is at most that.
    """
    names = sorted((path.name for path in folder.glob(_PATTERN)), reverse=True)
    return [n for n in names if before is None or int(n[_SEQUENCE]) <= before]


def headers(folder: Path) -> list[SnapshotHeader]:
    """The headers of the finished snapshots, the newest first; what cannot be read is left out.

    A header says nothing of what follows it: only loading tells whether a snapshot is sound.
    """
    found = []
    for name in snapshot_names(folder):
        with suppress(OSError, SnapshotError), (folder / name).open("rb") as file:
            found.append(_header(_Sections(file).expect(HEADER), name))
    return found


def load_newest(
    folder: Path,
    kernel: Kernel,
    refusal: Callable[[SnapshotHeader], str | None],
    before: int | None = None,
) -> Loaded:
    """Put the newest usable snapshot's state into `kernel`; without one it is left as it is.

    refusal: says why a snapshot cannot be used here, None if it can. before: as for
    `snapshot_names`. SettingsError: a sound one does not fit into `state_bytes_max`.
    """
    refused = []
    for name in snapshot_names(folder, before):
        try:
            header = _load(folder / name, kernel, refusal)
        except (SnapshotError, OSError) as error:
            refused.append((name, str(error)))
        else:
            return Loaded(header, tuple(refused))
    return Loaded(None, tuple(refused))


def section(kind: bytes, payload: memoryview | bytes) -> bytes:
    """The head of a section, to be written before its payload."""
    length = memoryview(payload).nbytes
    payload_crc = crc32(payload)
    return _HEAD.pack(kind, crc32(_CHECKED.pack(kind, payload_crc, length)), payload_crc, length)


def done(blocks: int, heads_crc: int) -> bytes:
    """The payload of the last section."""
    return _DONE.pack(blocks, heads_crc)


def header_payload(header: SnapshotHeader) -> bytes:
    """The payload of the first section."""
    return msgspec.json.encode(header)


class _Sections:
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
        if found != kind:
            raise SnapshotError(f"{found!r} stands where {kind!r} should")
        return payload

    def end(self) -> None:
        """Nothing may follow."""
        if self._file.read(1):
            raise SnapshotError("something follows its end")


def _load(
    path: Path, kernel: Kernel, refusal: Callable[[SnapshotHeader], str | None]
) -> SnapshotHeader:
    with path.open("rb") as file:
        sections = _Sections(file)
        header = _header(sections.expect(HEADER), path.name)
        if why := _foreign(header, kernel) or refusal(header):
            raise SnapshotError(why)
        scalars = np.frombuffer(sections.expect(SCALARS), np.int64).copy()
        meta, free = scalars[:META_WORDS], scalars[META_WORDS:]
        if meta[BUMP] * 8 > kernel.limits.state_bytes_max:
            raise SettingsError(
                f"{path.name} holds {int(meta[BUMP]) * 8} bytes of state, state_bytes_max is "
                f"{kernel.limits.state_bytes_max}: raise it"
            )
        # A fresh state for each file: one that turns out to be corrupt leaves nothing behind.
        state = State.empty(kernel.layout, kernel.limits.state_bytes_max)
        _load_state(sections, state)
    load_scalars(state, meta, free)
    kernel.state = state
    kernel.pin_literals()
    return header


def _header(payload: memoryview, name: str) -> SnapshotHeader:
    try:
        header = msgspec.json.decode(bytes(payload), type=SnapshotHeader)
    except msgspec.DecodeError as error:
        raise SnapshotError(f"it is of another version: {error}") from error
    if header.name != name:
        raise SnapshotError(f"it was made as {header.name}")
    return header


def _foreign(header: SnapshotHeader, kernel: Kernel) -> str | None:
    if header.memory_version != MEMORY_VERSION:
        return f"its state is of version {header.memory_version}, not {MEMORY_VERSION}"
    if header.catalog != kernel.layout.catalog.hash:
        return f"it is of catalog {header.catalog[:12]}, not {kernel.layout.catalog.hash[:12]}"
    if header.key != tuple(kernel.key.tolist()):
        return "its ids are hashed with another key"
    return None


def _load_state(sections: _Sections, state: State) -> None:
    found, (kind, payload) = 0, sections.next()
    while kind == BLOCKS:
        rows = np.frombuffer(payload, np.int64).reshape(-1, BLOCK_WORDS + 1)
        load_blocks(state, rows)
        found += len(rows)
        kind, payload = sections.next()
    if kind != DONE:
        raise SnapshotError(f"{kind!r} stands where its end should")
    if _DONE.unpack(payload) != (found, sections.heads_crc):
        raise SnapshotError(f"blocks are missing: it has {found}")
    sections.end()
