"""Backup and restore: stores, snapshots and models into a folder, and back into an empty place.

The order is that of the data's way, backwards: snapshots and stores first, the logs last. So what
is copied later covers what was copied before, and whoever reads on from a snapshot or a position
finds the log to read from. Over Kafka the log is the broker's: nothing of it is copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from msgspec.structs import replace

from alcyon.domain.errors import InputError
from alcyon.io.backup_folder import (
    FORMAT,
    Manifest,
    SnapshotItem,
    TableItem,
    Tick,
    Writing,
    finish,
    verify,
    writing,
)
from alcyon.io.erasures import FILE as ERASURES
from alcyon.io.erasures import Erased, read_erasures, write_erasures
from alcyon.io.log.frames import segments
from alcyon.io.snapshots import headers
from alcyon.io.sqlite.copying import copy_database, migrations, office_version, position

LOGS = ("decisions", "intake", "resolutions")
"""In the order in which they are copied: a decision's record is in the intake before it."""
FOLDERS = ("models", "learner")
DATABASES = ("alcyon.sqlite", "office.sqlite")
_TRIES = 3


@dataclass(frozen=True)
class Kept:
    """What is backed up, and where it is restored to.

    dsn: where projection and office are; None: in files of the home. is_embedded: the logs are
    files of the home too.
    """

    home: Path
    dsn: str | None = field(repr=False)
    is_embedded: bool
    office_schema: str = "office"

    @property
    def store(self) -> str:
        """As the manifest names it."""
        return "sqlite" if self.dsn is None else "postgres"


def backup(kept: Kept, folder: Path, tick: Tick) -> Manifest:
    """Write a backup to a folder that is not there yet, while everything goes on.

    InputError: the folder is there, cannot be written, or there is nothing to back up. StoreError:
    a store does not answer.
    """
    with writing(folder, tick) as written:
        snapshots = _snapshots(kept.home, written)
        manifest = _sqlite(kept, written, tick) if kept.dsn is None else _postgres(kept, written)
        for name in FOLDERS:
            for path in _files(kept.home / name):
                with suppress(FileNotFoundError):  # somebody replaced it meanwhile
                    written.copy(path, path.relative_to(kept.home).as_posix())
        if (kept.home / ERASURES).is_file():
            written.copy(kept.home / ERASURES, ERASURES)
        if kept.is_embedded:
            for log in LOGS:
                for segment in segments(kept.home / log):
                    written.copy(segment.path, f"{log}/{segment.path.name}")
        if not written.items:
            raise InputError(f"there is nothing in {kept.home} to back up: see ALCYON_HOME")
        manifest = replace(manifest, snapshots=snapshots, items=tuple(written.items))
        finish(written, folder, manifest)
    return manifest


def restore(kept: Kept, folder: Path, tick: Tick, newer: Sequence[Erased] = ()) -> Manifest:
    """Check a backup, then put what is in it into an empty home and an empty database.

    Its list of erasures, and what is newer, is added to the one that is there. InputError: the
    backup is damaged, is for other settings, or the place is not empty; then nothing was changed.
    """
    manifest = verify(folder, tick)
    if manifest.store != kept.store:
        raise InputError(
            f"the backup holds a {manifest.store} store, the settings name a {kept.store} one: "
            + ("set" if manifest.store == "postgres" else "unset")
            + " ALCYON_POSTGRES__DSN"
        )
    names = [item.path for item in manifest.items if not item.path.startswith("postgres/")]
    _check_home(kept.home, names)
    if kept.dsn is not None:
        _load_postgres(kept, kept.dsn, folder, manifest, tick)
    kept.home.mkdir(parents=True, exist_ok=True)
    erasures = [
        *read_erasures(kept.home / ERASURES), *read_erasures(folder / ERASURES), *newer,
    ]  # fmt: skip
    if erasures:
        write_erasures(kept.home / ERASURES, erasures)
    written = Writing(kept.home, tick)
    # The stores last: until they are there, the place is seen to be half restored.
    for name in sorted(names, key=lambda n: n in DATABASES):
        if name != ERASURES:
            written.copy(folder / name, name)
    return manifest


def _check_home(home: Path, names: list[str]) -> None:
    there = [n for n in names if n != ERASURES and (home / n).exists()]
    there += [f"{n}/" for n in (*LOGS, "snapshots") if any(_files(home / n))]
    if there:
        raise InputError(
            f"{home} is not empty ({there[0]}): restore into a new ALCYON_HOME, or move away what "
            "is in it first; nothing was changed"
        )


def _load_postgres(kept: Kept, dsn: str, folder: Path, manifest: Manifest, tick: Tick) -> None:
    from alcyon.io.postgres.copying import check_empty, load

    if manifest.office is not None:
        _make_office(kept, dsn)
    found = check_empty(dsn, kept.office_schema)
    of_backup = (manifest.schema, manifest.office or found[1])
    if found != of_backup:
        raise InputError(
            f"the backup's tables are of versions {of_backup}, this Alcyon's are {found}: restore "
            f"with Alcyon {manifest.alcyon}, which made it, then upgrade; nothing was restored"
        )
    load(dsn, kept.office_schema, manifest.tables, tick, lambda name: folder / name)


def _make_office(kept: Kept, dsn: str) -> None:
    try:
        from alcyon.io.office import Place
        from alcyon.io.office.database import Database
    except ImportError as error:
        raise InputError(
            "the backup holds an office, and that needs an extra: install alcyon[api]"
        ) from error
    Database(Place(dsn=dsn, schema=kept.office_schema)).close()


def _snapshots(home: Path, written: Writing) -> tuple[SnapshotItem, ...]:
    """The newest one; a worker may remove it while it is looked for, having made another."""
    for _ in range(_TRIES):
        found = headers(home / "snapshots")[:1]
        if not found:
            return ()
        (header,) = found
        try:
            written.copy(home / "snapshots" / header.name, f"snapshots/{header.name}")
        except FileNotFoundError:
            continue
        return (
            SnapshotItem(header.name, header.next_sequence, header.position, header.commit_index),
        )
    raise InputError(f"the snapshots in {home / 'snapshots'} change faster than they are copied")


def _sqlite(kept: Kept, written: Writing, tick: Tick) -> Manifest:
    there = [name for name in DATABASES if (kept.home / name).is_file()]
    for name in there:
        copy_database(kept.home / name, written.made(name), tick)
        written.take(name)
    store, office = (written.folder / name if name in there else None for name in DATABASES)
    return _manifest(
        kept, migrations(store) if store else 0, office_version(office) if office else None,
        position(store) if store else 0,
    )  # fmt: skip


def _postgres(kept: Kept, written: Writing) -> Manifest:
    from alcyon.io.postgres.copying import dump

    assert kept.dsn is not None
    dumped = dump(kept.dsn, kept.office_schema, written)
    return _manifest(kept, dumped.migrations, dumped.office, dumped.next_index, dumped.tables)


def _manifest(
    kept: Kept,
    schema: int,
    office: str | None,
    next_index: int,
    tables: tuple[TableItem, ...] = (),
) -> Manifest:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return Manifest(
        FORMAT, at, version("alcyon"), kept.store, schema, office, next_index, (), tables, ()
    )


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())
