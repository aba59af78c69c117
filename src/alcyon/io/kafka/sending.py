"""Sending: records into topics as fast as they come, each of them accounted for.

For streams of transactions. What must be there whole or not at all goes through `intake`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from alcyon.domain.errors import LogError, UnreachableError
from alcyon.io.kafka.connection import Connection
from alcyon.io.kafka.topics import APPEND_TIME

SCHEDULED_AT = "scheduled_at"
"""The header that says when a record was due to be sent: UTC ms, as decimal text."""
DELIVERY_S_MAX = 120.0
"""A record that no broker took for so long has failed; a restart of a broker takes less."""
BUFFER_RECORDS_MAX, BUFFER_KIB_MAX = 100_000, 65_536
"""What may wait in the client: seconds of traffic, and bounded whatever the broker does."""
_SERVED_EVERY = 256
"""Records between two looks at what the broker reported: about half a millisecond."""
_FULL_WAIT_S, _FLUSH_WAIT_S = 0.02, 0.1
_PURGE_S = 5.0
_CONFIG = {
    # A repeat by the client is no second record, and records of a partition keep their order.
    "enable.idempotence": True,
    "acks": "all",
    "compression.type": "lz4",  # cheap, and records of a batch are much alike
    "linger.ms": 2,  # enough to fill batches from some thousands a second on; adds to latency
    "delivery.timeout.ms": int(DELIVERY_S_MAX * 1000),
    "queue.buffering.max.messages": BUFFER_RECORDS_MAX,
    "queue.buffering.max.kbytes": BUFFER_KIB_MAX,
    "partitioner": "murmur2_random",  # a key goes where producers in Java would send it
}
Key = str | bytes | None


def _always() -> bool:
    return True


class Sending:
    """Sends records; `finish` once, last. Used by one thread.

    Each record's delivery report is looked at: in the end `sent` is `acknowledged` plus `failed`.
    keeps_waiting: asked again and again while we wait for the broker; False gives up.
    """

    def __init__(
        self,
        connection: Connection,
        topics: Sequence[str],
        keeps_waiting: Callable[[], bool] = _always,
    ) -> None:
        """UnreachableError: the broker cannot be reached, or lacks one of the topics."""
        self._connection, self._keeps_waiting = connection, keeps_waiting
        _check(connection, topics)
        self.sent = 0
        self.acknowledged = 0
        self.failures: Counter[str] = Counter()
        """How many records failed, by reason."""
        with connection.translated():
            self._producer = Producer(
                connection.config() | _CONFIG | {"on_delivery": self._reported}
            )

    @property
    def failed(self) -> int:
        """Records that are not in a topic, as far as the broker told."""
        return self.failures.total()

    @property
    def waiting(self) -> int:
        """Records whose report has not come."""
        return self.sent - self.acknowledged - self.failed

    def send(
        self,
        topic: str,
        payloads: Sequence[bytes],
        keys: Sequence[Key],
        scheduled: Sequence[int],
    ) -> int:
        """Hand over records; how many were taken: fewer than all if we gave up.

        scheduled: when each was due to be sent (UTC ms). LogError: nothing more can be sent.
        """
        produce, start = self._producer.produce, self.sent
        for payload, key, due in zip(payloads, keys, scheduled, strict=True):
            headers: list[tuple[str, str | bytes | None]] = [(SCHEDULED_AT, b"%d" % due)]
            while True:
                try:
                    produce(topic, payload, key, headers=headers)
                except BufferError:
                    self._producer.poll(_FULL_WAIT_S)
                    if not self._keeps_waiting():
                        return self.sent - start
                except KafkaException as error:
                    self._refused(error.args[0])
                    break
                else:
                    break
            self.sent += 1
            if self.sent % _SERVED_EVERY == 0:
                self._producer.poll(0)
        self._producer.poll(0)
        return self.sent - start

    def serve(self) -> None:
        """Look at what the broker reported; `send` does so too."""
        self._producer.poll(0)

    def finish(self, timeout_s: float = DELIVERY_S_MAX + _PURGE_S) -> None:
        """Wait for all reports; what has none by then is taken back and counts as failed.

        LogError: records are unaccounted for.
        """
        deadline = time.monotonic() + timeout_s
        while self._producer.flush(_FLUSH_WAIT_S):
            if not self._keeps_waiting() or time.monotonic() > deadline:
                break
        if len(self._producer):
            self._producer.purge()
            self._producer.flush(_PURGE_S)
        if self.waiting:
            raise LogError(
                f"{self.waiting} records are unaccounted for: whether they are in their topics is "
                "in doubt"
            )

    def _reported(self, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self.acknowledged += 1
        else:
            self.failures[_told(error)] += 1

    def _refused(self, error: KafkaError) -> None:
        """The client does not take the record: too large, or nothing goes any more."""
        if error.fatal():
            raise LogError(f"nothing more can be sent: {_told(error)}; start anew")
        self.failures[_told(error)] += 1


def _told(error: KafkaError) -> str:
    return " ".join(error.str().split())


def _check(connection: Connection, topics: Sequence[str]) -> None:
    found = connection.reached().topics
    missing = [name for name in topics if name not in found]
    if missing:
        config = " ".join(f"--config {name}={value}" for name, value in APPEND_TIME.items())
        raise UnreachableError(
            f"topic {', '.join(missing)} is missing at {connection.bootstrap}; make it: "
            + "; ".join(
                f"kafka-topics.sh --bootstrap-server {connection.bootstrap} --create --topic "
                f"{name} --partitions 1 {config}"
                for name in missing
            )
        )
