"""The session: one connection, opened when needed and again after it was lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from alcyon.domain.projected import StoreError
from alcyon.io.postgres.migrations import migrate, migrated
from alcyon.io.postgres.partitions import Partitions

CONNECT_TIMEOUT_S = 10
LOST_AFTER_MS = 30_000
"""A server that acknowledges nothing for so long is taken for gone."""
_SETTINGS = {
    # A write takes well under a second; a look-up that takes this long is asked in the wrong way.
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    # A writer that stopped in the middle lets the others go on.
    "idle_in_transaction_session_timeout": "60s",
    # The loss of the server's power can take the newest commits, rows and position together, and
    # reading on brings them back.
    "synchronous_commit": "off",
    # Compiling a look-up takes longer than running it.
    "jit": "off",
}
_SET = "SELECT " + ", ".join(f"set_config('{name}', %({name})s, false)" for name in _SETTINGS)


@dataclass(frozen=True)
class Looked:
    """What a look at the database found; nothing was changed in it."""

    version: int
    """The server's major version."""
    clock_ms: int
    """The server's clock, UTC ms."""
    migrations: int
    """How many it has."""
    migrations_known: tuple[str, ...]
    """The names of all."""
    office: str | None
    """The version of the office's store, None where there is none."""


class Session:
    """The connection to the database that `postgres.dsn` names; migrated when it is opened."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.Connection | None = None
        self.partitions = Partitions()
        self.versions: dict[bytes, int] = {}
        """The ids of versions known to be in the table."""

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection]:
        """The connection, in autocommit. What fails within it is told as one line, StoreError.

        A failure closes it: what was remembered of the database may not be so, and the next call
        opens another.
        """
        try:
            yield self._open()
        except psycopg.Error as error:
            self.close()
            raise StoreError(f"postgres at {self._place()}: {_line(error)}") from error
        except BaseException:
            self.close()
            raise

    def look(self, office_table: str) -> Looked:
        """Connect, migrate nothing, and say what is there. StoreError as for `connected`.

        office_table: where the office's store keeps its version, with the schema.
        """
        try:
            with self._connect() as connection:
                done, known = migrated(connection)
                clock = connection.execute(
                    "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
                ).fetchone()
                office = self._version_in(connection, office_table)
                version = connection.info.server_version // 10_000
        except psycopg.Error as error:
            raise StoreError(f"postgres at {self._place()}: {_line(error)}") from error
        assert clock is not None
        return Looked(version, int(clock[0]), done, tuple(known), office)

    def close(self) -> None:
        """Let the connection go, and what was remembered with it."""
        connection, self._connection = self._connection, None
        self.partitions, self.versions = Partitions(), {}
        if connection is not None:
            connection.close()

    def _open(self) -> psycopg.Connection:
        if self._connection is not None and not _is_idle(self._connection):
            self.close()
        if self._connection is None:
            connection = self._connect()
            try:
                connection.execute(_SET, _SETTINGS)
                migrate(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _connect(self) -> psycopg.Connection:
        defaults: dict[str, str | int] = {
            "application_name": "alcyon",
            "connect_timeout": CONNECT_TIMEOUT_S,
            "tcp_user_timeout": LOST_AFTER_MS,
            "client_encoding": "utf8",
        }
        try:
            named = {**defaults, **conninfo_to_dict(self._dsn)}
            conninfo = make_conninfo("", **named)
        except psycopg.Error:
            # The message would quote the setting, and with it the password.
            raise StoreError(
                "postgres.dsn is not of the form postgresql://user:password@host:port/database"
            ) from None
        try:
            return psycopg.connect(conninfo, autocommit=True)
        except psycopg.Error as error:
            raise StoreError(
                f"cannot reach postgres at {self._place()}: {_line(error)}; "
                "see the setting postgres.dsn"
            ) from None

    @staticmethod
    def _version_in(connection: psycopg.Connection, table: str) -> str | None:
        found = connection.execute("SELECT to_regclass(%s)", (table,)).fetchone()
        if found is None or found[0] is None:
            return None
        query = sql.SQL("SELECT version_num FROM {}").format(sql.Identifier(*table.split(".")))
        row = connection.execute(query).fetchone()
        return None if row is None else str(row[0])

    def _place(self) -> str:
        """Where the database is, without who asks and with what password."""
        named = conninfo_to_dict(self._dsn)
        host = named.get("host") or named.get("hostaddr") or "the local socket"
        return f"{host}:{named.get('port') or 5432}/{named.get('dbname') or ''}"


def _is_idle(connection: psycopg.Connection) -> bool:
    return connection.info.transaction_status == TransactionStatus.IDLE


def _line(error: psycopg.Error) -> str:
    """What the server said, or else what the client did."""
    if error.diag.message_primary:
        return error.diag.message_primary
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    server = [line for line in lines if "FATAL:" in line]
    line = server[-1] if server else (lines or [type(error).__name__])[0]
    return line.rpartition("FATAL:")[2].strip()
