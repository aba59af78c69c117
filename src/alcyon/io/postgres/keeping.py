"""Keeping in Postgres: old partitions are dropped whole, what is erased is deleted row by row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from alcyon.domain.keeping import ENTITY_COLUMNS, Keeping, Removal
from alcyon.io.postgres.partitions import PARTITION_ROWS, PARTITIONED
from alcyon.io.postgres.session import Session

_FETCH = 10_000


class PostgresKeeping(Keeping):
    """On the database at `dsn`. Each change holds the lock of the one that writes."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn)

    def old(self, before_ms: int) -> Removal:
        """The partitions, from the first on, that are old as a whole and written to no more."""
        with self._looking() as connection:
            return _old(connection, before_ms)

    def drop_old(self, before_ms: int) -> Removal:
        """Drop them, and the ids of their transactions."""
        with self._changing() as connection:
            found = _old(connection, before_ms)
            for table in PARTITIONED:
                for name, number in _partitions(connection, table):
                    if (number + 1) * PARTITION_ROWS <= found.before_sequence:
                        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
            connection.execute(
                "DELETE FROM transaction_ids WHERE sequence < %s", (found.before_sequence,)
            )
        return found

    def next_sequence(self) -> int:
        """Behind the last that is stored."""
        query = " UNION ALL ".join(
            f"SELECT max(sequence) FROM {t}" for t in ("transactions", "labels", "dead_letters")
        )
        with self._session.connected() as connection:
            rows = connection.execute(query.encode()).fetchall()
        return max((row[0] + 1 for row in rows if row[0] is not None), default=0)

    def ids(self) -> Iterator[str]:
        """Every value of the entities' columns, once per column."""
        with self._looking() as connection:
            for column in ENTITY_COLUMNS:
                query = sql.SQL("SELECT DISTINCT {0} FROM transactions WHERE {0} IS NOT NULL")
                with connection.cursor("ids") as cursor:
                    cursor.itersize = _FETCH
                    for (value,) in cursor.execute(query.format(sql.Identifier(column))):
                        yield value

    def about(self, value: str, before_sequence: int) -> Removal:
        """What is stored about it."""
        with self._looking() as connection:
            return _selected(connection, value, before_sequence)

    def erase(self, value: str, before_sequence: int) -> Removal:
        """Delete it."""
        with self._changing() as connection:
            found = _selected(connection, value, before_sequence)
            for statement in _DELETE:
                connection.execute(statement.encode())
        return found

    def close(self) -> None:
        """Called once, last."""
        self._session.close()

    @contextmanager
    def _looking(self) -> Iterator[psycopg.Connection]:
        with self._session.connected() as connection, connection.transaction():
            connection.execute("SET LOCAL statement_timeout = 0")
            yield connection

    @contextmanager
    def _changing(self) -> Iterator[psycopg.Connection]:
        with self._looking() as connection:
            connection.execute("SELECT next_index FROM projection_position FOR UPDATE")
            yield connection


def _partitions(connection: psycopg.Connection, table: str) -> list[tuple[str, int]]:
    found = connection.execute(_ATTACHED, (table,)).fetchall()
    return sorted(((n, int(n.rpartition("_")[2])) for (n,) in found), key=lambda p: p[1])


def _old(connection: psycopg.Connection, before_ms: int) -> Removal:
    by_number: dict[int, dict[str, str]] = {}
    for table in PARTITIONED:
        for name, number in _partitions(connection, table):
            by_number.setdefault(number, {})[table] = name
    written = max((n for n, p in by_number.items() if _is_used(connection, p)), default=-1)
    rows, before = dict.fromkeys(PARTITIONED, 0), 0
    for number in sorted(by_number):
        names = by_number[number]
        if number >= written or not _is_old(connection, names, before_ms):
            break
        before = (number + 1) * PARTITION_ROWS
        for table, name in names.items():
            count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))
            rows[table] += _value(connection, count) or 0
    ids = sql.SQL("SELECT count(*) FROM transaction_ids WHERE sequence < {}")
    rows["transaction_ids"] = _value(connection, ids.format(sql.Literal(before))) or 0
    return Removal(before, rows)


def _is_used(connection: psycopg.Connection, names: dict[str, str]) -> bool:
    """Whether anything is in these partitions: some are made ahead."""
    return any(
        _value(connection, sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(name)))
        for name in names.values()
    )


def _is_old(connection: psycopg.Connection, names: dict[str, str], before_ms: int) -> bool:
    for table, column in (("decisions", "event_time"), ("labels", "labelled_at")):
        if table in names:
            newest = sql.SQL("SELECT max({}) FROM {}").format(
                sql.Identifier(column), sql.Identifier(names[table])
            )
            if (found := _value(connection, newest)) is not None and found >= before_ms:
                return False
    return True


def _value(connection: psycopg.Connection, query: sql.Composed) -> int | None:
    row = connection.execute(query).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def _selected(connection: psycopg.Connection, value: str, before_sequence: int) -> Removal:
    """Note what is to be erased in tables of this transaction; what that is."""
    named = {"value": value, "before": before_sequence}
    for statement in _SELECT:
        connection.execute(statement.encode(), named)
    ids = connection.execute("SELECT transaction_id FROM erased ORDER BY sequence").fetchall()
    rows = {}
    for table, is_of in _OF_ERASED.items():
        query = f"SELECT count(*) FROM {table} AS x WHERE {is_of}"
        found = connection.execute(query.encode()).fetchone()
        rows[table] = int(found[0]) if found else 0
    return Removal(before_sequence, rows, tuple(row[0] for row in ids))


_ATTACHED = (
    "SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid "
    "WHERE i.inhparent = %s::regclass"
)
_SELECT = (
    "CREATE TEMPORARY TABLE erased ON COMMIT DROP AS "
    "SELECT sequence, transaction_id FROM transactions WHERE sequence < %(before)s AND ("
    + " OR ".join(f"{column} = %(value)s" for column in ENTITY_COLUMNS)
    + ")",
    "CREATE INDEX ON erased (sequence)",
    "CREATE INDEX ON erased (transaction_id)",
    "ANALYZE erased",
    "CREATE TEMPORARY TABLE erased_letters ON COMMIT DROP AS SELECT sequence FROM dead_letters "
    "WHERE sequence < %(before)s AND (position(convert_to(%(value)s, 'UTF8') IN payload) > 0 "
    "OR position(%(value)s IN detail) > 0)",
)
_BY_SEQUENCE = "sequence IN (SELECT sequence FROM erased)"
_BY_ID = "transaction_id IN (SELECT transaction_id FROM erased)"
_OF_ERASED = {
    "transactions": _BY_SEQUENCE,
    "decisions": _BY_SEQUENCE,
    "decision_words": _BY_SEQUENCE,
    "alerts": _BY_SEQUENCE,
    "labels": _BY_ID,
    "transaction_ids": _BY_ID,
    "dead_letters": "sequence IN (SELECT sequence FROM erased_letters)",
}
_DELETE = [f"DELETE FROM {table} WHERE {is_of}" for table, is_of in _OF_ERASED.items()]
