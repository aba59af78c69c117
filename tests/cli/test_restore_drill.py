"""The restore drill: a backup under traffic, everything wiped, restored, and the log goes on.

`make restore-drill`. What was restored is compared, row for row, with a store that was never lost:
one that a second projection fills from the same topics from their beginning.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from redis import Redis as Client

from alcyon.io.redis import RedisReadModel
from alcyon.io.snapshots import snapshot_names
from services import Postgres, Redis
from tests.cli.run_process import Running, Start, decided, send, until
from tests.cli.running import run as alcyon
from tests.kafka import Broker
from tests.runners.test_backup import _of_postgres

PATIENCE_S = 900.0
"""A drill waits for what it waits for; how long that takes is not what it is about."""
DATABASE = 12
AT_ONCE, PAUSE_S = 40, 0.5
TABLES = ("transactions_0", "decisions_0", "labels_0", "alerts_0", "dead_letters_0",
          "decision_words_0", "transaction_ids", "hourly_decisions", "daily_decisions",
          "versions", "projection_position")  # fmt: skip


@contextmanager
def database(server: Postgres) -> Iterator[str]:
    """The DSN of a database of this test's own."""
    name = f"drill_{random.randrange(10**12)}"
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield make_conninfo(server.dsn, dbname=name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


class Traffic:
    """Payments that go on coming, until stopped."""

    def __init__(self, broker: Broker) -> None:
        self._broker, self._stop, self.sent = broker, Event(), 0
        self._thread = Thread(target=self._send, daemon=True)

    def _send(self) -> None:
        while not self._stop.wait(PAUSE_S):
            send(self._broker, self.sent, AT_ONCE)
            self.sent += AT_ONCE

    @contextmanager
    def coming(self) -> Iterator[None]:
        """While it comes."""
        self._thread.start()
        try:
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        """No more is sent from here on."""
        self._stop.set()
        self._thread.join()


def told(running: Running, event: str) -> dict[str, object]:
    """The line of an event, however long it takes."""
    until(lambda: bool(running.lines(event)) or running.process.poll() is not None, PATIENCE_S)
    assert running.lines(event), running.raw
    return running.lines(event)[0]


def rows(dsn: str) -> int:
    """Decisions in a store; 0 while there is no table."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT to_regclass('decisions')").fetchone()
        if found is None or found[0] is None:
            return 0
        counted = connection.execute("SELECT count(*) FROM decisions").fetchone()
        return int(counted[0]) if counted else 0


def in_environment(given: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"ALCYON_{name}", str(value))


@pytest.fixture
def servers_beside(postgres: Postgres, redis: Redis) -> tuple[Postgres, str]:
    """A cluster, and the URL of an empty database of Redis."""
    url = redis.url.removesuffix("/0") + f"/{DATABASE}"
    flush(url)
    return postgres, url


def flush(url: str) -> None:
    with closing(Client.from_url(url, protocol=2)) as client:
        client.flushdb()


def test_everything_lost_is_restored_and_the_log_goes_on(
    broker: Broker, of_broker: dict[str, object], start: Start, home: Path, tmp_path: Path,
    servers_beside: tuple[Postgres, str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    postgres, url = servers_beside
    settings = of_broker | {"REDIS__URL": url, "WORKER__SNAPSHOT_EVERY": 200}
    traffic, folder, snapshots = Traffic(broker), tmp_path / "backup", home / "snapshots"
    with traffic.coming():
        with database(postgres) as lost:
            first = start(settings | {"POSTGRES__DSN": lost}, "--catalog", "card")
            told(first, "worker started")
            until(lambda: rows(lost) > 500 and bool(snapshot_names(snapshots)), PATIENCE_S)
            in_environment(settings | {"POSTGRES__DSN": lost}, monkeypatch)
            assert alcyon("backup", "--to", folder) == 0
            at_backup = rows(lost)
            until(lambda: rows(lost) > at_backup + 300, PATIENCE_S)
            first.process.kill()
            first.process.wait()
        shutil.rmtree(home)  # everything is gone: the database by now, the home, and
        flush(url)
        with database(postgres) as dsn, database(postgres) as never_lost:
            in_environment(settings | {"POSTGRES__DSN": dsn}, monkeypatch)
            assert alcyon("restore", "--from", folder) == 0
            restored = rows(dsn)
            manifest = json.loads((folder / "manifest.json").read_text())
            assert 500 < restored <= at_backup
            again = start(settings | {"POSTGRES__DSN": dsn}, "--catalog", "card")
            started = told(again, "worker started")
            assert started["snapshot"] == manifest["snapshots"][0]["name"]
            assert 0 < int(str(started["replayed"])) < traffic.sent + 10
            until(lambda: rows(dsn) > at_backup + 600, PATIENCE_S)
            traffic.stop()
            until(lambda: rows(dsn) == traffic.sent, PATIENCE_S)
            assert decided(broker) == [f"t{i}" for i in range(traffic.sent)], "each once, in order"
            other = settings | {"HOME": tmp_path / "other", "POSTGRES__DSN": never_lost}
            del other["REDIS__URL"]
            start(other, "--only", "projections", "--catalog", "card")
            until(lambda: rows(never_lost) == traffic.sent, PATIENCE_S)
            positions = [dict(_of_postgres(d, "office")) for d in (dsn, never_lost)]
            assert [positions[0][t] for t in TABLES] == [positions[1][t] for t in TABLES]
            until(lambda: newest(url) == traffic.sent - 1, PATIENCE_S)


def newest(url: str) -> int:
    """The number of the newest payment that the read model knows of a card."""
    with closing(RedisReadModel(url)) as model:
        found = [latest for latest in model.latest(["c0", "c1", "c2"]) if latest is not None]
    return max((int(latest.transaction_id[1:]) for latest in found), default=-1)
