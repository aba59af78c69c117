"""A store that was filled before it could be searched has, once opened, what a new one has."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.contracts.searched import World
from tests.contracts.storing import empty_schema, server

from alcyon.io.postgres import PostgresStore
from alcyon.io.postgres.partitions import PARTITION_ROWS
from alcyon.io.sqlite import SqliteStore

WORLD = World(seed=11, n=300)
OLD_ALERTS = (
    "sequence, transaction_id, event_time, action, score, amount_minor, currency, reason, status"
)
COMPARED = (
    "SELECT kind, word, event_time, sequence FROM {} ORDER BY 1, 2, 3, 4",
    "SELECT sequence, amount_base_minor, expected_loss_base_minor, status FROM {} ORDER BY 1",
    "SELECT * FROM {} ORDER BY 1, 2, 3, 4, 5, 6",
)
TABLES = ("decision_words", "alerts", "daily_decisions")


def fill(store: Any) -> None:
    for projected in WORLD.commits():
        store.write(projected)


def test_sqlite(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    with closing(SqliteStore(new)) as store:
        fill(store)
    with closing(sqlite3.connect(old)) as connection:
        for name in ("0001_projection.sql", "0002_hourly.sql"):
            connection.executescript((files("alcyon.io.sqlite") / name).read_text("utf-8"))
        connection.execute("ATTACH ? AS new", (str(new),))
        for table in ("transactions", "decisions", "hourly_decisions"):
            connection.execute(f"INSERT INTO {table} SELECT * FROM new.{table}")
        connection.execute(f"INSERT INTO alerts SELECT {OLD_ALERTS} FROM new.alerts")
        connection.execute("UPDATE alerts SET status = 'closed' WHERE sequence % 3 = 0")
        connection.execute("UPDATE new.alerts SET status = 'closed' WHERE sequence % 3 = 0")
        connection.execute("PRAGMA user_version = 2")
        connection.commit()
    SqliteStore(old).close()
    answers = []
    for path in (old, new):
        with closing(sqlite3.connect(path)) as connection:
            answers.append(
                [
                    connection.execute(query.format(table)).fetchall()
                    for query, table in zip(COMPARED, TABLES, strict=True)
                ]
            )
    assert answers[0] == answers[1]
    assert all(answers[0])


@pytest.fixture
def dsns(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    dsn = server(request)
    with empty_schema(dsn) as old, empty_schema(dsn) as new:
        yield old, new


def test_postgres(dsns: tuple[str, str]) -> None:
    old, new = dsns
    with closing(PostgresStore(new)) as store:
        fill(store)
    with psycopg.connect(new) as connection:
        (schema,) = connection.execute("SELECT current_schema()").fetchone() or ("",)
        connection.execute("UPDATE alerts SET status = 'closed' WHERE sequence % 3 = 0")
    with psycopg.connect(old) as connection:
        script = (files("alcyon.io.postgres") / "0001_projection.sql").read_text("utf-8")
        connection.execute(script.encode())
        for statement in (
            "CREATE TABLE projection_migrations (number integer PRIMARY KEY, name text NOT NULL)",
            "INSERT INTO projection_migrations VALUES (1, '0001_projection.sql')",
            *(
                f"CREATE TABLE {table}_{n} PARTITION OF {table} "
                f"FOR VALUES FROM ({n * PARTITION_ROWS}) TO ({(n + 1) * PARTITION_ROWS})"
                for table in ("transactions", "decisions", "alerts")
                for n in (0, 1)
            ),
            f"INSERT INTO transactions SELECT * FROM {schema}.transactions",
            f"INSERT INTO versions SELECT * FROM {schema}.versions",
            f"INSERT INTO decisions SELECT * FROM {schema}.decisions",
            f"INSERT INTO alerts SELECT {OLD_ALERTS} FROM {schema}.alerts",
            f"INSERT INTO hourly_decisions SELECT * FROM {schema}.hourly_decisions",
        ):
            connection.execute(statement.encode())
    with closing(PostgresStore(old)) as store:
        assert store.counts()["decisions"] == len(WORLD.paid)
    answers = []
    for dsn in (old, new):
        with psycopg.connect(dsn) as connection:
            answers.append(
                [
                    connection.execute(query.format(table).encode()).fetchall()
                    for query, table in zip(COMPARED, TABLES, strict=True)
                ]
            )
            (views,) = connection.execute("SELECT count(*) FROM anomalies").fetchone() or (0,)
            assert views == len(answers[-1][1])
    assert answers[0] == answers[1]
    assert all(answers[0])
