"""A database that is killed and stays away misses nothing, and no decision waits for it."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest

from alcyon.domain.record import Topic
from alcyon.io.memory import MemoryCommitReader, MemorySource, MemoryStore
from alcyon.io.postgres import PostgresStore
from alcyon.runners.projections import filling as filling_runner
from alcyon.runners.projections.projection import Projection
from alcyon.runners.stream.rates import RatesByVersion
from services import Postgres, ServiceError
from tests.runners.filling import filling, payloads, until
from tests.runners.working import MEANS, Generator, Home
from tests.servers import _new_folder, cannot

TABLES = ("transactions", "decisions", "labels", "alerts", "dead_letters")


def projection(home: Home, store: PostgresStore | MemoryStore) -> Projection:
    rates = RatesByVersion(
        lambda: [r.payload for r in home.records.records if r.topic is Topic.CONTROL]
    )
    return Projection(
        MemoryCommitReader(home.commits), MemorySource(home.records), store,
        lambda version: MEANS.transaction_decoder(rates.of(version)), MEANS.label_decoder(),
    )  # fmt: skip


def stored(facts: Postgres) -> int:
    """How many commits it holds."""
    with closing(PostgresStore(facts.dsn)) as store:
        return store.next_index()


def rows(facts: Postgres) -> dict[str, list[int]]:
    """The sequences in each table."""
    with psycopg.connect(facts.dsn) as connection:
        return {
            table: [s for (s,) in connection.execute(f"SELECT sequence FROM {table}".encode())]
            for table in TABLES
        }


def test_postgres_is_killed_and_after_its_return_every_row_is_there_once(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling_runner, "OUTAGE_PAUSE_S", 0.05)
    folder, home = _new_folder(), Home(tmp_path / "snapshots")
    home.append(Generator(5).traffic(400))
    home.drained()
    try:
        facts = folder.up(["postgres"])["postgres"]
        assert isinstance(facts, Postgres)

        def opened(files: ExitStack) -> Projection:
            return projection(home, files.enter_context(closing(PostgresStore(facts.dsn))))

        with filling(opened, "postgres") as told:
            until(lambda: stored(facts) == len(home.commits.commits), 20)
            server = next(s.process for s in folder.status() if s.process)
            os.kill(server.pid, signal.SIGKILL)
            until(lambda: told.value("projection_away_bool", store="postgres") == 1, 20)
            before = len(home.decisions())
            home.append([(Topic.TRANSACTIONS, p) for p in payloads(5_000)])
            home.drained()
            assert len(home.decisions()) == before + 5_000
            assert folder.up(["postgres"])["postgres"] == facts
            until(lambda: told.value("projection_away_bool", store="postgres") == 0, 20)
            until(lambda: stored(facts) == len(home.commits.commits), 20)
        found = rows(facts)
    except ServiceError as error:
        cannot(request.config, f"no postgres for tests: {error}")
    finally:
        folder.down()
        shutil.rmtree(folder.path, ignore_errors=True)
    wanted = MemoryStore()
    while projection(home, wanted).step():
        pass
    assert {table: sorted(of) for table, of in found.items()} == {
        table: sorted(of) for table, of in wanted.tables.items()
    }
    assert told.value("projection_outages_total", store="postgres") == 1
    assert [line["event"] for line in told.lines()] == ["store away", "store back"]
