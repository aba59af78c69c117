"""The read model has each card's last decision, and feeds of what is new."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest
from redis import Redis as Client

from alcyon.domain.columns import Batch, Strings
from alcyon.domain.commit import Commit
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.errors import LogError
from alcyon.domain.projected import StoreError
from alcyon.domain.read_model import Covered, Known, Update
from alcyon.domain.record import Topic
from alcyon.features.kernel import Kernel
from alcyon.io.kafka.entries import Entries
from alcyon.io.kafka.source import HandedOver
from alcyon.io.redis import ALERTS, DECISIONS, RedisReadModel
from alcyon.runners.projections import read_model, read_model_history
from alcyon.runners.projections.card_decisions import Cards, Scored, ScoredVersions
from alcyon.runners.projections.read_model import Logs, ReadModelRunner
from alcyon.runners.stream.reading import Reading
from alcyon.runners.stream.recovery import recover
from alcyon.runners.stream.worker import Ports
from services import Redis
from tests.kafka import Broker
from tests.runners.filling import (
    CARDS,
    DATABASE,
    Unsteady,
    alerts,
    decided,
    drain,
    feed,
    kept,
    runner_of,
    truth,
    truth_at,
)
from tests.runners.working import BOOTSTRAP, LAYOUT, LIMITS, MEANS, PACE, Generator, Home


@pytest.fixture
def url(redis: Redis) -> str:
    return redis.url.removesuffix("/0") + f"/{DATABASE}"


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client.from_url(url) as client:
        client.flushall()
        yield client


@pytest.fixture
def model(url: str, client: Client) -> Iterator[RedisReadModel]:
    with closing(RedisReadModel(url)) as model:
        yield model


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many steps for few records."""
    going_on = {"COMMITS_MAX": 2, "WRITE_CARDS": 3, "LOOK_EVERY_S": 0.0}
    for name, value in going_on.items():
        monkeypatch.setattr(read_model, name, value)
    back = {"WRITE_CARDS": 3, "PART_DECISIONS": 700, "SPAN_DECISIONS": 40, "SPAN_COMMITS": 5}
    for name, value in back.items():
        monkeypatch.setattr(read_model_history, name, value)


def test_each_card_has_its_last_decision(tmp_path: Path, model: RedisReadModel) -> None:
    home = decided(tmp_path, 900)
    drain(runner_of(home, model))
    expected = truth_at(home)
    assert MEANS.keys.token("4111111111111111") in expected
    assert len(expected) == 13
    assert kept(model, list(expected)) == expected


def test_no_card_number_reaches_it(tmp_path: Path, model: RedisReadModel, client: Client) -> None:
    drain(runner_of(decided(tmp_path, 300), model))
    assert b"4111" not in b"".join(client.scan_iter())


def test_features_are_those_of_a_kernel_that_sees_the_same_records(
    tmp_path: Path, model: RedisReadModel
) -> None:
    traffic = Generator(3).traffic(700)
    begin = len(BOOTSTRAP)  # rates never change after it
    traffic = traffic[:begin] + [t for t in traffic[begin:] if t[0] is Topic.TRANSACTIONS]
    home = Home(tmp_path)
    home.append(traffic)
    home.drained()
    drain(runner_of(home, model))
    payloads = [r.payload if r.topic is Topic.TRANSACTIONS else b"" for r in home.records.records]
    found = MEANS.transaction_decoder(DEFAULT_RATES).decode(payloads)
    observed = Kernel(LAYOUT, LIMITS).observe(found.batch, sequences=found.rows)
    exported = dict(zip(found.rows.tolist(), observed.vectors(), strict=True))
    latest = model.latest(list(truth_at(home)))
    assert len(latest) == 13
    for one in latest:
        assert one is not None
        features = np.frombuffer(one.features, "<f4")
        np.testing.assert_array_equal(features, exported[one.sequence])


@pytest.mark.usefixtures("small")
def test_two_that_fill_it_disturb_nothing(
    tmp_path: Path, model: RedisReadModel, client: Client
) -> None:
    home, rng = decided(tmp_path, 500, batch=4), random.Random(5)
    model.write(Update(None, Covered(0, 0, -1), {}))
    runners = [runner_of(home, model), runner_of(home, model)]
    while sum(rng.choice(runners).step() for _ in range(9)):
        pass
    assert kept(model, list(truth_at(home))) == truth_at(home)
    assert feed(client, ALERTS) == alerts(home)


@pytest.mark.usefixtures("small")
def test_feeds_have_each_entry_once_whatever_fails(
    tmp_path: Path, model: RedisReadModel, client: Client
) -> None:
    home, rng = decided(tmp_path, 500, batch=4), random.Random(6)
    model.write(Update(None, Covered(0, 0, -1), {}))
    failed = 0
    while feed(client, ALERTS) != alerts(home):
        runner = runner_of(home, Unsteady(model, rng, 0.1))
        try:
            drain(runner)
        except StoreError:
            failed += 1
    assert failed > 5
    entries = feed(client, DECISIONS)
    made = [json.loads(d) for commit in home.commits.commits for d in commit.decisions]
    known = {d["sequence"]: d for d in made}
    assert [e["sequence"] for e in entries] == sorted(e["sequence"] for e in entries)
    assert len(made) / 5 < len({e["sequence"] for e in entries}) == len(entries) < len(made) / 2
    for entry in entries:
        of = known[entry["sequence"]]
        same = ("transaction_id", "event_time", "action", "score")
        assert {n: entry[n] for n in same} == {n: of[n] for n in same}
        assert entry["reason"]
        assert entry["card_id"] in truth_at(home)


