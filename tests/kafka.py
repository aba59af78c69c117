"""Topics of a test's own on a real broker, and what reads and writes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import pytest

from alcyon.domain.commit import Commit
from alcyon.domain.record import Topic
from alcyon.io.kafka import (
    Connection,
    KafkaCommits,
    KafkaDecisions,
    KafkaIntake,
    KafkaRecorded,
    KafkaSource,
    TopicNames,
    ensure_topics,
)
from alcyon.io.kafka.source import HandedOver
from services import Kafka

ONE_EACH = dict.fromkeys(Topic, 1)


@dataclass
class Broker:
    """One test's view of the broker."""

    connection: Connection
    names: TopicNames
    transactional_id: str
    partitions: dict[Topic, int] = field(default_factory=lambda: dict(ONE_EACH))

    @staticmethod
    def of(bootstrap: str) -> Broker:
        """New topics, made."""
        mark = uuid4().hex[:12]
        names = TopicNames(
            *(f"{mark}-{name}" for name in TopicNames.__dataclass_fields__)  # no test meets another
        )
        connection = Connection(bootstrap)
        ensure_topics(connection, names, 1, may_create=True)
        return Broker(connection, names, mark)

    @contextmanager
    def intake(self) -> Iterator[KafkaIntake]:
        """An intake, closed at the end."""
        with closing(KafkaIntake(self.connection, self.names)) as intake:
            yield intake

    def recorded(self) -> KafkaRecorded:
        """A source of what commits cover."""
        return KafkaRecorded(self.connection, self.names)

    def source(self, handed_over: HandedOver | None = None) -> KafkaSource:
        """The worker's source."""
        return KafkaSource(
            self.connection, self.names, self.partitions, handed_over or HandedOver()
        )

    def decisions(self, handed_over: HandedOver | None = None) -> KafkaDecisions:
        """The worker's log; fences the one before."""
        return KafkaDecisions(
            self.connection, self.names, self.transactional_id, handed_over or HandedOver()
        )

    def commits(self) -> KafkaCommits:
        """A reader of the decisions log."""
        return KafkaCommits(self.connection, self.names)

    def cover(self, decisions_each: int = 0) -> None:
        """Let commits cover whatever has arrived, as a worker would."""
        handed_over = HandedOver()
        with closing(self.decisions(handed_over)) as log, closing(self.source(handed_over)) as live:
            last = log.last()
            position, sequence = (last.position, last.next_sequence) if last else (0, 0)
            live.seek(position)
            while records := live.poll(99, 0.3):
                made = tuple(
                    b'{"transaction_id":"%d"}' % i for i in range(decisions_each * len(records))
                )
                end = position + len(records)
                log.append(Commit(log.epoch, sequence, position, end, made))
                sequence, position = sequence + len(records), end


@pytest.fixture
def broker(kafka: Kafka) -> Broker:
    """Topics of this test's own."""
    return Broker.of(kafka.bootstrap)
