"""Topics of a test's own on a real broker, and what reads and writes them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, field
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewPartitions

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
from alcyon.io.kafka.entries import Run
from alcyon.io.kafka.partition import PartitionReader
from alcyon.io.kafka.source import HandedOver, Taken
from services import Kafka

ONE_EACH = dict.fromkeys(Topic, 1)


class AsTold(HandedOver):
    """Says of any records that they were read: where a log is tested, and not its source."""

    def covered(self, first_position: int, position: int) -> tuple[tuple[Run, ...], Taken | None]:
        return (Run(1, 0, first_position, position - first_position),), None


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

    def configure(self, topic: str, name: str, value: str) -> None:
        """Set a topic's configuration otherwise."""
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        changed = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        client = AdminClient(self.connection.config())
        for future in client.incremental_alter_configs([changed]).values():
            future.result(10)

    def widen(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions."""
        client = AdminClient(self.connection.config())
        for future in client.create_partitions([NewPartitions(topic, partitions)]).values():
            future.result(10)
        while len(client.list_topics(timeout=10).topics[topic].partitions) < partitions:
            time.sleep(0.02)  # the broker tells of them a moment later

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

    def kept(self) -> dict[str, bytes]:
        """By topic: keys and values of all that can be read there, one after the other."""
        found: dict[str, bytes] = {}
        for name in astuple(self.names):
            with closing(PartitionReader(self.connection, name)) as reader:
                reader.seek(reader.bounds()[0])
                parts: list[bytes] = []
                while messages := reader.up_to_end(10_000):
                    parts += [bytes(x) for m in messages for x in (m.key(), m.value()) if x]
                found[name] = b"\n".join(parts)
        return found

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
