"""What is older than an age leaves every store, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alcyon.domain.keeping import Keeping
from alcyon.domain.ports import Store
from alcyon.domain.projected import Projected
from alcyon.io.postgres import PostgresStore
from alcyon.io.postgres.keeping import PostgresKeeping
from alcyon.io.postgres.partitions import PARTITION_ROWS
from alcyon.io.sqlite import SqliteStore
from alcyon.io.sqlite.keeping import SqliteKeeping
from tests.contracts.storing import decision, empty_schema, projected, server

AGE, AT = 10**12, 10**12
"""`decision` has the event time AT + its sequence, `projected` the label's time AT."""
KINDS = ("sqlite", "postgres")


@contextmanager
def opened(
    kind: str, folder: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[Store, Keeping]]:
    if kind == "sqlite":
        with closing(SqliteStore(folder / "s")) as store:
            keeping = SqliteKeeping(folder / "s")
            yield store, keeping
            keeping.close()
        return
    with empty_schema(server(request)) as dsn, closing(PostgresStore(dsn)) as stored:
        kept = PostgresKeeping(dsn)
        yield stored, kept
        kept.close()


def commit(index: int, partition: int) -> Projected:
    """Three decisions, an alert, a label that is made when they are, a dead letter."""
    first = partition * PARTITION_ROWS + index * 10
    made = projected(index, [
        decision(first + row, f"t{index}-{row}", "REVIEW" if row == 1 else "APPROVE")
        for row in range(3)
    ])  # fmt: skip
    times = np.array([AT + first], np.int64)
    labels = type(made.labels)({**made.labels.columns, "labelled_at": times})
    return replace(made, labels=labels)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Store, Keeping]]:
    with opened(request.param, tmp_path, request) as (store, keeping):
        for index, partition in enumerate([0, 0, 1, 1, 2]):
            store.write(commit(index, partition))
        yield request.param, store, keeping


TABLES = ("transactions", "decisions", "labels", "alerts", "dead_letters")
EACH = {"transactions": 3, "decisions": 3, "labels": 1, "alerts": 1, "dead_letters": 1}


def commits_kept(store: Store) -> dict[str, float]:
    """How many commits' rows each table has."""
    counts = store.counts()
    return {table: counts[table] / EACH[table] for table in TABLES}


def test_looking_removes_nothing(place: tuple[str, Store, Keeping]) -> None:
    _, store, keeping = place
    found = keeping.old(AT + 10 * PARTITION_ROWS)
    assert not found.is_empty
    assert set(commits_kept(store).values()) == {5}


def test_what_is_old_goes_and_what_is_not_stays(place: tuple[str, Store, Keeping]) -> None:
    """Between the commits of a partition: SQLite goes by row, Postgres by partition."""
    kind, store, keeping = place
    before = AT + PARTITION_ROWS + 25  # the third commit begins at 20, the fourth at 30
    wanted = keeping.old(before)
    assert keeping.drop_old(before) == wanted
    kept = 2 if kind == "sqlite" else 3
    assert set(commits_kept(store).values()) == {kept}
    assert wanted.rows["transactions"] == 3 * (5 - kept)
    ids = [f"t{index}-0" for index in range(5)]
    found = {stored.decision.transaction_id for stored in store.decisions_on(ids)}
    assert found == set(ids[5 - kept :])
    assert [store.decision(i) is None for i in ids] == [i not in found for i in ids]
    assert keeping.drop_old(before).is_empty, "a repeat finds nothing"


def test_the_youngest_partition_stays_and_is_written_on(place: tuple[str, Store, Keeping]) -> None:
    kind, store, keeping = place
    keeping.drop_old(AT + 100 * PARTITION_ROWS)
    assert set(commits_kept(store).values()) == {0 if kind == "sqlite" else 1}
    assert store.next_index() == 5
    store.write(commit(5, 2))
    assert store.counts()["transactions"] == (3 if kind == "sqlite" else 6)


def test_a_young_label_keeps_what_it_is_stored_with(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    for kind in KINDS:
        with opened(kind, tmp_path, request) as (store, keeping):
            young = commit(0, 0)
            late = np.array([AT + 50 * PARTITION_ROWS], np.int64)
            labels = type(young.labels)({**young.labels.columns, "labelled_at": late})
            store.write(replace(young, labels=labels))
            store.write(commit(1, 1))
            keeping.drop_old(AT + 5 * PARTITION_ROWS)
            counts = store.counts()
            assert (counts["labels"], counts["dead_letters"]) == (2, 2)
            assert counts["transactions"] == (3 if kind == "sqlite" else 6)


def test_an_empty_store_has_nothing_old(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    for kind in KINDS:
        with opened(kind, tmp_path, request) as (_, keeping):
            assert keeping.old(AT).is_empty
            assert keeping.drop_old(AT).is_empty
            assert keeping.next_sequence() == 0
            assert list(keeping.ids()) == []
