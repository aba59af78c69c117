"""`alcyon backup`"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from alcyon.cli.opening.servers import postgres_dsn
from alcyon.cli.showing.options import Json, settings
from alcyon.cli.showing.talk import progress, show_json, tell
from alcyon.domain.errors import InputError

if TYPE_CHECKING:
    from alcyon.io.backup_folder import Manifest, Tick
    from alcyon.runners.care.backup import Kept
    from alcyon.settings import Settings


def backup(*, to: Path | None = None, verify: Path | None = None, as_json: Json = False) -> None:
    """Copy stores, snapshots and models into a folder, while everything goes on.

    The secrets are not in it: keep token.key and the settings elsewhere, for a token that lies
    beside its key protects nothing. The folder holds hashes of passwords: who may read it is up to
    you. Over Kafka the log is the broker's, and is not in it (docs/data-care.md).

    An example:
        alcyon backup --to backups/2026-11-28
        alcyon backup --verify backups/2026-11-28

    Parameters
    ----------
    to
        The folder to write, which must not be there yet; it appears when it is whole.
    verify
        Only check a backup that was written, every byte of it.
    as_json
        Print the manifest as JSON.
    """
    if (to is None) == (verify is None):
        raise InputError("give either --to FOLDER or --verify FOLDER")
    with ticking("backup") as tick:
        if verify is not None:
            from alcyon.io.backup_folder import verify as check

            manifest, words = check(verify, tick), f"{verify} is whole"
        else:
            from alcyon.runners.care.backup import backup as write

            assert to is not None
            manifest, words = write(kept(settings()), to, tick), f"wrote {to}"
    if as_json:
        show_json(manifest)
    tell(f"{words}: {told(manifest)}")
    if to is not None:
        tell("token.key and the settings are not in it: keep them elsewhere")


def kept(set_to: Settings) -> Kept:
    """What the settings name."""
    from alcyon.runners.care.backup import Kept

    return Kept(set_to.home, postgres_dsn(set_to), set_to.kafka.bootstrap is None)


def told(manifest: Manifest) -> str:
    """What is in a backup, in a line."""
    size = sum(item.bytes for item in manifest.items)
    at = [f"a snapshot at sequence {s.next_sequence:,}" for s in manifest.snapshots]
    stands = ", ".join(at) or "no snapshot"
    return (
        f"{len(manifest.items)} files, {size / 2**20:,.1f} MiB, made {manifest.made_at} by Alcyon "
        f"{manifest.alcyon}; the projection stands at commit {manifest.next_index:,}; {stands}"
    )


@contextmanager
def ticking(name: str) -> Iterator[Tick]:
    """A bar over bytes, told from several threads."""
    lock, done = Lock(), 0
    with progress(name) as advance:

        def tick(count: int) -> None:
            nonlocal done
            with lock:
                done += count
                advance(done)

        yield tick
