"""The worker over a real broker: one order, every decision once, whoever dies when."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import groupby
from pathlib import Path

import msgspec
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import TopicPartition

from alcyon.domain.commit import Commit
from alcyon.domain.errors import FencedError, LogError
from alcyon.domain.record import DeadLetter, Record, Topic
from alcyon.features.kernel import Kernel
from alcyon.io.kafka import KafkaDecisions
from alcyon.io.kafka.source import HandedOver
from alcyon.runners.stream.deciding import Means
from alcyon.runners.stream.recovery import Recovered, recover
from alcyon.runners.stream.replay import Recording, replay
from alcyon.runners.stream.worker import Pace, Ports, Worker
from tests.kafka import Broker
from tests.runners.working import LAYOUT, LIMITS, MEANS, START, Generator, Traffic, expected

DRAINED_S = 0.5


class Killed(BaseException):
    """What kill -9 is here: nobody may catch it."""


class Fate:
    """Kills at the n-th effect; never, if there is none."""

    def __init__(self, left: int | None = None) -> None:
        self.left = left

    def meet(self) -> None:
        """Raises Killed if this effect is the last one."""
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise Killed


class MortalDecisions(KafkaDecisions):
    """Is killed before, in the middle of, or after a commit; an open transaction stays open."""

    fate: Fate

    def append(self, commit: Commit) -> int:
        self.fate.meet()
        index = super().append(commit)
        self.fate.meet()
        return index

    def _produce(self, topic: str, payloads: Sequence[bytes], is_keyed: bool = False) -> None:
        super()._produce(topic, payloads, is_keyed)
        if self.fate.left is not None:
            self._producer.flush(1.0)  # so that what is torn has reached the topic
        self.fate.meet()


@contextmanager
def worker_over(
    broker: Broker,
    snapshots: Path,
    pace: Pace,
    fate: Fate | None = None,
    means: Means = MEANS,
) -> Iterator[tuple[Worker, Recovered]]:
    """A worker that has recovered."""
    handed_over = HandedOver()
    log = MortalDecisions(broker.connection, broker.names, broker.transactional_id, handed_over)
    log.fate = fate or Fate()
    with closing(log), closing(broker.source(handed_over)) as source, ExitStack() as files:
        ports = Ports(source, log, snapshots)
        worker, recovered = recover(Kernel(LAYOUT, LIMITS), ports, means, pace)
        files.callback(worker.close)
        yield worker, recovered


def arrive(broker: Broker, traffic: Traffic) -> None:
    """Append records, those of one topic in a row at once."""
    with broker.intake() as intake:
        for topic, part in groupby(traffic, key=lambda item: item[0]):
            intake.append(topic, [payload for _, payload in part])


def order_of(broker: Broker) -> list[Record]:
    """All committed records in the recorded order."""
    found: list[Record] = []
    with closing(broker.recorded()) as source:
        source.seek(0)
        while records := source.poll(500, DRAINED_S):
            found += records
    return found


def committed(broker: Broker) -> tuple[list[bytes], list[DeadLetter]]:
    """All decisions and dead letters."""
    with closing(broker.commits()) as reader:
        last = reader.last()
        commits: list[Commit] = []
        while last and (not commits or commits[-1] != last):
            commits += reader.read(len(commits), 50)
    letter = msgspec.json.Decoder(DeadLetter).decode
    return [d for c in commits for d in c.decisions], [
        letter(x) for c in commits for x in c.dead_letters
    ]


def drain(worker: Worker, records: int) -> None:
    """Decide until so many records are committed, each batch while the one before it is."""
    worker.run(lambda: worker.place.position >= records, lambda stepped: None)


def replays(broker: Broker, snapshots: Path) -> tuple[int, int]:
    """(compared, differing) of a replay of everything."""
    with closing(broker.commits()) as log, closing(broker.recorded()) as source:
        found = replay(Kernel(LAYOUT, LIMITS), Recording(source, log, snapshots), MEANS)
    return found.compared, found.differing


@pytest.mark.parametrize("seed", [1])
def test_decisions_are_those_of_the_recorded_order(
    seed: int, broker: Broker, tmp_path: Path
) -> None:
    traffic = Generator(seed).traffic(300)
    arrive(broker, traffic)
    with worker_over(broker, tmp_path / "s", Pace(batch_max=61)) as (worker, _):
        drain(worker, len(traffic))
    order = order_of(broker)
    assert sorted((r.topic, r.payload) for r in order) == sorted(traffic)
    for topic in Topic:
        assert [r.payload for r in order if r.topic is topic] == [
            p for t, p in traffic if t is topic
        ]
    assert committed(broker) == expected([(r.topic, r.payload) for r in order], tmp_path)
    compared, differing = replays(broker, tmp_path / "none")
    assert compared > 150
    assert differing == 0


@pytest.mark.parametrize("seed", [3, 4])
def test_killed_between_any_two_effects_every_decision_is_there_once(
    seed: int, broker: Broker, tmp_path: Path
) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    traffic = Generator(seed).traffic(300)
    arrived = lives = 0
    position = 0
    while position < len(traffic):
        more = rng.randint(20, 150)
        arrive(broker, traffic[arrived : arrived + more])
        arrived, lives = min(len(traffic), arrived + more), lives + 1
        pace = Pace(rng.choice([1, 7, 60, 400]), rng.choice([50, 150, 10**9]))
        fate = Fate(rng.randint(1, 25) if lives < 8 else None)
        try:
            with worker_over(broker, tmp_path / "s", pace, fate) as (worker, recovered):
                assert recovered.place.position >= position, "nothing that was committed is lost"
                drain(worker, arrived)
                position = worker.place.position
        except Killed:
            continue
    print(f"lives {lives}")
    assert lives > 3
    order = order_of(broker)
    assert sorted((r.topic, r.payload) for r in order) == sorted(traffic)
    assert committed(broker) == expected([(r.topic, r.payload) for r in order], tmp_path)


def test_a_worker_that_was_paused_is_fenced_when_it_wakes(broker: Broker, tmp_path: Path) -> None:
    arrive(broker, Generator(6).traffic(60))
    pace = Pace(batch_max=20)
    with worker_over(broker, tmp_path / "s", pace) as (paused, _):
        paused.step()
        with worker_over(broker, tmp_path / "s", pace) as (worker, _):
            worker.step()
            with pytest.raises(FencedError):
                paused.step()
            drain(worker, 64)
    order = order_of(broker)
    assert [r.position for r in order] == list(range(64))
    assert committed(broker) == expected([(r.topic, r.payload) for r in order], tmp_path)


def test_control_records_come_first_where_everything_begins(broker: Broker, tmp_path: Path) -> None:
    traffic = Generator(7).traffic(20)
    controls = [item for item in traffic if item[0] is Topic.CONTROL]
    others = [item for item in traffic if item[0] is not Topic.CONTROL]
    arrive(broker, [*others, *controls])
    with worker_over(broker, tmp_path / "s", Pace(batch_max=5)) as (worker, _):
        drain(worker, len(traffic))
    topics = [r.topic for r in order_of(broker)]
    assert topics[: len(controls)] == [Topic.CONTROL] * len(controls)


def test_a_backlog_is_read_by_the_brokers_clock(broker: Broker, tmp_path: Path) -> None:
    traffic = Generator(8).traffic(300)
    arrive(broker, traffic)
    with worker_over(broker, tmp_path / "s", Pace(batch_max=17)) as (worker, _):
        drain(worker, len(traffic))
    times = [r.time for r in order_of(broker) if r.topic is not Topic.CONTROL]
    assert None not in times
    assert times == sorted(t for t in times if t is not None)


def test_several_partitions_are_one_order(broker: Broker, tmp_path: Path) -> None:
    broker.widen(broker.names.transactions, 3)
    broker.partitions[Topic.TRANSACTIONS] = 3
    traffic = Generator(9).traffic(300)
    arrive(broker, traffic)
    for batch_max in (40, 7):
        with worker_over(broker, tmp_path / "s", Pace(batch_max, snapshot_every=90)) as (worker, _):
            drain(worker, len(traffic) // (2 if batch_max == 40 else 1))
    order = order_of(broker)
    assert sorted((r.topic, r.payload) for r in order) == sorted(traffic)
    assert committed(broker) == expected([(r.topic, r.payload) for r in order], tmp_path)


def test_the_future_is_told_by_the_brokers_clock(broker: Broker, tmp_path: Path) -> None:
    record = {
        "transaction_id": "t1", "event_time": 4_000_000_000_000, "amount_minor": 1,
        "currency": "EUR", "card_id": "c1",
    }  # fmt: skip
    past = record | {"transaction_id": "t2", "event_time": START}
    arrive(broker, [(Topic.TRANSACTIONS, msgspec.json.encode(r)) for r in (record, past)])
    with worker_over(broker, tmp_path / "s", Pace()) as (worker, _):
        drain(worker, 2)
    first, second = (msgspec.json.decode(d) for d in committed(broker)[0])
    assert first["codes"] == ["future_transaction"]
    assert "future_transaction" not in second["codes"], "and the front was not moved by it"
    assert "late_transaction" not in second["codes"]
    assert replays(broker, tmp_path / "none") == (2, 0)


def test_records_that_left_the_topic_are_told_and_not_skipped(
    broker: Broker, tmp_path: Path
) -> None:
    traffic = Generator(10).traffic(100)
    arrive(broker, traffic)
    with worker_over(broker, tmp_path / "s", Pace(batch_max=20)) as (worker, _):
        drain(worker, len(traffic))
    client = AdminClient(broker.connection.config())
    gone = TopicPartition(broker.names.transactions, 0, 30)
    for future in client.delete_records([gone]).values():
        future.result(10)
    with (
        pytest.raises(LogError, match="left the topic"),
        worker_over(broker, tmp_path / "s", Pace()),
    ):
        pass
