"""The SQLite store: what only it has."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import msgspec
import numpy as np
import pytest

from alcyon.codecs.decisions import encode
from alcyon.domain.alert import alert
from alcyon.domain.columns import NULL_INT, Batch, Strings
from alcyon.domain.decision import Decision, Versions
from alcyon.domain.projected import Projected, StoreError, decision_rows
from alcyon.domain.transaction import COLUMNS
from alcyon.io.sqlite import SqliteStore

NO_LABELS, NONE = Batch({}), np.empty(0, np.int64)


def write(store: SqliteStore, batch: Batch, action: str = "REVIEW") -> None:
    """The batch as the first commit, decided throughout by `action`."""
    ids = [str(i) for i in batch.strings("transaction_id").to_list()]
    versions = Versions("1", "c", "r", "l", "p", "m", "t")
    decisions = [
        Decision(s, i, 5, action, None, None, {}, (), (), (), (), b"", versions)
        for s, i in enumerate(ids)
    ]
    alerts = [alert(d, 1, "EUR") for d in decisions if action != "APPROVE"]
    positions = np.arange(len(ids)) + 100
    rows = decision_rows(encode(decisions))
    store.write(Projected(0, 1, [batch], positions, rows, NO_LABELS, NONE, alerts, []))


def batch_of(n: int) -> Batch:
    """n transactions with a card and a place that is null in every second one."""
    return Batch(
        {
            "transaction_id": Strings.from_list([f"t{i}" for i in range(n)]),
            "event_time": np.arange(n) + 5,
            "amount_minor": np.full(n, 7, np.int64),
            "currency": Strings.from_list(["EUR"] * n),
            "card_id": Strings.from_list([None if i % 2 else f"c{i}" for i in range(n)]),
            "latitude": np.array([np.nan if i % 2 else 1.5 for i in range(n)]),
            "utc_offset_minutes": np.array([NULL_INT if i % 2 else 60 for i in range(n)]),
        }
    )


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.execute(sql))


def test_the_table_has_every_canonical_column(tmp_path: Path) -> None:
    path = tmp_path / "s"
    SqliteStore(path).close()
    columns = [row[1] for row in query(path, "PRAGMA table_info(transactions)")]
    assert columns == ["sequence", "position", *COLUMNS]


def test_nulls_of_every_kind_are_null_and_values_are_values(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "s")) as store:
        write(store, batch_of(2))
    sql = (
        "SELECT sequence, position, transaction_id, card_id, latitude, utc_offset_minutes, "
        "merchant_id FROM transactions ORDER BY sequence"
    )
    assert query(tmp_path / "s", sql) == [
        (0, 100, "t0", "c0", 1.5, 60, None),
        (1, 101, "t1", None, None, None, None),
    ]


def test_anomalies_are_all_that_was_not_approved(tmp_path: Path) -> None:
    for action, expected in (("APPROVE", 0), ("STEP_UP", 3), ("REVIEW", 3), ("DECLINE", 3)):
        path = tmp_path / action
        with closing(SqliteStore(path)) as store:
            write(store, batch_of(3), action)
        rows = query(path, "SELECT action, status, amount_minor, reason FROM anomalies")
        assert rows == [(action, "open", 7, "score")] * expected


def test_an_alert_that_an_analyst_moved_on_stays_so_when_commits_are_read_again(
    tmp_path: Path,
) -> None:
    with closing(SqliteStore(tmp_path / "s")) as store:
        write(store, batch_of(3))
        with closing(sqlite3.connect(tmp_path / "s")) as analyst, analyst:
            analyst.execute("UPDATE alerts SET status = 'closed' WHERE sequence = 1")
        write(store, batch_of(3))
    assert query(tmp_path / "s", "SELECT status FROM alerts ORDER BY sequence") == [
        ("open",), ("closed",), ("open",),
    ]  # fmt: skip


def test_json_columns_are_understood_by_sqlite(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "s")) as store:
        write(store, batch_of(1))
    sql = "SELECT json_extract(versions, '$.model'), json_array_length(codes) FROM decisions"
    assert query(tmp_path / "s", sql) == [("m", 0)]


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        ("SELECT * FROM transactions WHERE transaction_id = 'x'", "transactions_transaction_id"),
        ("SELECT * FROM hourly_decisions WHERE hour_ms BETWEEN 1 AND 2", "PRIMARY KEY"),
        ("SELECT * FROM daily_decisions WHERE day_ms BETWEEN 1 AND 2", "PRIMARY KEY"),
        ("SELECT * FROM transactions WHERE card_id = 'x' ORDER BY event_time DESC", "_card_id"),
        ("SELECT * FROM transactions WHERE event_time > 5", "transactions_event_time"),
        (
            "SELECT * FROM alerts WHERE status = 'open' ORDER BY expected_loss_base_minor",
            "alerts_status",
        ),
        ("SELECT * FROM labels WHERE transaction_id = 'x'", "labels_transaction_id"),
        ("SELECT * FROM anomalies WHERE event_time > 5", "decisions_not_approved"),
    ],
)
def test_a_look_up_uses_its_index(tmp_path: Path, sql: str, index: str) -> None:
    SqliteStore(tmp_path / "s").close()
    plan = " ".join(str(row[3]) for row in query(tmp_path / "s", "EXPLAIN QUERY PLAN " + sql))
    assert index in plan
    assert "TEMP B-TREE" not in plan


def test_counts_of_a_store_made_before_they_were_kept_are_those_of_its_rows(tmp_path: Path) -> None:
    path, old = tmp_path / "s", files("alcyon.io.sqlite") / "0001_projection.sql"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(old.read_text("utf-8"))
        paid = (("APPROVE", 1), ("REVIEW", 1), ("REVIEW", 1), ("REVIEW", 22))
        for s, (action, hour) in enumerate(paid):
            at = hour * 3_600_000 + 1
            connection.execute(
                "INSERT INTO transactions (sequence, position, transaction_id, event_time, "
                "amount_minor, currency, country, amount_base_minor) "
                f"VALUES (?, 0, ?, {at}, 5, 'EUR', 'FR', 5)",
                (s, f"t{s}"),
            )
            connection.execute(
                f"INSERT INTO decisions VALUES (?, ?, {at}, ?, NULL, NULL, '{{}}', '[]', '[]', "
                "'[]', '[]', x'', '{\"model\": \"m\"}', 'null', 1000000)",
                (s, f"t{s}", action),
            )
        connection.execute("UPDATE projection_position SET next_index = 1")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    with closing(SqliteStore(path)) as store:
        assert store.next_index() == 1
        assert [
            (*msgspec.structs.astuple(h.cell), h.decision_count) for h in store.hourly(0, 10**9)
        ] == [
            (3_600_000, "FR", "", "APPROVE", "score", "m", 1),
            (3_600_000, "FR", "", "REVIEW", "score", "m", 2),
            (22 * 3_600_000, "FR", "", "REVIEW", "score", "m", 1),
        ]
    assert query(path, "SELECT * FROM daily_decisions") == [
        (0, "FR", "", "APPROVE", "score", "m", 1, 5),
        (0, "FR", "", "REVIEW", "score", "m", 3, 15),
    ]


def test_a_database_of_a_newer_alcyon_is_refused(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "s").close()
    query(tmp_path / "s", "PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer"):
        SqliteStore(tmp_path / "s")


def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match="not a database"):
        SqliteStore(tmp_path / "s")


def test_while_another_writes_a_write_waits_and_reading_goes_on(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "s")) as store:
        with closing(sqlite3.connect(tmp_path / "s")) as other:
            other.execute("BEGIN IMMEDIATE")
            assert store.next_index() == 0
            other.rollback()
        write(store, batch_of(1))
        assert store.next_index() == 1


def test_a_write_that_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "s")) as store:
        query(
            tmp_path / "s",
            "CREATE TRIGGER full BEFORE INSERT ON alerts BEGIN SELECT RAISE(ABORT, 'full'); END",
        )
        with pytest.raises(StoreError, match="full; nothing was stored"):
            write(store, batch_of(3))
        assert (store.next_index(), set(store.counts().values())) == (0, {0})
        query(tmp_path / "s", "DROP TRIGGER full")
        write(store, batch_of(3))
        assert store.counts()["alerts"] == 3
