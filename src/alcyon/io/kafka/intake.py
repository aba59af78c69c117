"""The intake: records added to the topics, all of a call or none."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from confluent_kafka import KafkaException, Producer

from alcyon.domain.errors import LogError
from alcyon.domain.ports import Intake
from alcyon.domain.record import Topic
from alcyon.io.kafka.connection import Connection
from alcyon.io.kafka.topics import TopicNames

_TIMEOUT_S = 30.0


class KafkaIntake(Intake):
    """Adds records in transactions of its own; any number of them at once.

    For records that must not be torn apart (control records, labels); a stream of transactions
    goes through `alcyon.io.kafka.sending`, which is faster.
    """

    def __init__(self, connection: Connection, names: TopicNames) -> None:
        self._connection, self._names = connection, names
        with connection.translated():
            self._producer = Producer(
                connection.config()
                | {"transactional.id": f"alcyon-intake-{uuid4()}", "acks": "all", "linger.ms": 0}
            )
            self._producer.init_transactions(_TIMEOUT_S)

    def append(self, topic: Topic, payloads: Sequence[bytes]) -> None:
        """Add records at the end, all or none."""
        if not payloads:
            return
        name = self._names.of(topic)
        try:
            self._producer.begin_transaction()
            for payload in payloads:
                self._producer.produce(name, payload)
            self._producer.commit_transaction(_TIMEOUT_S)
        except (KafkaException, BufferError) as error:
            self._abandon()
            raise LogError(
                f"{len(payloads)} records for {name}: {error}; whether they are in is in doubt, "
                "open anew and append again"
            ) from error

    def close(self) -> None:
        """Called once, last."""
        self._producer.flush(_TIMEOUT_S)

    def _abandon(self) -> None:
        try:
            self._producer.abort_transaction(_TIMEOUT_S)
        except KafkaException:  # the broker aborts it at its time-out
            return
