"""`alcyon run --only projections`: it fills, tells how far it is, and ends with its worker."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from threading import Event

import pytest

from alcyon.cli.opening.process import Process, ToldError, beside
from alcyon.cli.showing.options import settings
from alcyon.domain.record import Topic
from services import Redis
from services.process import started
from tests.cli.run_process import Start, decided, send, until
from tests.kafka import Broker


def test_projections_end_with_the_worker_however_it_ends(
    broker: Broker, of_broker: dict[str, object], start: Start, home: Path
) -> None:
    run = start(of_broker, "--catalog", "card")
    send(broker, 0, 4)
    run.line("projection starting")
    store = home / "alcyon.sqlite"
    until(lambda: store.exists() and counted(store) == 4)
    threads = Path(f"/proc/{run.process.pid}/task").iterdir()
    (child,) = [pid for each in threads for pid in (each / "children").read_text().split()]
    run.process.kill()
    until(lambda: started(int(child)) is None)


def counted(store: Path) -> int:
    """Decisions in the projection; 0 while there is no table."""
    with closing(sqlite3.connect(store)) as database, suppress(sqlite3.OperationalError):
        return int(database.execute("SELECT count(*) FROM decisions").fetchone()[0])
    return 0


def test_every_projection_says_how_much_it_stored_and_how_far_behind_it_is(
    broker: Broker, of_broker: dict[str, object], start: Start, redis: Redis
) -> None:
    redis_url = redis.url.removesuffix("/0") + "/11"
    with broker.intake() as intake:
        intake.append(Topic.TRANSACTIONS, [b"no transaction"] * 5)
    broker.cover()
    run = start(of_broker | {"REDIS__URL": redis_url}, "--only", "projections")
    until(lambda: run.metric('projection_lag_commits{store="sqlite"}') == 0)
    until(lambda: run.metric('projection_lag_commits{store="redis"}') == 0)
    commits = run.metric('projection_commits_total{store="sqlite"}')
    with broker.intake() as intake:
        intake.append(Topic.TRANSACTIONS, [b"no transaction"])
    broker.cover()
    until(lambda: run.metric('projection_commits_total{store="sqlite"}') > commits)
    until(lambda: run.metric('projection_commits_total{store="redis"}') >= 1)
    assert run.get("/readyz")[0] == run.get("/healthz")[0] == 200
    assert run.stop() == 0
    assert run.lines("projection halted") == []


def test_no_decision_waits_for_stores_that_are_away(
    broker: Broker, of_broker: dict[str, object], start: Start
) -> None:
    away = {
        "POSTGRES__DSN": "postgresql://u:p@127.0.0.1:1/x",
        "REDIS__URL": "redis://127.0.0.1:1/0",
    }
    run, filling = start(of_broker | away), start(of_broker | away, "--only", "projections")
    send(broker, 0, 40)
    run.comes_to(43)
    until(lambda: len(filling.lines("store away")) == 2)
    assert {line["store"] for line in filling.lines("store away")} == {"postgres", "redis"}
    for store in ("postgres", "redis"):
        assert filling.metric(f'projection_away_bool{{store="{store}"}}') == 1
    send(broker, 40, 10)
    run.comes_to(53)
    assert decided(broker) == [f"t{i}" for i in range(50)]
    assert run.get("/readyz")[0] == 200
    assert run.stop() == filling.stop() == 0


def test_a_thread_that_ends_by_an_error_is_told_when_it_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    process = Process(settings(), ("projection",), Event(), "projections")

    def work() -> None:
        raise ValueError("secret")

    besides = beside(process, "read_model", work)
    besides.__enter__()
    assert process.stop.wait(10.0)  # the others end too
    said = capsys.readouterr().err
    with pytest.raises(ToldError) as raised:
        besides.__exit__(None, None, None)
    assert isinstance(raised.value.__cause__, ValueError)
    assert '"event": "failed"' in said
    assert "test_run_projections.py" in said
    assert "secret" not in said
    failures = process.telemetry.registry.get_sample_value(
        "alcyon_run_failures_total", {"kind": "other"}
    )
    assert failures == 1
