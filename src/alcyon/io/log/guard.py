"""Guards: who may write a log.

The intake has one writer at a time, from open to close (`SoleWriter`). The decisions log changes
hands even while the old worker is still there, paused (`Reign`): each append checks the epoch.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from alcyon.domain.errors import FencedError, LogError

LOCK_TIMEOUT_S = 5.0
"""An append takes far less: who holds the lock longer is stopped in the middle of one."""
_PAUSE_S = 0.005


class Guard(Protocol):
    """Decides who may change a log."""

    def held(self) -> AbstractContextManager[None]:
        """Entered around every change; LogError on entering: this writer may not, change nothing.

        While it is entered, no other writer enters its own.
        """
        ...

    def close(self) -> None:
        """Called once, last, by whoever made the guard."""
        ...


class SoleWriter:
    """Holds the folder's lock from its making to `close`; LogError if somebody else does."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = _open(folder / "lock")
        if not _try_lock(self._descriptor):
            os.close(self._descriptor)
            raise LogError(
                f"{folder} is being written by another process; end that one, "
                "or give this one a folder of its own"
            )

    def held(self) -> AbstractContextManager[None]:
        """Always allowed: the lock is held."""
        return nullcontext()

    def close(self) -> None:
        """Let the next writer in."""
        os.close(self._descriptor)


class Reign:
    """An epoch of the decisions log: from its making until a later one is made.

    `after` is the epoch of the last commit, so that a lost epoch file takes nothing back.
    """

    def __init__(self, folder: Path, after: int) -> None:
        self._folder = folder
        with ExitStack() as undo:
            self._descriptor = _open(folder / "epoch")
            undo.callback(os.close, self._descriptor)
            with self._locked():
                self.epoch = max(self._current(), after) + 1
                self._persist()
            undo.pop_all()

    @contextmanager
    def held(self) -> Iterator[None]:
        """LogError once a later epoch was taken; while entered, none can be."""
        with self._locked():
            if (current := self._current()) != self.epoch:
                raise FencedError(
                    f"{self._folder}: fenced: a later worker has epoch {current}, this one has "
                    f"{self.epoch}; end this worker"
                )
            yield

    def close(self) -> None:
        """The epoch stays taken; the next writer takes a later one."""
        os.close(self._descriptor)

    def _current(self) -> int:
        return int.from_bytes(os.pread(self._descriptor, 8, 0), "little")

    def _persist(self) -> None:
        try:
            os.pwrite(self._descriptor, self.epoch.to_bytes(8, "little"), 0)
            os.fsync(self._descriptor)
        except OSError as error:
            raise LogError(
                f"{self._folder}: no epoch can be taken: {error.strerror}; see to the disk"
            ) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while not _try_lock(self._descriptor):
            if time.monotonic() > deadline:
                raise LogError(
                    f"{self._folder}: another worker is stopped in the middle of an append; end it"
                )
            time.sleep(_PAUSE_S)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LogError(f"{path} cannot be opened for writing: {error.strerror}") from error


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
