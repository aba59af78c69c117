"""Streaming: transactions as they are asked about, into the intake, faster than `intake` can.

Each of them is safe to send again: a repeat changes nothing. So none need wait for a transaction of
the broker.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from alcyon.domain.errors import LogError
from alcyon.domain.ports import Intake
from alcyon.domain.record import Topic
from alcyon.io.kafka.connection import Connection
from alcyon.io.kafka.topics import TopicNames

DELIVERY_S_MAX = 10.0
"""A record that no broker took for so long has failed; who asks was answered long before."""
_CONFIG = {
    "enable.idempotence": True,  # a repeat by the client is no second record
    "acks": "all",
    "linger.ms": 0,
    "delivery.timeout.ms": int(DELIVERY_S_MAX * 1000),
    "partitioner": "murmur2_random",  # as `sending`: a card's records keep their order
}
_HOLDERS = (b'"card_id":"', b'"account_id":"', b'"customer_id":"')


class KafkaStream(Intake):
    """Adds records, not all or none: those that failed are counted in the error. One thread."""

    def __init__(self, connection: Connection, names: TopicNames) -> None:
        self._connection, self._names = connection, names
        self._failures: Counter[str] = Counter()
        with connection.translated():
            self._producer = Producer(
                connection.config() | _CONFIG | {"on_delivery": self._reported}
            )

    def append(self, topic: Topic, payloads: Sequence[bytes]) -> None:
        """Add records; they are in once this returns."""
        name, produce = self._names.of(topic), self._producer.produce
        self._failures.clear()
        for payload in payloads:
            try:
                produce(name, payload, _holder(payload))
            except (KafkaException, BufferError) as error:
                self._failures[str(error)] += 1
        deadline = time.monotonic() + DELIVERY_S_MAX + 1.0
        while self._producer.flush(0.1) and time.monotonic() < deadline:
            pass
        if self._failures or len(self._producer):
            count = self._failures.total() + len(self._producer)
            why = next(iter(self._failures), "the broker does not answer")
            raise LogError(f"{count} of {len(payloads)} records for {name} were not taken: {why}")

    def close(self) -> None:
        """Called once, last."""
        self._producer.flush(1.0)

    def _reported(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failures[" ".join(error.str().split())] += 1


def _holder(payload: bytes) -> bytes | None:
    """The first of card, account and customer in our own JSON, as `alcyon produce` keys records."""
    for mark in _HOLDERS:
        begin = payload.find(mark) + len(mark)
        if begin >= len(mark):
            found = payload[begin : payload.find(b'"', begin)]
            return found if b"\\" not in found else None
    return None
