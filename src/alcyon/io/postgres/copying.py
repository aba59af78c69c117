"""Copying: the tables of projection and office into a backup, and back into an empty database.

By COPY, in binary, over several connections that see the database at one moment. So no client
program is needed, and the versions of two servers may differ. Tables are made by our migrations,
not from the backup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from alcyon.domain.errors import InputError
from alcyon.io.backup_folder import TableItem, Tick, Writing, chunks
from alcyon.io.postgres.partitions import PARTITION_ROWS, PARTITIONED
from alcyon.io.postgres.session import Session

JOBS = 2
"""Connections beside the first: one table of four holds nearly all bytes twice."""
PROJECTION, OFFICE = "projection", "office"
PLAIN = (
    "transaction_ids", "versions", "hourly_decisions", "daily_decisions", "projection_position",
)  # fmt: skip
_FILE = "postgres/{area}.{name}.copy.gz"
_BUFFER_BYTES = 2**20
# A backup takes as long as it takes.
_PATIENT = (
    "SELECT set_config(name, value, false) FROM (VALUES ('statement_timeout', '0'), "
    "('lock_timeout', '0'), ('idle_in_transaction_session_timeout', '0'), "
    "('maintenance_work_mem', '256MB')) AS v(name, value)"
)


@dataclass(frozen=True)
class Dumped:
    """What was read, at one moment."""

    tables: tuple[TableItem, ...]
    next_index: int
    migrations: int
    office: str | None


@dataclass(frozen=True)
class _Table:
    """A relation to be copied."""

    schema: str
    area: str
    table: str
    partition: int | None = None

    @property
    def name(self) -> str:
        return self.table if self.partition is None else f"{self.table}_{self.partition}"


def dump(dsn: str, office_schema: str, written: Writing) -> Dumped:
    """All tables into a backup. StoreError: the database does not answer."""
    with _patient(dsn) as first:
        first.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        snapshot = _one(first, "SELECT pg_export_snapshot()")
        tables = [*_projection(first), *_office(first, office_schema)]

        def copied(table: _Table) -> TableItem:
            with _patient(dsn) as connection:
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                connection.execute(
                    sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot))
                )
                return _dump_table(connection, table, written)

        with ThreadPoolExecutor(JOBS, "backup") as pool:
            made = tuple(pool.map(copied, tables))
        return Dumped(
            made,
            int(_one(first, "SELECT next_index FROM projection_position")),
            int(_one(first, "SELECT count(*) FROM projection_migrations")),
            _office_version(first, office_schema),
        )


def load(
    dsn: str,
    office_schema: str,
    items: Sequence[TableItem],
    tick: Tick,
    path: Callable[[str], Path],
) -> None:
    """The tables of a backup into a database that `check_empty` found empty.

    The position comes last: what was half restored begins at no position, and is refused by
    `check_empty` the next time. StoreError: the database does not answer, or is full.
    """
    ordered = sorted(items, key=lambda i: i.rows, reverse=True)
    last = [i for i in ordered if i.table == "projection_position"]

    def loaded(item: TableItem) -> None:
        with _patient(dsn) as connection, connection.transaction():
            _load_table(connection, office_schema, item, chunks(path(item.path), tick))

    with ThreadPoolExecutor(JOBS, "restore") as pool:
        list(pool.map(loaded, [i for i in ordered if i not in last]))
    for item in last:
        loaded(item)
    with _patient(dsn) as connection:
        for table in (*PARTITIONED, *PLAIN):
            connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))


def check_empty(dsn: str, office_schema: str) -> tuple[int, str | None]:
    """(migrations, the office's), of a database that holds no decision and no account.

    InputError: it holds some. Its tables are made where they are missing, but for the office's.
    """
    with _patient(dsn) as connection:
        held = [t for t in (*PARTITIONED, *PLAIN[:-1]) if _holds(connection, None, t)]
        moved = int(_one(connection, "SELECT next_index FROM projection_position"))
        version = _office_version(connection, office_schema)
        if version is not None:
            held += [f"{office_schema}.{t}" for t in ("audit", "keys", "users", "cases")
                     if _holds(connection, office_schema, t)]  # fmt: skip
        if held or moved:
            raise InputError(
                f"the database of postgres.dsn is not empty ({', '.join(held) or 'its position'}): "
                "restore into a new one, or drop what is in it first; nothing was changed"
            )
        migrations = int(_one(connection, "SELECT count(*) FROM projection_migrations"))
        return migrations, version


@contextmanager
def _patient(dsn: str) -> Iterator[psycopg.Connection]:
    with closing(Session(dsn)) as session, session.connected() as connection:
        connection.execute(_PATIENT)
        yield connection


def _one(connection: psycopg.Connection, query: str) -> str:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return str(row[0])


def _holds(connection: psycopg.Connection, schema: str | None, table: str) -> bool:
    name = sql.Identifier(schema, table) if schema else sql.Identifier(table)
    row = connection.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(name)).fetchone()
    return bool(row and row[0])


def _projection(connection: psycopg.Connection) -> Iterator[_Table]:
    """The largest first, so that what takes long is begun early."""
    schema = _one(connection, "SELECT current_schema()")
    for table in ("decisions", *(t for t in PARTITIONED if t != "decisions")):
        rows = connection.execute(_PARTITIONS, (table,)).fetchall()
        for (name,) in rows:
            yield _Table(schema, PROJECTION, table, int(name.rpartition("_")[2]))
    for table in PLAIN:
        yield _Table(schema, PROJECTION, table)


def _office(connection: psycopg.Connection, schema: str) -> Iterator[_Table]:
    if _office_version(connection, schema) is None:
        return
    for (name,) in connection.execute(_TABLES, (schema,)).fetchall():
        if name != "alembic_version":
            yield _Table(schema, OFFICE, name)


def _office_version(connection: psycopg.Connection, schema: str) -> str | None:
    name = sql.Identifier(schema, "alembic_version")
    found = connection.execute("SELECT to_regclass(%s)", (name.as_string(connection),)).fetchone()
    if found is None or found[0] is None:
        return None
    row = connection.execute(sql.SQL("SELECT version_num FROM {}").format(name)).fetchone()
    return None if row is None else str(row[0])


def _dump_table(connection: psycopg.Connection, table: _Table, written: Writing) -> TableItem:
    name = sql.Identifier(table.schema, table.name)
    columns = tuple(
        row[0] for row in connection.execute(_COLUMNS, (table.schema, table.name)).fetchall()
    )
    file = _FILE.format(area=table.area, name=table.name)
    query = sql.SQL("COPY {} ({}) TO STDOUT (FORMAT binary)").format(name, _names(columns))
    with written.compressed(file) as write, connection.cursor() as cursor:
        buffer, size = list[bytes](), 0
        with cursor.copy(query) as copy:
            for row in copy:
                buffer.append(bytes(row))
                size += len(row)
                if size > _BUFFER_BYTES:
                    write(b"".join(buffer))
                    buffer, size = [], 0
        write(b"".join(buffer))
        rows = cursor.rowcount
    return TableItem(table.area, table.table, table.partition, columns, rows, file)


def _load_table(
    connection: psycopg.Connection, office_schema: str, item: TableItem, data: Iterator[bytes]
) -> None:
    name = _target(connection, office_schema, item)
    query = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(name, _names(item.columns))
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        for chunk in data:
            copy.write(chunk)
    if item.area == OFFICE:
        _count_on(connection, name, item)
    elif item.partition is not None:
        _attach(connection, item, name)
    elif item.table == "transaction_ids":
        connection.execute("ALTER TABLE transaction_ids ADD PRIMARY KEY (transaction_id)")


def _target(connection: psycopg.Connection, office_schema: str, item: TableItem) -> sql.Identifier:
    """Where the rows go, without what a new database has there and what would cost more row by
    row."""
    if item.partition is not None:
        return _detached(connection, item)
    name = sql.Identifier(item.table)
    if item.area == OFFICE:
        name = sql.Identifier(office_schema, item.table)
    if item.table in ("audit_head", "projection_position"):
        connection.execute(sql.SQL("DELETE FROM {}").format(name))
    if item.table == "transaction_ids":
        connection.execute("ALTER TABLE transaction_ids DROP CONSTRAINT transaction_ids_pkey")
    return name


def _detached(connection: psycopg.Connection, item: TableItem) -> sql.Identifier:
    """The partition as a table without indexes, which are made in one go when it is attached."""
    name = sql.Identifier(f"{item.table}_{item.partition}")
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))
    connection.execute(
        sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)").format(
            name, sql.Identifier(item.table)
        )
    )
    return name


def _attach(connection: psycopg.Connection, item: TableItem, name: sql.Identifier) -> None:
    number = item.partition or 0
    connection.execute(
        sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
            sql.Identifier(item.table), name, sql.Literal(number * PARTITION_ROWS),
            sql.Literal((number + 1) * PARTITION_ROWS),
        )
    )  # fmt: skip


def _count_on(connection: psycopg.Connection, name: sql.Identifier, item: TableItem) -> None:
    """Let numbers that the database gives go on behind those that were restored."""
    for column in item.columns:
        sequence = connection.execute(
            "SELECT pg_get_serial_sequence(%s, %s)", (name.as_string(connection), column)
        ).fetchone()
        if sequence and sequence[0] is not None:
            connection.execute(
                sql.SQL("SELECT setval({}, coalesce(max({}), 0) + 1, false) FROM {}").format(
                    sql.Literal(sequence[0]), sql.Identifier(column), name
                )
            )


def _names(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


_PARTITIONS = (
    "SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid "
    "WHERE i.inhparent = %s::regclass ORDER BY c.relname"
)
_TABLES = (
    "SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = %s AND c.relkind = 'r' ORDER BY c.relname"
)
_COLUMNS = (
    "SELECT a.attname FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid "
    "JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s "
    "AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
)
