"""Copying a SQLite file while others write it, by SQLite's own online backup."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from alcyon.domain.projected import StoreError


def copy_database(source: Path, target: Path, tick: Callable[[int], None]) -> None:
    """What is committed in `source` as one file without a WAL. StoreError: it cannot be read."""
    try:
        with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as given:
            (page_bytes,) = given.execute("PRAGMA page_size").fetchone()
            # All of it in one step holds a read transaction: writers go on, in the WAL.
            with closing(sqlite3.connect(target)) as copied:
                given.backup(copied, pages=-1)
                copied.execute("PRAGMA journal_mode = DELETE")
                (pages,) = copied.execute("PRAGMA page_count").fetchone()
        tick(int(pages) * int(page_bytes))
    except sqlite3.Error as error:
        raise StoreError(f"{source}: {error}; nothing was copied") from error


def migrations(file: Path) -> int:
    """How far a store's file is. StoreError: it is none."""
    return int(_value(file, "PRAGMA user_version"))


def position(file: Path) -> int:
    """The commit that the store in this file reads next."""
    return int(_value(file, "SELECT next_index FROM projection_position"))


def office_version(file: Path) -> str:
    """The migration of the office in this file."""
    return _value(file, "SELECT version_num FROM alembic_version")


def _value(file: Path, query: str) -> str:
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            (value,) = connection.execute(query).fetchone()
    except (sqlite3.Error, TypeError) as error:
        raise StoreError(f"{file}: {error}") from error
    return str(value)
