"""Where the demo lies: one folder, which one process may use at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alcyon.domain.errors import AlcyonError, InputError


@dataclass(frozen=True)
class DemoPlace:
    """The files of a demo in `folder`."""

    folder: Path

    @property
    def intake(self) -> Path:
        """The embedded intake log."""
        return self.folder / "intake"

    @property
    def decisions(self) -> Path:
        """The embedded decisions log."""
        return self.folder / "decisions"

    @property
    def snapshots(self) -> Path:
        """The worker's snapshots."""
        return self.folder / "snapshots"

    @property
    def warmed(self) -> Path:
        """The snapshot that all began with, for ever: what replays from the beginning needs."""
        return self.folder / "warmed"

    @property
    def models(self) -> Path:
        """The folder registry."""
        return self.folder / "models"

    @property
    def store(self) -> Path:
        """The projection."""
        return self.folder / "alcyon.sqlite"

    @property
    def labels(self) -> Path:
        """The history's labels that nobody has given yet, as JSON lines by time."""
        return self.folder / "history-labels.jsonl"

    @property
    def sessions(self) -> Path:
        """What traffic there was, see `sessions`."""
        return self.folder / "sessions.json"

    @property
    def recipe(self) -> Path:
        """Written last but one; see `is_finished`."""
        return self.folder / "demo.json"

    @property
    def is_finished(self) -> bool:
        """Whether the setup came to its end: only then has the folder this name."""
        return self.folder.is_dir()

    @property
    def unfinished(self) -> DemoPlace:
        """Where a setup is made before it gets its name."""
        return DemoPlace(self.folder.with_name(f"{self.folder.name}.unfinished"))

    def offer_warmed(self) -> None:
        """Put the first snapshot beside the worker's own, which may all turn out to be corrupt."""
        try:
            self.snapshots.mkdir(exist_ok=True)
            for snapshot in self.warmed.iterdir():
                if not (self.snapshots / snapshot.name).exists():
                    os.link(snapshot, self.snapshots / snapshot.name)
        except OSError as error:
            raise AlcyonError(
                f"{self.warmed} cannot be used: {error.strerror}; make room, or remove "
                f"{self.folder} to begin anew"
            ) from error


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the demo in `folder` alone; InputError while another process does.

    The lock is beside the folder, which is made while it is held, and goes with the process.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        name = folder.with_name(f"{folder.name}.lock")
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise AlcyonError(
            f"{folder.parent} cannot be written: {error.strerror}; set ALCYON_HOME to a folder "
            "that can"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another demo is running in {folder}: end that one, or set ALCYON_HOME to "
                "another folder"
            ) from None
        yield
    finally:
        os.close(descriptor)
