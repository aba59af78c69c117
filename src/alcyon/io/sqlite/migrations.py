"""Migrations: `NNNN_name.sql` beside this file, applied in order, each once, all or nothing."""

from __future__ import annotations

import sqlite3
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from urllib.parse import quote

from alcyon.domain.projected import StoreError


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database up to date; `user_version` says how far it is.

    Called at each opening, by any number of processes at once. StoreError for a database that a
    newer Alcyon has migrated.
    """
    scripts = _scripts()
    connection.execute("BEGIN IMMEDIATE")
    try:
        (done,) = connection.execute("PRAGMA user_version").fetchone()
        if done > len(scripts):
            raise StoreError(
                f"the database has migration {done}, this Alcyon knows {len(scripts)}; "
                "use the newer Alcyon, or another file: it is filled anew from the logs"
            )
        for script in scripts[done:]:
            for statement in statements(script.read_text("utf-8")):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(scripts)}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def migrated(file: Path) -> tuple[int, tuple[str, ...]]:
    """How many migrations a file has, and the names of all; changes nothing. StoreError."""
    try:
        connection = sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)
        try:
            (done,) = connection.execute("PRAGMA user_version").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StoreError(f"{file}: {error}; remove it: it is filled anew from the logs") from error
    return done, tuple(script.name for script in _scripts())


def _scripts() -> list[Traversable]:
    found = (entry for entry in files(__package__).iterdir() if entry.name.endswith(".sql"))
    return sorted(found, key=lambda entry: entry.name)


def statements(script: str) -> list[str]:
    """The statements of a script, one by one: `executescript` would commit between them.

    >>> statements("CREATE TABLE a (b); -- c; d\\nSELECT 1;")
    ['CREATE TABLE a (b);', ' -- c; d\\nSELECT 1;']
    """
    found, statement = [], ""
    for piece in script.split(";")[:-1]:
        statement += piece + ";"
        if sqlite3.complete_statement(statement):
            found.append(statement)
            statement = ""
    return found
