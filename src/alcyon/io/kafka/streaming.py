"""Streaming: transactions as they are asked about, into the intake, faster than `intake` can.

Each of them is safe to send again: a repeat changes nothing. So none need wait for a transaction of
the broker. Labels and control records, which must not be torn apart, go through an `intake` that is
opened when there is the first of them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from threading import Lock

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from alcyon.domain.errors import LogError
from alcyon.domain.ports import Intake
from alcyon.domain.record import Topic
from alcyon.io.kafka.connection import Connection
from alcyon.io.kafka.intake import KafkaIntake
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
    """Adds transactions, not all or none: those that failed are counted in the error; others all or
    none. For several threads."""

    def __init__(self, connection: Connection, names: TopicNames) -> None:
        self._connection, self._names = connection, names
        self._failures: Counter[str] = Counter()
        self._lock, self._whole_lock = Lock(), Lock()
        self._whole: KafkaIntake | None = None
        with connection.translated():
            self._producer = Producer(
                connection.config() | _CONFIG | {"on_delivery": self._reported}
            )

    def append(self, topic: Topic, payloads: Sequence[bytes]) -> None:
        """Add records; they are in once this returns."""
        if topic is Topic.TRANSACTIONS:
            with self._lock:
                self._stream(topic, payloads)
        else:
            with self._whole_lock:
                self._append_whole(topic, payloads)

    def close(self) -> None:
        """Called once, last."""
        self._producer.flush(1.0)
        if self._whole is not None:
            self._whole.close()

    def _append_whole(self, topic: Topic, payloads: Sequence[bytes]) -> None:
        if self._whole is None:
            self._whole = KafkaIntake(self._connection, self._names)
        try:
            self._whole.append(topic, payloads)
        except LogError:  # what it has begun may be in doubt: the next one begins anew
            self._whole.close()
            self._whole = None
            raise

    def _stream(self, topic: Topic, payloads: Sequence[bytes]) -> None:
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
