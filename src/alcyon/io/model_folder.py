"""The folder registry: one folder per model, and a file per alias with all its moves.

    <name>/                 model.onnx, manifest.json, golden.npz, registered.json
    .aliases/<alias>.json   the moves
    .draft/                 what is being written; nobody reads it
    .lock                   held while anything changes; let go with the process that holds it

Whatever is there has its name by a rename of what was whole on the disk.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from alcyon.domain.errors import ModelError, UnreachableError
from alcyon.domain.moves import Move, MoveState, Wanted, check_expected, head
from alcyon.domain.ports import ModelRegistry
from alcyon.domain.registered import Registered, checked_name
from alcyon.io.model_files import check_files, copied

RECORD_FILE = "registered.json"
MOVES_MAX = 1000
"""Of one alias; the oldest are let go."""
LOCK_TIMEOUT_S = 5.0
_PAUSE_S = 0.01


class FolderRegistry(ModelRegistry):
    """Models in `folder`, which need not be there yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def register(self, directory: Path, name: str | None = None) -> Registered:
        """Add a model's folder under a name."""
        with self._changing() as draft:
            found = copied(directory, draft, name)
            place = self._folder / found.name
            if place.exists():
                there = self._record(found.name)
                if there.files != found.files:
                    raise ModelError(
                        f"{found.name} is another model in {self._folder}: choose another name"
                    )
                return there
            _write(draft / RECORD_FILE, found)
            _force(draft)
            draft.rename(place)
            _force(self._folder)
        return found

    def fetch(self, name: str) -> Path:
        """The model's folder itself."""
        record = self._record(name)
        check_files(self._folder / name, name, record.files)
        return self._folder / name

    def models(self) -> list[Registered]:
        """All models, the newest first; what was not registered is none."""
        with self._read():
            names = [p.parent.name for p in self._folder.glob(f"*/{RECORD_FILE}")]
        found = [self._record(name) for name in names if not name.startswith(".")]
        return sorted(found, key=lambda model: (-model.registered_at, model.name))

    def moves(self, alias: str) -> list[Move]:
        """All moves of an alias."""
        file = self._aliases / f"{checked_name(alias)}.json"
        try:
            with self._read():
                raw = file.read_bytes() if file.exists() else b"[]"
            return msgspec.json.decode(raw, type=list[Move])
        except msgspec.DecodeError as error:
            raise ModelError(
                f"{file} is damaged ({error}): restore it, or remove it and promote again"
            ) from error

    def begin_move(self, wanted: Wanted) -> Move:
        """Let a move come in."""
        self._record(wanted.model)
        with self._changing():
            moves = self.moves(wanted.alias)
            check_expected(wanted, moves)
            move = Move(head(moves) + 1, wanted, round(time.time() * 1000))
            self._write_moves(wanted.alias, [*moves, move])
        return move

    def end_move(self, move: Move, state: MoveState) -> None:
        """Say what became of a move."""
        alias = move.wanted.alias
        with self._changing():
            ended = [
                msgspec.structs.replace(m, state=state) if m.number == move.number else m
                for m in self.moves(alias)
            ]
            self._write_moves(alias, ended)

    def close(self) -> None:
        """Nothing to let go."""

    @property
    def _aliases(self) -> Path:
        return self._folder / ".aliases"

    def _record(self, name: str) -> Registered:
        file = self._folder / checked_name(name) / RECORD_FILE
        try:
            with self._read():
                raw = file.read_bytes() if file.exists() else None
            if raw is not None:
                return msgspec.json.decode(raw, type=Registered)
        except msgspec.DecodeError as error:
            raise ModelError(
                f"{file} is damaged ({error}): remove its folder and register the model again"
            ) from error
        raise ModelError(f"there is no model {name} in {self._folder}: alcyon models register it")

    def _write_moves(self, alias: str, moves: list[Move]) -> None:
        self._aliases.mkdir(exist_ok=True)
        draft = self._aliases / ".draft"
        draft.unlink(missing_ok=True)
        _write(draft, moves[-MOVES_MAX:])
        draft.replace(self._aliases / f"{alias}.json")
        _force(self._aliases)

    @contextmanager
    def _changing(self) -> Iterator[Path]:
        """Hold the lock; a name for a draft, whose leavings are removed."""
        with self._read():
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
            draft = self._folder / ".draft"
            try:
                self._lock(descriptor)
                shutil.rmtree(draft, ignore_errors=True)  # of one that was killed
                yield draft
            finally:
                shutil.rmtree(draft, ignore_errors=True)
                os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UnreachableError(
                        f"{self._folder}: another process is stopped while it changes it; end it"
                    ) from None
                time.sleep(_PAUSE_S)
            else:
                return

    @contextmanager
    def _read(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnreachableError(
                f"the models in {self._folder} cannot be read or written: {error.strerror}; see to "
                "the disk, or set ALCYON_HOME"
            ) from error


def _write(file: Path, value: object) -> None:
    with file.open("xb") as written:
        written.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
        written.flush()
        os.fsync(written.fileno())


def _force(folder: Path) -> None:
    """A rename lasts once its folder is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