def test_a_transaction_is_sampled_by_its_id_alone(
    tmp_path: Path, model: RedisReadModel, client: Client
) -> None:
    found = []
    for batch in (7, 64):
        client.flushall()
        model.write(Update(None, Covered(0, 0, -1), {}))
        drain(runner_of(decided(tmp_path / str(batch), 300, batch=batch), model))
        found.append([e["transaction_id"] for e in feed(client, DECISIONS)])
    assert found[0] == found[1] != []


def test_of_another_log_it_is_refused_with_the_remedy(
    tmp_path: Path, model: RedisReadModel
) -> None:
    home = decided(tmp_path, 300)
    drain(runner_of(home, model))
    longer = decided(tmp_path, 900, 2, batch=9)
    shorter = decided(tmp_path, 100, 3)
    for other in (longer, shorter):
        with pytest.raises(LogError, match=r"another decisions log.*alcyon:\*"):
            drain(runner_of(other, model))
    assert kept(model, list(truth_at(home))) == truth_at(home)


def test_an_intake_of_another_run_is_refused(tmp_path: Path, model: RedisReadModel) -> None:
    home, other = decided(tmp_path, 300), decided(tmp_path, 300, 2)
    home.records.records[:] = other.records.records
    model.write(Update(None, Covered(0, 0, -1), {}))
    with pytest.raises(LogError, match="another decisions log"):
        drain(runner_of(home, model))
    assert kept(model, list(truth_at(other))) == {}


def test_known_cards_are_bounded_and_the_newest_stay() -> None:
    known = Known(cards_max=4)
    for index in range(9):
        known.add(index, index + 1, {f"c{index}": b"%d" % index, "again": b"%d" % index})
        known.add(index, index + 1, {"again": b"a repeat of what is known already"})
    assert len(known.blobs()) <= 4
    assert known.begin == 7
    assert known.blobs() == {"c7": b"7", "c8": b"8", "again": b"8"}
    known.add_older(5, 6, {"c5": b"5"})  # does not join
    assert known.begin == 7
    known.add(11, 12, {})  # neither does this
    assert (known.begin, known.blobs()) == (11, {})
    known.add_older(10, 11, {"c10": b"10"})
    known.add_older(9, 10, {"c10": b"older"})
    assert (known.begin, known.blobs()) == (9, {"c10": b"10"})


def test_cards_in_avro_are_found_too() -> None:
    class Columns:
        batch = Batch(
            {
                "transaction_id": Strings.from_list(["t1", "t2"]),
                "card_id": Strings.from_list(["c1", None]),
            }
        )
        rows = np.arange(2)

        def decode(self, payloads: object, refused: object) -> Columns:
            return self

    asked: list[str] = []

    def decoder(version: str) -> Columns:
        asked.append(version)
        return Columns()

    made = [Scored(i, f"t{i}", 1, "APPROVE", None, b"", ScoredVersions("c", "r1")) for i in (1, 2)]
    cards = Cards(MEANS.keys, decoder)
    assert cards.of([b"\0avro", b'{"transaction_id": "t2"}'], made) == ["c1", None]
    assert asked == ["r1"]


def test_over_a_broker(
    broker: Broker, tmp_path: Path, model: RedisReadModel, client: Client
) -> None:
    traffic = Generator(4).traffic(600)
    with ExitStack() as files:
        intake = files.enter_context(broker.intake())
        for topic in Topic:
            intake.append(topic, [p for t, p in traffic if t is topic])
        handed_over = HandedOver()
        log = files.enter_context(closing(broker.decisions(handed_over)))
        source = files.enter_context(closing(broker.source(handed_over)))
        worker, _ = recover(Kernel(LAYOUT, LIMITS), Ports(source, log, tmp_path), MEANS, PACE)
        files.callback(worker.close)
        deadline = time.monotonic() + 30
        while worker.place.position < len(traffic) and time.monotonic() < deadline:
            worker.step()
        entries = files.enter_context(closing(Entries(broker.connection, broker.names.commits)))
        last = entries.last()
        assert last is not None
        assert last.position == len(traffic)

        def reading(files: ExitStack) -> Reading:
            commits = files.enter_context(closing(broker.commits()))
            return Reading(commits, files.enter_context(closing(broker.recorded())))

        logs = Logs(reading(files), reading, lambda: (0, last.index + 1), CARDS)
        runner = files.enter_context(closing(ReadModelRunner(logs, model, Known())))
        drain(runner)
        recorded = files.enter_context(closing(broker.recorded()))
        recorded.seek(0)
        records = recorded.poll(len(traffic), 10)
        commits: list[Commit] = []
        while len(commits) <= last.index:
            commits += log.read(len(commits), 9)
        expected = truth(commits, records)
        assert len(expected) == 13
        assert kept(model, list(expected)) == expected
