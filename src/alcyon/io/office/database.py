"""The database: how it is read, and how it is changed, one change after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from alcyon.domain.errors import ConflictError, InputError, UnreachableError
from alcyon.io.office.audit import Told, append
from alcyon.io.office.migrating import migrate
from alcyon.io.office.tables import AUDIT_HEAD

SCHEMA = "office"
MAIN = "main"
BUSY_MS = 10_000
"""A change takes milliseconds: who waits longer for its turn waits for somebody who is stuck."""
_CONNECTIONS, _MORE = 4, 12
_CHANGES = "alcyon_changes"


@dataclass(frozen=True)
class Place:
    """Where the store is: a file, or a Postgres database."""

    file: Path | None = None
    dsn: str | None = field(default=None, repr=False)
    schema: str = SCHEMA
    """Postgres only."""
    log: str = MAIN
    """Whose decisions the cases are about: accounts and keys are the same for all, cases, seals and
    what is delivered are each log's own (the demo's are no other log's)."""


class Change:
    """One commit: what changes, and what the audit log tells of it."""

    def __init__(self, connection: Connection, now: int, log: str, told: Told) -> None:
        self.connection, self.now, self.log, self._told = connection, now, log, told

    def tell(self, by: str, what: str, subject: str, **detail: Any) -> None:
        """Append to the audit log."""
        self._told = append(self.connection, self._told, (self.now, by, what, subject, detail))


class Database:
    """The store at a place, migrated when opened; used by several threads and processes.

    clock: UTC ms. UnreachableError from anything: it does not answer, or is full.
    """

    def __init__(self, place: Place, clock: Callable[[], int] | None = None) -> None:
        self._place = place
        self._clock = clock or (lambda: time.time_ns() // 1_000_000)
        self._engine = _engine(place)
        try:
            with self._translated(), self._begun() as connection:
                migrate(connection, place.schema)
        except BaseException:
            self._engine.dispose()
            raise

    @property
    def log(self) -> str:
        """Whose decisions it is about."""
        return self._place.log

    def now(self) -> int:
        """UTC ms."""
        return self._clock()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that only reads."""
        with self._translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def changing(self) -> Iterator[Change]:
        """A change: nobody else changes anything until it is over; all of it, or nothing."""
        with self.noting() as connection:
            # Locked first, so that what is read from here on is what the change before left.
            head = select(AUDIT_HEAD.c.number, AUDIT_HEAD.c.digest).with_for_update()
            number, digest = connection.execute(head).one()
            yield Change(connection, self.now(), self.log, Told(number, digest))

    @contextmanager
    def noting(self) -> Iterator[Connection]:
        """A commit that the audit log does not tell of: when a key was used, what was sent."""
        with self._translated(), self._begun() as connection:
            yield connection

    def rewrite(self) -> None:
        """Leave no byte of what was removed in the store's file; Postgres sees to that itself, in
        time."""
        if self._place.dsn is not None:
            return
        with self._translated(), closing(self._engine.raw_connection()) as connection:
            for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                connection.cursor().execute(statement).close()

    def close(self) -> None:
        """Called once, last."""
        self._engine.dispose()

    @contextmanager
    def _begun(self) -> Iterator[Connection]:
        opened = self._engine.connect().execution_options(**{_CHANGES: True})
        with opened as connection, connection.begin():
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError as error:
            raise ConflictError(
                f"the office's store: {_line(error)}; nothing was changed"
            ) from error
        except DataError as error:  # a NUL in a text, a number beyond 64 bits
            raise InputError(f"that cannot be kept: {_line(error)}") from error
        except (DBAPIError, PoolTimeoutError) as error:
            raise UnreachableError(
                f"the office's store {self._name()}: {_line(error)}; nothing was changed"
            ) from error

    def _name(self) -> str:
        return str(self._place.file) if self._place.dsn is None else "in Postgres (postgres.dsn)"


def _engine(place: Place) -> Engine:
    pool: dict[str, Any] = {"pool_size": _CONNECTIONS, "max_overflow": _MORE}
    if place.dsn is not None:
        dsn = place.dsn
        return create_engine(
            "postgresql+psycopg://", creator=lambda: _postgres(dsn, place.schema),
            pool_pre_ping=True, **pool,
        )  # fmt: skip
    assert place.file is not None
    _make(place.file)
    engine = create_engine(f"sqlite:///{place.file}", **pool)

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _: object) -> None:
        connection.isolation_level = None  # `begin` below, not the driver, says when
        for pragma in (f"busy_timeout={BUSY_MS}", "journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        changes = connection.get_execution_options().get(_CHANGES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if changes else "BEGIN")

    return engine


def _make(file: Path) -> None:
    """An empty file that its owner alone may read: it holds hashes of secrets."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise UnreachableError(
            f"the office's store {file} cannot be written: {error.strerror}; see to the folder, "
            "or set ALCYON_HOME to another"
        ) from error


def _postgres(dsn: str, schema: str) -> Any:
    import psycopg

    connection = psycopg.connect(
        dsn, application_name="alcyon-office", connect_timeout=10, client_encoding="utf8"
    )
    connection.execute(
        "SELECT set_config('search_path', %s, false), set_config('lock_timeout', %s, false), "
        "set_config('statement_timeout', '30s', false), "
        "set_config('idle_in_transaction_session_timeout', '60s', false)",
        (schema, str(BUSY_MS)),
    )
    connection.commit()
    return connection


def _line(error: Exception) -> str:
    """What the database said, without the statement and its values: they may hold secrets."""
    said = getattr(error, "orig", None) or error
    return (str(said).strip().splitlines() or [type(said).__name__])[0]
