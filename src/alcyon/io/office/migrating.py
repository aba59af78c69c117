"""Migrating: bring the database up to date, by Alembic."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, inspect, text

from alcyon.domain.errors import ConflictError

HEAD = "0001"
"""The newest version beside `migrations`; Alembic itself is imported only where something is to
be done."""
_LOCK = 0x616C6379_6F6E0002
"""The advisory lock under which one process migrates and the others wait; "alcyon", 2."""


def migrate(connection: Connection, schema: str) -> None:
    """Bring it up to date within the caller's transaction, which holds SQLite's lock already.

    Called at each opening, by any number of processes at once. ConflictError for a database that
    a newer Alcyon has migrated. schema: Postgres's, made where it is missing.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
    current = _current(connection)
    if current == HEAD:
        return
    if current is not None and current > HEAD:
        raise ConflictError(
            f"the office's store has version {current}, this Alcyon knows {HEAD}: use the newer "
            "Alcyon, or another home"
        )
    from alembic import command

    command.upgrade(configured(connection), "head")


def configured(connection: Connection | None) -> Any:
    """Alembic's configuration: the versions of this package."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "alcyon.io.office:migrations")
    config.attributes["connection"] = connection
    return config


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)
