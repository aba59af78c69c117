"""What every store does, whatever keeps the tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import numpy as np
import psycopg
import pytest

from alcyon.domain.columns import Batch
from alcyon.domain.decision import Decision
from alcyon.domain.hourly import Cell, Hourly
from alcyon.domain.ports import Store
from alcyon.domain.projected import StoreError
from alcyon.io.memory import MemoryStore
from alcyon.io.postgres import PostgresStore
from alcyon.io.sqlite import SqliteStore
from tests.contracts.discovery import implementers
from tests.contracts.storing import (
    HOUR_MS,
    TABLES,
    RandomLog,
    decision,
    empty_schema,
    opened,
    projected,
    server,
    transactions_of,
)


@pytest.fixture(params=sorted(implementers(Store), key=str))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request.param, tmp_path, partial(server, request)) as made:
        yield made


ROWS = {"transactions": 2, "decisions": 2, "labels": 1, "alerts": 1, "dead_letters": 1}
EVER = (0, 2**62)


def test_an_empty_store_begins_at_the_first_commit(store: Store) -> None:
    assert store.next_index() == 0
    assert store.counts() == dict.fromkeys(TABLES, 0)
    assert store.decision("a") is None
    assert store.decisions_of_card("a", 9) == []
    assert store.decisions_between(*EVER, 9) == []
    assert store.hourly(*EVER) == []


def test_a_commit_is_stored_as_rows_and_the_decision_comes_back_whole(store: Store) -> None:
    decisions = [decision(0, "a"), decision(1, "b", "DECLINE")]
    store.write(projected(0, decisions))
    assert store.counts() == ROWS
    assert store.next_index() == 1
    assert [store.decision(d.transaction_id) for d in decisions] == decisions


def test_decisions_on_some_transactions_are_those_that_are_stored(store: Store) -> None:
    decisions = [decision(0, "a"), decision(1, "b", "DECLINE"), decision(2, "c")]
    store.write(projected(0, decisions))
    found = store.decisions_on(["c", "nobody's", "a", "a"])
    assert sorted(s.decision.transaction_id for s in found) == ["a", "c"]
    assert {s.transaction["transaction_id"]: s.decision for s in found} == {
        "a": decisions[0], "c": decisions[2],
    }  # fmt: skip
    assert store.decisions_on([]) == []


def test_a_repeated_write_changes_nothing(store: Store) -> None:
    decisions = [decision(0, "a"), decision(1, "b", "DECLINE")]
    store.write(projected(0, decisions))
    counted = store.hourly(*EVER)
    store.write(projected(0, decisions))
    assert (store.counts(), store.next_index()) == (ROWS, 1)
    assert store.hourly(*EVER) == counted
    assert sum(h.decision_count for h in counted) == 2


def test_an_older_write_does_not_move_the_position_back(store: Store) -> None:
    store.write(projected(0, [decision(0, "a")]))
    store.write(projected(1, [decision(10, "b")]))
    store.write(projected(0, [decision(0, "a")]))
    assert store.next_index() == 2


def test_a_gap_is_refused_and_nothing_is_stored(store: Store) -> None:
    with pytest.raises(StoreError, match="cannot follow"):
        store.write(projected(1, [decision(0, "a")]))
    assert (store.next_index(), store.counts()["decisions"]) == (0, 0)
    store.write(projected(0, [decision(0, "a")]))
    assert store.next_index() == 1


def test_the_first_decision_on_a_transaction_is_kept_and_a_repeat_alerts_nobody(
    store: Store,
) -> None:
    store.write(projected(0, [decision(0, "a")]))
    store.write(projected(1, [decision(9, "a", "REVIEW"), decision(10, "b", "REVIEW")]))
    assert store.decision("a") == decision(0, "a")
    counts = store.counts()
    assert (counts["transactions"], counts["decisions"], counts["alerts"]) == (2, 2, 1)
    assert store.next_index() == 2
    assert sum(h.decision_count for h in store.hourly(*EVER)) == 2


def test_of_two_decisions_on_a_transaction_in_one_write_the_first_is_kept(store: Store) -> None:
    decisions = [decision(0, "a"), decision(1, "b"), decision(2, "a", "DECLINE"), decision(3, "c")]
    parts = [transactions_of(decisions[:3]), transactions_of(decisions[3:])]
    store.write(projected(0, decisions, parts))
    assert store.decision("a") == decisions[0]
    assert store.counts() == ROWS | {"transactions": 3, "decisions": 3, "alerts": 0}


def test_a_transaction_comes_back_with_the_columns_that_it_has(store: Store) -> None:
    decided = decision(7, "a")
    more = {"latitude": np.array([-0.1]), "utc_offset_minutes": np.array([-60])}
    store.write(projected(0, [decided], [Batch({**transactions_of([decided]).columns, **more})]))
    (stored,) = store.decisions_of_card("card-a", 9)
    assert stored.decision == decided
    assert stored.transaction == {
        "transaction_id": "a", "event_time": 10**12 + 7, "amount_minor": 990, "currency": "EUR",
        "card_id": "card-a", "latitude": -0.1, "utc_offset_minutes": -60,
    }  # fmt: skip


def test_counts_of_an_hour_are_told_by_what_they_are_counted_by(store: Store) -> None:
    decided = decision(0, "a", "REVIEW")
    more = {"amount_base_minor": np.array([10**15])}
    store.write(projected(0, [decided], [Batch({**transactions_of([decided]).columns, **more})]))
    hour = decided.event_time // HOUR_MS * HOUR_MS
    cell = Cell(hour, "", "", "REVIEW", "late_transaction", "m")
    assert store.hourly(hour, hour) == [Hourly(cell, 1, 10**15)]
    assert store.hourly(hour + 1, hour + HOUR_MS - 1) == []


@pytest.mark.parametrize(("n", "amount"), [(9_000, 10**15 - 1), (10_000, 10**15)])
def test_sums_of_the_largest_amounts_are_exact(store: Store, n: int, amount: int) -> None:
    decisions = [decision(s, f"t{s}") for s in range(n)]
    more = {"amount_base_minor": np.full(n, amount)}
    parts = [Batch({**transactions_of(decisions).columns, **more})]
    store.write(projected(0, decisions, parts))
    assert sum(h.amount_base_minor_sum for h in store.hourly(*EVER)) == n * amount


@pytest.fixture
def alike(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[dict[type, Store], Callable[[type, str], list[tuple[object, ...]]]]]:
    """One store of each kind, and a way to ask those that speak SQL."""
    with ExitStack() as stack:
        dsn = stack.enter_context(empty_schema(server(request)))
        stores: dict[type, Store] = {
            PostgresStore: PostgresStore(dsn),
            SqliteStore: SqliteStore(tmp_path / "s"),
            MemoryStore: MemoryStore(),
        }
        for made in stores.values():
            stack.enter_context(closing(made))

        def ask(kind: type, query: str) -> list[tuple[object, ...]]:
            if kind is PostgresStore:
                with psycopg.connect(dsn) as connection:
                    return connection.execute(query.encode()).fetchall()
            with closing(sqlite3.connect(tmp_path / "s")) as connection:
                return list(connection.execute(query))

        yield stores, ask


@pytest.mark.parametrize("seed", range(12))
def test_random_writes_with_repeats_and_overlaps_leave_all_stores_alike(
    alike: tuple[dict[type, Store], Callable[[type, str], list[tuple[object, ...]]]], seed: int
) -> None:
    stores, ask = alike
    assert set(stores) == implementers(Store)
    log = RandomLog(seed, 15)
    for run in log.runs():
        for made in stores.values():
            made.write(run)
        assert len({made.next_index() for made in stores.values()}) == 1
    expected = first_decisions(log)
    for made in stores.values():
        assert {name: made.decision(name) for name in log.ids} == expected
    answers = [answers_of(made) for made in stores.values()]
    assert answers[0] == answers[1] == answers[2]
    for kind in (PostgresStore, SqliteStore):
        for step_ms, rolled_up in ((HOUR_MS, _HOURLY), (24 * HOUR_MS, _DAILY)):
            assert sorted(ask(kind, grouped(kind, step_ms))) == sorted(ask(kind, rolled_up))


def first_decisions(log: RandomLog) -> dict[str, Decision]:
    """By id, straight from the commits."""
    found: dict[str, Decision] = {}
    memory = MemoryStore()
    for index in range(len(log.commits)):
        memory.write(log.run(index, index + 1))
    for name in sorted(log.ids):
        decided = memory.decision(name)
        assert decided is not None
        found[name] = decided
    rows = (d for commit in log.commits for d in commit.decisions)
    firsts: dict[str, int] = {}
    for row in rows:
        firsts.setdefault(row.transaction_id, row.sequence)
    assert {name: d.sequence for name, d in found.items()} == firsts
    return found


def answers_of(made: Store) -> list[object]:
    """What a store says to every kind of question."""
    answers: list[object] = [made.counts()]
    for card in ("c1", "c\\3", "nobody"):
        answers += [made.decisions_of_card(card, limit) for limit in (1, 4, 99)]
    for first, last in (EVER, (10**12 + HOUR_MS, 10**12 + 2 * HOUR_MS)):
        answers += [made.decisions_between(first, last, limit) for limit in (1, 5, 999)]
        answers.append(made.hourly(first, last))
    return answers


_HOURLY, _DAILY = (
    f"SELECT {name}_ms, country, category, action, reason, model, "
    f"decision_count, amount_base_minor_sum FROM {table}"
    for name, table in (("hour", "hourly_decisions"), ("day", "daily_decisions"))
)


def grouped(kind: type, step_ms: int) -> str:
    """The same from the rows, as an analyst would ask."""
    if kind is PostgresStore:
        first_code, model = "d.codes ->> 0", "v.versions ->> 'model'"
        join = "JOIN versions AS v USING (versions_id)"
        heaviest = (
            "(SELECT r ->> 'code' FROM jsonb_array_elements(d.reasons) AS r "
            "WHERE r ->> 'code' NOT IN ('base_rate', 'other_features') "
            "ORDER BY (r ->> 'log_odds')::float8 DESC LIMIT 1)"
        )
    else:
        first_code, model = "json_extract(d.codes, '$[0]')", "json_extract(d.versions, '$.model')"
        join = ""
        heaviest = (
            "(SELECT r.value ->> 'code' FROM json_each(d.reasons) AS r "
            "WHERE r.value ->> 'code' NOT IN ('base_rate', 'other_features') "
            "ORDER BY r.value ->> 'log_odds' DESC LIMIT 1)"
        )
    return (
        f"SELECT d.event_time / {step_ms} * {step_ms}, coalesce(t.country, ''), "
        f"coalesce(t.category, ''), d.action, coalesce({first_code}, {heaviest}, 'score'), {model},"
        " count(*), coalesce(sum(t.amount_base_minor), 0) "
        f"FROM decisions AS d JOIN transactions AS t USING (sequence) {join} "
        "GROUP BY 1, 2, 3, 4, 5, 6"
    )
