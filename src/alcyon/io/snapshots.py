"""Snapshots: the state and what is in force at one place of the log, as files in a folder.

A file is named by epoch and sequence; what it looks like inside is in `snapshot_reading`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from alcyon.domain.errors import SnapshotError
from alcyon.features.compiled.memory import MEMORY_VERSION, META_WORDS
from alcyon.features.kernel import Kernel
from alcyon.features.state import State
from alcyon.io.snapshot_reading import (
    HEADER,
    SUFFIX,
    UNFINISHED,
    Contents,
    ReadAhead,
    Sections,
    read,
    read_ahead,
    read_header,
    snapshot_names,
)

__all__ = [
    "UNFINISHED",
    "Loaded",
    "ReadAhead",
    "SnapshotHeader",
    "checked",
    "headers",
    "load_newest",
    "read_ahead",
    "snapshot_names",
]


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


def headers(folder: Path) -> list[SnapshotHeader]:
    """The headers of the finished snapshots, the newest first; what cannot be read is left out.

    A header says nothing of what follows it: only loading tells whether a snapshot is sound.
    """
    found = []
    for name in snapshot_names(folder):
        with suppress(OSError, SnapshotError), (folder / name).open("rb") as file:
            found.append(_header(bytes(Sections(file).expect(HEADER)), name))
    return found


def checked(path: Path, catalog: str) -> SnapshotHeader:
    """Read a snapshot to its end, keep nothing but its header.

    SnapshotError: it is not sound, or not one that this version and the catalog of that hash can
    go on from.
    """
    header = _header(read_header(path), path.name)
    if why := _unfit(header, catalog):
        raise SnapshotError(why)
    return header


def load_newest(
    folder: Path,
    kernel: Kernel,
    refusal: Callable[[SnapshotHeader], str | None],
    before: int | None = None,
    ahead: ReadAhead | None = None,
) -> Loaded:
    """Put the newest usable snapshot's state into `kernel`; without one it is left as it is.

    refusal: says why a snapshot cannot be used here, None if it can. before: as for
    `snapshot_names`. ahead: one that may be read already, dropped where another is newer by now.
    SettingsError: a sound one does not fit into `state_bytes_max`.
    """
    refused = []
    for name in snapshot_names(folder, before):
        try:
            header = _load(folder / name, kernel, refusal, ahead)
        except (SnapshotError, OSError) as error:
            refused.append((name, str(error)))
        else:
            return Loaded(header, tuple(refused))
    if ahead is not None:
        ahead.drop()
    return Loaded(None, tuple(refused))


def header_payload(header: SnapshotHeader) -> bytes:
    """The payload of the first section."""
    return msgspec.json.encode(header)


def _load(
    path: Path,
    kernel: Kernel,
    refusal: Callable[[SnapshotHeader], str | None],
    ahead: ReadAhead | None,
) -> SnapshotHeader:
    def check(header: bytes) -> None:
        found = _header(header, path.name)
        if why := _foreign(found, kernel) or refusal(found):
            raise SnapshotError(why)

    contents = ahead.take(path.name) if ahead else None
    if contents is None:
        contents = read(path, kernel.limits.state_bytes_max, check)
    else:
        check(contents.header)
    # Only now, when the file has turned out to be sound as a whole.
    kernel.state = _state(contents, kernel)
    kernel.pin_literals()
    return _header(contents.header, path.name)


def _state(contents: Contents, kernel: Kernel) -> State:
    meta, free = contents.scalars[:META_WORDS], contents.scalars[META_WORDS:]
    return State.restored(kernel.layout, contents.words, meta, free)


def _header(payload: bytes, name: str) -> SnapshotHeader:
    try:
        header = msgspec.json.decode(payload, type=SnapshotHeader)
    except msgspec.DecodeError as error:
        raise SnapshotError(f"it is of another version: {error}") from error
    if header.name != name:
        raise SnapshotError(f"it was made as {header.name}")
    return header


def _unfit(header: SnapshotHeader, catalog: str) -> str | None:
    if header.memory_version != MEMORY_VERSION:
        return f"its state is of version {header.memory_version}, not {MEMORY_VERSION}"
    if header.catalog != catalog:
        return f"it is of catalog {header.catalog[:12]}, not {catalog[:12]}"
    return None


def _foreign(header: SnapshotHeader, kernel: Kernel) -> str | None:
    if why := _unfit(header, kernel.layout.catalog.hash):
        return why
    if header.key != tuple(kernel.key.tolist()):
        return "its ids are hashed with another key"
    return None
