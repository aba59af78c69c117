"""A store is filled whatever befalls the log, the client or the store, and each is told as such."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from threading import Event, Thread

import pytest
from confluent_kafka import TopicPartition
from redis import Redis as Client

from alcyon.domain.read_model import Known
from alcyon.domain.record import Topic
from alcyon.io.kafka import entries
from alcyon.io.redis import RedisReadModel
from alcyon.runners.over_kafka import Broker as Opening
from alcyon.runners.over_kafka import ProjectionPorts
from alcyon.runners.projections import behind
from alcyon.runners.projections import filling as filling_runner
from alcyon.runners.projections.behind import tell_behind
from alcyon.runners.projections.read_model import ReadModelRunner
from services import Kafka, Redis
from tests.kafka import Broker
from tests.runners.filling import DATABASE, filling, telling_of, until
from tests.runners.told import Told
from tests.runners.working import MEANS
from tests.servers import _new_folder


@pytest.fixture
def model(redis: Redis) -> Iterator[RedisReadModel]:
    url = redis.url.removesuffix("/0") + f"/{DATABASE}"
    with Client.from_url(url) as client:
        client.flushall()
    with closing(RedisReadModel(url)) as model:
        yield model


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "LOOK_EVERY_S", 0.5)
    monkeypatch.setattr(filling_runner, "OUTAGE_PAUSE_S", 0.05)


def ports(broker: Broker) -> ProjectionPorts:
    return ProjectionPorts(Opening(broker.connection, broker.names), MEANS)


def grow(broker: Broker) -> None:
    """One more commit."""
    with broker.intake() as intake:
        intake.append(Topic.TRANSACTIONS, [b"a dead letter"])
    broker.cover()


def end(model: RedisReadModel) -> int:
    covered = model.covered()
    return covered.end if covered else -1


def test_a_client_that_stands_still_before_the_last_commit_is_opened_anew(
    broker: Broker, model: RedisReadModel
) -> None:
    """The client's own pause stands for whatever else keeps it from fetching."""
    opened, known = list[ReadModelRunner](), Known()

    def open_runner(files: ExitStack) -> ReadModelRunner:
        opened.append(ports(broker).open_read_model(files, model, known))
        return opened[-1]

    grow(broker)
    with filling(open_runner) as told:
        until(lambda: end(model) == 1, 30)
        commits = opened[0]._logs.live._commits
        reader = commits._entries._reader  # type: ignore[attr-defined]
        until(lambda: reader.is_at_end, 30)  # before, a pause looks like a broker that is away
        client = reader._consumer
        client.pause([TopicPartition(broker.names.commits, 0)])
        grow(broker)
        until(lambda: end(model) == 2, 30)
        until(lambda: told.value("projection_halted_bool", store="redis") == 0, 30)
    halted, goes_on = told.lines()
    assert (halted["event"], goes_on["event"]) == ("projection halted", "projection goes on")
    assert "nothing comes from" in str(halted["why"])
    assert len(opened) == 2
    assert told.value("projection_commits_total", store="redis") == 1


def test_an_outage_of_the_broker_is_not_told_as_one_of_the_store(model: RedisReadModel) -> None:
    folder = _new_folder()
    try:
        facts = folder.up(["kafka"])["kafka"]
        assert isinstance(facts, Kafka)
        broker, known = Broker.of(facts.bootstrap), Known()
        grow(broker)
        with filling(lambda files: ports(broker).open_read_model(files, model, known)) as told:
            until(lambda: end(model) == 1, 30)
            server = next(s.process for s in folder.status() if s.process)
            os.kill(server.pid, signal.SIGKILL)
            until(lambda: told.value("broker_away_bool") == 1, 60)
            notes = told.readiness.answer().notes
            assert folder.up(["kafka"])["kafka"] == facts
            grow(broker)
            until(lambda: end(model) == 2, 60)
            until(lambda: told.value("broker_away_bool") == 0, 30)
    finally:
        folder.down()
        shutil.rmtree(folder.path, ignore_errors=True)
    assert [note.partition(":")[0] for note in notes] == ["broker_away"]
    lines = told.lines()
    assert [line["event"] for line in lines][:2] == ["broker away", "broker back"]
    assert "kafka.bootstrap" in str(lines[0]["why"])
    assert told.value("projection_outages_total", store="redis") == 0


def test_how_far_behind_is_asked_beside_a_projection_that_hangs(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(behind, "ASK_EVERY_S", 0.02)
    told, stop = Told(), Event()
    tellings = [telling_of("redis", told), telling_of("sqlite", told)]
    tellings[0].stored(1, 1, 1, 0)
    asking = Thread(target=tell_behind, args=(ports(broker).open_end, tellings, stop))
    asking.start()
    try:
        for expected in ((0, 1), (1, 2)):
            grow(broker)
            until(lambda: lags(told) == expected, 30)  # noqa: B023
    finally:
        stop.set()
        asking.join(10)
    assert not asking.is_alive()


def lags(told: Told) -> tuple[float, float]:
    redis, sqlite = (
        told.value("projection_lag_commits", store=store) for store in ("redis", "sqlite")
    )
    return redis, sqlite
