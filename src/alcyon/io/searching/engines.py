"""Engines: pools of connections to either store, and what goes wrong in one line."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from alcyon.domain.errors import UnreachableError
from alcyon.io.searching.tables import LAYOUTS, Layout

CONNECTIONS_MAX = 8
"""At once; who comes then waits for one that is given back."""
WAIT_S_MAX = 10
_CACHE_KIB, _MAPPED_BYTES = 65_536, 2**33


class Database:
    """A store's engine and layout. `close` it, last."""

    def __init__(self, engine: Any, place: str) -> None:
        self.engine = engine
        self.layout: Layout = LAYOUTS[engine.dialect.name]
        self._place = place

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """A connection, in autocommit. UnreachableError: the store cannot be asked now."""
        try:
            with self.engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            said = str(getattr(error, "orig", None) or error).strip().splitlines() or ["no answer"]
            raise UnreachableError(
                f"the store at {self._place} cannot be asked: {said[0]}"
            ) from error

    def rows(self, query: Any) -> list[Any]:
        """All rows of a query."""
        with self.connected() as connection:
            return list(connection.execute(query))

    def close(self) -> None:
        """Called once, last."""
        self.engine.dispose()


def sqlite(path: Path, *, is_writing: bool = False) -> Database:
    """The SQLite file; it may come into being later."""
    mode = "rw" if is_writing else "ro"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=WAIT_S_MAX,
            check_same_thread=False,  # one thread at a time, not always the same
            isolation_level=None,
        )
        for pragma in (f"cache_size = -{_CACHE_KIB}", f"mmap_size = {_MAPPED_BYTES}"):
            connection.execute(f"PRAGMA {pragma}")
        if not is_writing:
            connection.execute("PRAGMA query_only = 1")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, **_POOL)
    return Database(engine, path.name)


def postgres(dsn: str, *, is_writing: bool = False) -> Database:
    """The database that `postgres.dsn` names."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    settings = ["-cstatement_timeout=10s", "-cjit=off", "-clock_timeout=10s"]
    if not is_writing:
        settings.append("-cdefault_transaction_read_only=on")
    try:
        named = conninfo_to_dict(dsn)
    except psycopg.Error:
        # The message would quote the setting, and with it the password.
        raise UnreachableError(
            "postgres.dsn is not of the form postgresql://user:password@host:port/database"
        ) from None
    options = " ".join([str(named.get("options") or ""), *settings]).strip()
    defaults: dict[str, Any] = {
        "application_name": "alcyon search",
        "connect_timeout": 10,
        "client_encoding": "utf8",
    }
    conninfo = make_conninfo("", **{**defaults, **named, "options": options})
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(conninfo),
        isolation_level="AUTOCOMMIT",
        pool_pre_ping=True,
        **_POOL,
    )
    return Database(
        engine, f"{named.get('host') or 'the local socket'}/{named.get('dbname') or ''}"
    )


_POOL: dict[str, Any] = {
    "pool_size": CONNECTIONS_MAX,
    "max_overflow": 0,
    "pool_timeout": WAIT_S_MAX,
}
