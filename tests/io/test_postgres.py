"""The Postgres store: what only it has."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from tests.contracts.storing import (
    TABLES,
    RandomLog,
    decision,
    empty_schema,
    projected,
    server,
    transactions_of,
)

from alcyon.domain.columns import NULL_INT, Batch, Strings
from alcyon.domain.decision import Reason
from alcyon.domain.projected import StoreError
from alcyon.domain.record import DeadLetter
from alcyon.domain.transaction import COLUMNS
from alcyon.io.memory import MemoryStore
from alcyon.io.postgres import PostgresStore
from alcyon.io.postgres.partitions import PARTITION_ROWS

EVER = (0, 2**62)
OUTAGE = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {how}; RETURN NEW; END $$;
CREATE TRIGGER fail BEFORE INSERT ON alerts FOR EACH ROW EXECUTE FUNCTION fail()"""
KILLED = "PERFORM pg_terminate_backend(pg_backend_pid())"
FULL = "RAISE 'no space left on device' USING ERRCODE = 'disk_full'"


@pytest.fixture
def dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    with empty_schema(server(request)) as made:
        yield made


@pytest.fixture
def store(dsn: str) -> Iterator[PostgresStore]:
    with closing(PostgresStore(dsn)) as made:
        yield made


def query(dsn: str, statements: str) -> list[tuple[Any, ...]]:
    """The rows of the last statement that has any."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statements.encode())
        while cursor.nextset():
            pass
        return cursor.fetchall() if cursor.description else []


def some(index: int = 0) -> Any:
    """A commit with an approved and a declined transaction."""
    return projected(
        index,
        [decision(index * 10, f"a{index}"), decision(index * 10 + 1, f"b{index}", "DECLINE")],
    )


def test_the_table_has_every_canonical_column(dsn: str, store: PostgresStore) -> None:
    store.next_index()
    rows = query(
        dsn,
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'transactions' "
        "AND table_schema = current_schema() ORDER BY ordinal_position",
    )
    assert [row[0] for row in rows] == ["sequence", "position", *COLUMNS]


def test_nulls_of_every_kind_are_null_and_values_are_values(dsn: str, store: PostgresStore) -> None:
    decisions = [decision(0, "t0"), decision(1, "té")]
    columns = {
        **transactions_of(decisions).columns,
        "card_id": Strings.from_list(["", None]),
        "latitude": np.array([1.5, np.nan]),
        "utc_offset_minutes": np.array([-60, NULL_INT]),
        "amount_base_minor": np.array([-(2**62), NULL_INT]),
    }
    store.write(projected(0, decisions, [Batch(columns)]))
    assert query(
        dsn,
        "SELECT sequence, position, transaction_id, card_id, latitude, utc_offset_minutes, "
        "amount_base_minor, merchant_id FROM transactions ORDER BY sequence",
    ) == [(0, 0, "t0", "", 1.5, -60, -(2**62), None), (1, 1, "té", None, None, None, None, None)]
    assert query(dsn, "SELECT is_fraud, fraud_type FROM labels") == [(True, None)]


def test_anomalies_are_all_that_was_not_approved(dsn: str, store: PostgresStore) -> None:
    for index, action in enumerate(("APPROVE", "STEP_UP", "REVIEW", "DECLINE")):
        store.write(projected(index, [decision(index * 10, action, action)]))
    rows = query(
        dsn,
        "SELECT action, status, amount_minor, reason, model, event_at AT TIME ZONE 'UTC' "
        "= timestamp '2001-09-09 01:46:40' + (event_time - 1000000000000) * interval '1 ms' "
        "FROM anomalies ORDER BY sequence",
    )
    expected = ("open", 990, "late_transaction", "m", True)
    assert rows == [(action, *expected) for action in ("STEP_UP", "REVIEW", "DECLINE")]


def test_an_alert_that_an_analyst_moved_on_stays_so_when_commits_are_read_again(
    dsn: str, store: PostgresStore
) -> None:
    store.write(some())
    query(dsn, "UPDATE alerts SET status = 'closed'")
    store.write(some())
    assert query(dsn, "SELECT status FROM alerts") == [("closed",)]


def test_json_columns_are_understood_by_postgres(dsn: str, store: PostgresStore) -> None:
    store.write(some())
    assert query(
        dsn,
        "SELECT rule_hits ->> 1, reasons -> 0 ->> 'code', (members ->> 'trees')::float8 "
        "FROM decisions WHERE codes ? 'late_transaction' AND action = 'DECLINE'",
    ) == [("r2", "velocity", 0.25)]


def test_what_postgres_cannot_hold_is_replaced_and_stops_nothing(store: PostgresStore) -> None:
    decided = decision(0, "a")
    odd = msgspec.structs.replace(decided, reasons=(Reason("a\0b", None, None, 0.5),))
    letter = DeadLetter(5, "TRANSACTIONS", 1, "r", "a\0b\t\\", b"\0\xff")
    store.write(replace(projected(0, [odd]), dead_letters=[letter]))
    found = store.decision("a")
    assert found is not None
    assert found.reasons[0].code == "a\ufffdb"
    assert store.counts()["dead_letters"] == 1


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        ("SELECT * FROM transaction_ids WHERE transaction_id = 'x'", "transaction_ids_pkey"),
        ("SELECT * FROM transactions WHERE card_id = 'x' ORDER BY event_time DESC", "card_id"),
        ("SELECT * FROM decisions WHERE event_time > 5 ORDER BY event_time", "event_time_idx"),
        (
            "SELECT * FROM alerts WHERE status = 'open' ORDER BY expected_loss_base_minor",
            "status_expected",
        ),
        ("SELECT * FROM labels WHERE transaction_id = 'x'", "transaction_id_idx"),
        ("SELECT * FROM anomalies WHERE event_time > 5", "event_time_action_score"),
        ("SELECT * FROM hourly_decisions WHERE hour_ms > 5", "hourly_decisions_pkey"),
        ("SELECT * FROM daily_decisions WHERE day_ms > 5", "daily_decisions_pkey"),
    ],
)
def test_a_look_up_uses_its_index(dsn: str, store: PostgresStore, sql: str, index: str) -> None:
    store.write(some())
    settings = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; "
    with psycopg.connect(dsn) as connection:
        connection.execute(settings.encode())
        plan = [row[0] for row in connection.execute(b"EXPLAIN " + sql.encode())]
    assert index in "\n".join(plan)
    assert "-> Sort" not in "".join(plan).replace("  ", " ")


def test_any_number_may_open_an_empty_database_at_once(dsn: str) -> None:
    stores = [PostgresStore(dsn) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(PostgresStore.next_index, stores)) == [0] * 6
    for made in stores:
        made.close()
    assert query(dsn, "SELECT number, name FROM projection_migrations") == [
        (1, "0001_projection.sql"),
        (2, "0002_search.sql"),
        (3, "0003_daily.sql"),
    ]


def test_a_database_of_a_newer_alcyon_is_refused(dsn: str, store: PostgresStore) -> None:
    store.next_index()
    query(dsn, "INSERT INTO projection_migrations VALUES (99, 'x')")
    with closing(PostgresStore(dsn)) as older, pytest.raises(StoreError, match="newer"):
        older.next_index()


def test_it_says_who_it_is(dsn: str, store: PostgresStore) -> None:
    store.next_index()
    names = query(dsn, "SELECT application_name FROM pg_stat_activity")
    assert ("alcyon",) in names


@pytest.mark.parametrize(
    ("how", "said"), [(KILLED, "terminating connection"), (FULL, "no space left")]
)
def test_an_outage_in_the_middle_of_a_write_leaves_nothing_and_a_later_call_succeeds(
    dsn: str, store: PostgresStore, how: str, said: str
) -> None:
    store.next_index()
    query(dsn, OUTAGE.format(how=how))
    for _ in range(2):
        with pytest.raises(StoreError, match=f"{said}.*; nothing was stored"):
            store.write(some())
    assert (store.next_index(), store.counts()) == (0, dict.fromkeys(TABLES, 0))
    assert store.hourly(*EVER) == []
    query(dsn, "DROP TRIGGER fail ON alerts")
    store.write(some())
    assert store.counts() == {**dict.fromkeys(TABLES, 1), "transactions": 2, "decisions": 2}


def test_a_connection_lost_while_it_commits_leaves_the_write_in_doubt(
    dsn: str, store: PostgresStore
) -> None:
    store.next_index()
    deferred = OUTAGE.format(how=KILLED).replace("CREATE TRIGGER", "CREATE CONSTRAINT TRIGGER")
    deferred = deferred.replace("BEFORE INSERT ON alerts", "AFTER UPDATE ON projection_position")
    query(dsn, deferred.replace("FOR EACH", "DEFERRABLE INITIALLY DEFERRED FOR EACH"))
    with pytest.raises(StoreError, match="in doubt"):
        store.write(some())
    assert store.next_index() == 0


def test_a_write_that_was_interrupted_leaves_nothing_behind_in_memory_either(
    store: PostgresStore,
) -> None:
    class Interrupted(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write(replace(some(), alerts=Interrupted()))
    assert store.next_index() == 0
    store.write(some())
    assert store.decision("a0") == decision(0, "a0")


def test_killed_at_any_moment_it_ends_with_everything_once(dsn: str, store: PostgresStore) -> None:
    log, memory, rng, killed = RandomLog(3, 60), MemoryStore(), random.Random(3), 0
    memory.write(log.run(0, 60))
    done = threading.Event()

    def kill() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not done.is_set():
                time.sleep(rng.uniform(0.02, 0.2))
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> "
                    "pg_backend_pid() AND application_name = 'killed'"
                )

    with (
        closing(PostgresStore(make_conninfo(dsn, application_name="killed"))) as victim,
        ThreadPoolExecutor(1) as pool,
    ):
        killer = pool.submit(kill)
        try:
            while (at := step(victim, log)) is None or at < 60:
                killed += at is None
        finally:
            done.set()
        killer.result()
    assert store.counts() == memory.counts()
    assert store.hourly(*EVER) == memory.hourly(*EVER)


def step(store: PostgresStore, log: RandomLog) -> int | None:
    """Write the next commits, and one that is there; where the store was, None in an outage."""
    try:
        at = store.next_index()
        store.write(log.run(max(0, at - 1), min(at + 3, len(log.commits))))
    except StoreError:
        return None
    return at


def test_two_that_write_at_once_write_everything_once(dsn: str, store: PostgresStore) -> None:
    log, memory = RandomLog(5, 60), MemoryStore()
    memory.write(log.run(0, 60))

    def drain(_: int) -> int:
        with closing(PostgresStore(dsn)) as made:
            steps = 0
            while (at := step(made, log)) is None or at < 60:
                assert at is not None
                steps += 1
            return steps

    with ThreadPoolExecutor(3) as pool:
        steps = list(pool.map(drain, range(3)))
    assert sum(steps) > 20
    assert store.counts() == memory.counts()
    assert store.hourly(*EVER) == memory.hourly(*EVER)
    assert query(dsn, "SELECT count(*) FROM transaction_ids") == [(len(log.ids),)]


def test_a_write_waits_for_the_one_before(dsn: str, store: PostgresStore) -> None:
    store.next_index()
    with psycopg.connect(dsn) as other, ThreadPoolExecutor(1) as pool:
        other.execute("SELECT * FROM projection_position FOR UPDATE")
        waiting = pool.submit(store.write, some())
        time.sleep(0.3)
        assert not waiting.done()
        other.rollback()
        waiting.result(timeout=10)
    assert store.next_index() == 1


def test_partitions_are_made_ahead_and_readers_do_not_hold_that_up(
    dsn: str, store: PostgresStore
) -> None:
    store.write(some())
    with psycopg.connect(dsn) as reader:
        reader.execute("SELECT * FROM decisions").fetchall()
        store.write(projected(1, [decision(5 * PARTITION_ROWS - 1, "x"), decision(10**12, "y")]))
        reader.rollback()
    attached = query(
        dsn, "SELECT relname FROM pg_class WHERE relispartition AND relname ~ '^decisions_[0-9]+$'"
    )
    wanted = {0, 1, 4, 5, 10**12 // PARTITION_ROWS, 10**12 // PARTITION_ROWS + 1}
    assert {int(row[0].split("_")[1]) for row in attached} == wanted
    assert store.decision("y") == decision(10**12, "y")


def test_a_partition_that_was_dropped_is_made_anew_when_it_is_written_again(
    dsn: str, store: PostgresStore
) -> None:
    store.write(some())
    query(dsn, "; ".join(f"DROP TABLE {table}_0" for table in TABLES))
    with pytest.raises(StoreError, match="no partition"):
        store.write(some(1))
    store.write(some(1))
    assert store.counts()["decisions"] == 2


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def test_a_server_that_is_down_is_told_by_host_and_setting(dsn: str) -> None:
    port = free_port()
    down = make_conninfo(dsn, host="127.0.0.1", port=port, password="s3cret")
    assert_told(down, f"127.0.0.1:{port}/")


def test_an_unknown_database_is_told(dsn: str) -> None:
    assert_told(make_conninfo(dsn, dbname="nowhere"), 'database "nowhere" does not exist')


def test_a_wrong_password_is_told(dsn: str) -> None:
    assert_told(make_conninfo(dsn, password="s3cret"), "password authentication failed")


@pytest.mark.parametrize(
    "malformed",
    ["postgresql:/u:s3cret@h/d", "s3cret", "postgresql://u:s3cret@h:port/d", "host=h s3cret=x"],
)
def test_a_setting_that_is_no_dsn_is_told_without_its_value(malformed: str) -> None:
    assert_told(malformed, "postgres")


def assert_told(dsn: str, part: str) -> None:
    """One line that names setting and part, never the password."""
    with closing(PostgresStore(dsn)) as store, pytest.raises(StoreError) as told:
        store.next_index()
    message = str(told.value)
    assert part in message
    assert "postgres.dsn" in message
    assert "s3cret" not in message
    assert "\n" not in message
    cause: BaseException | None = told.value
    while cause := (cause.__cause__ if cause else None):
        assert "s3cret" not in str(cause)
