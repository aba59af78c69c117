"""The decisions log over a real broker: what it refuses is not there, what is there comes whole."""

from __future__ import annotations

import secrets
from contextlib import closing
from typing import ClassVar

import pytest
from confluent_kafka import Message
from tests.kafka import AsTold, Broker

from alcyon.domain.commit import Commit
from alcyon.domain.errors import LogError, UnreachableError
from alcyon.io.kafka import KafkaDecisions, commits
from alcyon.io.kafka.partition import PartitionReader


def commit(log: KafkaDecisions, start: int, more: str = "") -> Commit:
    """The commit over ten records from `start`, with a decision on each."""
    decisions = tuple(
        f'{{"transaction_id":"t{i}","more":"{more}"}}'.encode() for i in range(start, start + 10)
    )
    return Commit(log.epoch, start, start, start + 10, decisions, (b"dead",), (decisions[0],))


def test_a_full_queue_fails_the_commit_and_adds_nothing(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as small:
        small.setattr(commits, "_QUEUE_MESSAGES_MAX", 5)
        log = broker.decisions(AsTold())
    with closing(log):
        for _ in range(2):
            with pytest.raises(LogError, match=r"nothing was committed: .*Queue full"):
                log.append(commit(log, 0))
    with closing(broker.commits()) as reader:
        assert reader.last() is None
    goes_on(broker)


def test_a_record_that_the_broker_refuses_fails_the_commit_and_adds_nothing(broker: Broker) -> None:
    broker.configure(broker.names.decisions, "max.message.bytes", "2000")
    refused = pytest.raises(LogError, match=r"nothing was committed: .*too large")
    with closing(broker.decisions(AsTold())) as log, refused:
        log.append(commit(log, 0, secrets.token_hex(2000)))
    with closing(broker.commits()) as reader:
        assert reader.last() is None
    broker.configure(broker.names.decisions, "max.message.bytes", "1000000")
    goes_on(broker)


def goes_on(broker: Broker) -> None:
    """The next writer's commits are there, and only they."""
    with closing(broker.decisions(AsTold())) as log:
        made = [commit(log, 0)]
        log.append(made[0])
        made.append(commit(log, 10))
        log.append(made[1])
    with closing(broker.commits()) as reader:
        assert reader.read(0, 10) == made


class Interrupted(PartitionReader):
    """Fails once after it has read a part."""

    failing: ClassVar[set[str]] = set()

    def read(self, count: int, timeout_s: float) -> list[Message]:
        if self.topic not in self.failing:
            return super().read(count, timeout_s)
        if super().read(3, timeout_s):
            self.failing.remove(self.topic)
            raise UnreachableError("the broker is away")
        return []


def test_what_was_read_in_part_is_read_whole_when_it_is_asked_for_again(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "PartitionReader", Interrupted)
    with closing(broker.decisions(AsTold())) as log, closing(broker.commits()) as reader:
        made = [commit(log, start) for start in (0, 10, 20)]
        for each in made:
            log.append(each)
        assert reader.read(0, 1) == made[:1]
        Interrupted.failing.add(broker.names.decisions)
        with pytest.raises(UnreachableError):
            reader.read(1, 2)
        assert reader.read(1, 2) == made[1:]
