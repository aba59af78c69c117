"""A backup as a folder: files, and a manifest that names each with its size and SHA-256.

It is written beside its place, under a name that ends in `.unfinished`, and renamed when all of it
is on the disk: what has the name that was asked for is whole.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from alcyon.domain.errors import InputError

MANIFEST = "manifest.json"
UNFINISHED = ".unfinished"
FORMAT = 1
_CHUNK_BYTES = 2**20
_LEVEL = 1
"""Of gzip: rows shrink to about a quarter; more costs time and brings little."""

Tick = Callable[[int], None]
"""Told of bytes done since the last call; from several threads."""


class Item(msgspec.Struct, frozen=True):
    """A file of the backup."""

    path: str
    """Below the folder, with `/` between."""
    bytes: int
    sha256: str


class TableItem(msgspec.Struct, frozen=True):
    """A table, or a partition of one, as `COPY (FORMAT binary)` gave it, compressed by gzip."""

    area: str
    """`projection` or `office`."""
    table: str
    """For a partition, the table that it is of."""
    partition: int | None
    columns: tuple[str, ...]
    rows: int
    path: str


class SnapshotItem(msgspec.Struct, frozen=True):
    """Where in the log a snapshot of the worker stands."""

    name: str
    next_sequence: int
    position: int
    """The intake position that is read next."""
    commit_index: int


class Manifest(msgspec.Struct, frozen=True):
    """What is in a backup."""

    format: int
    made_at: str
    """UTC, ISO 8601."""
    alcyon: str
    """The version that made it."""
    store: str
    """`postgres` or `sqlite`: where projection and office were."""
    schema: int
    """Migrations of the projection's store; 0: there is none."""
    office: str | None
    """The office's migration; None: there is none."""
    next_index: int
    """The commit that the projection reads next."""
    snapshots: tuple[SnapshotItem, ...]
    tables: tuple[TableItem, ...]
    items: tuple[Item, ...]


def read_manifest(folder: Path) -> Manifest:
    """What a backup holds. InputError: it is none, is not finished, or of another version."""
    path = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError:
        raise InputError(
            f"{folder} is no backup: there is no {MANIFEST} in it; name the folder that "
            "alcyon backup --to wrote"
        ) from None
    except msgspec.DecodeError as error:
        raise InputError(f"{path} is no manifest of this version: {error}") from None
    if manifest.format != FORMAT:
        raise InputError(f"{folder} has format {manifest.format}, this Alcyon reads {FORMAT}")
    return manifest


def verify(folder: Path, tick: Tick) -> Manifest:
    """Check every file against the manifest. InputError names the first that is not as written."""
    manifest = read_manifest(folder)
    for item in manifest.items:
        path = _inside(folder, item.path)
        if not path.is_file():
            raise InputError(f"{path} is missing: this backup cannot be used")
        if path.stat().st_size != item.bytes or _digest(path, tick) != item.sha256:
            raise InputError(f"{path} is not what was written: this backup cannot be used")
    known = {item.path for item in manifest.items} | {MANIFEST}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if (name := path.relative_to(folder).as_posix()) not in known:
            raise InputError(f"{path} is not in the manifest: {name} was added later; remove it")
    return manifest


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{folder / MANIFEST} names {name}, which is outside of the backup")
    return path


class Writing:
    """A backup that is being written; its files are known to it when they are closed."""

    def __init__(self, folder: Path, tick: Tick) -> None:
        self.folder, self._tick = folder, tick
        self.items: list[Item] = []

    @contextmanager
    def compressed(self, name: str) -> Iterator[Callable[[bytes], object]]:
        """Gives what takes the bytes of a file; gzip."""
        path = self._place(name)
        with path.open("wb") as file:
            sink = _Hashing(file, self._tick)
            with gzip.GzipFile("", "wb", _LEVEL, sink, mtime=0) as packed:
                yield packed.write
            _force(file)
        self.items.append(Item(name, sink.bytes, sink.digest.hexdigest()))

    def copy(self, source: Path, name: str) -> None:
        """A file as it is now: of one that grows, what was in it when this began."""
        path = self._place(name)
        with source.open("rb") as given, path.open("wb") as file:
            sink, left = _Hashing(file, self._tick), os.fstat(given.fileno()).st_size
            while left > 0 and (chunk := given.read(min(left, _CHUNK_BYTES))):
                left -= sink.write(chunk)
            _force(file)
        self.items.append(Item(name, sink.bytes, sink.digest.hexdigest()))

    def made(self, name: str) -> Path:
        """Where somebody else writes a file; `take` it afterwards."""
        return self._place(name)

    def take(self, name: str) -> None:
        """A file that somebody else wrote."""
        path = self.folder / name
        path.chmod(0o600)
        with path.open("rb+") as file:
            _force(file)
        self.items.append(Item(name, path.stat().st_size, _digest(path, self._tick)))

    def _place(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(0o600)
        return path


@contextmanager
def writing(folder: Path, tick: Tick) -> Iterator[Writing]:
    """Write a backup that is to be at `folder`; `finish` it inside. Nothing stays after an error.

    InputError: something is there already, or the disk takes no more.
    """
    if folder.exists():
        raise InputError(f"{folder} is there already: name a folder that is not")
    unfinished = folder.with_name(folder.name + UNFINISHED)
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True, mode=0o700)
        yield Writing(unfinished, tick)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def finish(written: Writing, folder: Path, manifest: Manifest) -> None:
    """Write the manifest, and give the backup its name."""
    path = written.folder / MANIFEST
    path.touch(0o600)
    with path.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2))
        _force(file)
    for directory in (written.folder, *(p for p in written.folder.rglob("*") if p.is_dir())):
        _force_directory(directory)
    written.folder.rename(folder)
    _force_directory(folder.parent)


def chunks(path: Path, tick: Tick) -> Iterator[bytes]:
    """The bytes of a compressed file; `tick` hears of the compressed ones."""
    with path.open("rb") as file, gzip.GzipFile("", "rb", fileobj=file) as packed:
        before = 0
        while chunk := packed.read(_CHUNK_BYTES):
            tick(file.tell() - before)
            before = file.tell()
            yield chunk


class _Hashing:
    """A file that is hashed while it is written."""

    def __init__(self, file: BinaryIO, tick: Tick) -> None:
        self._file, self._tick = file, tick
        self.digest, self.bytes = hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        """All of it."""
        self._file.write(data)
        self.digest.update(data)
        self.bytes += len(data)
        self._tick(len(data))
        return len(data)

    def flush(self) -> None:
        """For gzip."""
        self._file.flush()


def _digest(path: Path, tick: Tick) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            tick(len(chunk))
    return digest.hexdigest()


def _force(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _force_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
