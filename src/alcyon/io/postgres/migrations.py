"""Migrations: `NNNN_name.sql` beside this file, applied in order, each once, all or nothing."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

import psycopg

from alcyon.domain.projected import StoreError

_LOCK = 0x616C6379_6F6E0001
"""The advisory lock under which one process migrates and the others wait; "alcyon", 1."""


def migrate(connection: psycopg.Connection) -> None:
    """Bring the schema up to date; `projection_migrations` says how far it is.

    Called at each connection, by any number of processes at once. StoreError for a database that a
    newer Alcyon has migrated.
    """
    scripts = _scripts()
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        # An index over all there is takes as long as it takes; for the others, see the session.
        connection.execute("SET LOCAL statement_timeout = 0")
        done = _done(connection)
        if done > len(scripts):
            raise StoreError(
                f"the database has migration {done}, this Alcyon knows {len(scripts)}; "
                "use the newer Alcyon, or another database: it is filled anew from the logs"
            )
        for number, script in enumerate(scripts[done:], done + 1):
            connection.execute(script.read_text("utf-8").encode())
            connection.execute(
                "INSERT INTO projection_migrations VALUES (%s, %s)", (number, script.name)
            )


def migrated(connection: psycopg.Connection) -> tuple[int, list[str]]:
    """How many migrations the database has, and the names of all; changes nothing."""
    return _count(connection) or 0, [script.name for script in _scripts()]


def _scripts() -> list[Traversable]:
    found = (entry for entry in files(__package__).iterdir() if entry.name.endswith(".sql"))
    return sorted(found, key=lambda entry: entry.name)


def _done(connection: psycopg.Connection) -> int:
    count = _count(connection)
    if count is None:
        connection.execute(
            "CREATE TABLE projection_migrations (number integer PRIMARY KEY, name text NOT NULL)"
        )
    return count or 0


def _count(connection: psycopg.Connection) -> int | None:
    """None: there is no table that would tell."""
    found = connection.execute("SELECT to_regclass('projection_migrations')").fetchone()
    if found is None or found[0] is None:
        return None
    row = connection.execute("SELECT count(*) FROM projection_migrations").fetchone()
    return int(row[0]) if row else 0
