"""Resolutions: what became of reviews, into a topic of their own, for whoever waits for them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from alcyon.domain.errors import LogError
from alcyon.io.kafka.connection import Connection

_TIMEOUT_S = 30.0


class _Keyed(msgspec.Struct):
    transaction_id: str


_keyed = msgspec.json.Decoder(_Keyed)


class KafkaResolutions:
    """Adds resolutions, each under its transaction's id; used by one thread."""

    def __init__(self, connection: Connection, topic: str) -> None:
        """UnreachableError: the broker does not answer."""
        self._topic = topic
        connection.reached()
        with connection.translated():
            self._producer = Producer(
                connection.config()
                | {
                    "enable.idempotence": True, "acks": "all",
                    "delivery.timeout.ms": int(_TIMEOUT_S * 1000),
                }
            )  # fmt: skip

    def append(self, payloads: Sequence[bytes]) -> None:
        """Add them, and wait until the broker has them. LogError: some may not be in; to add all
        of them again does no harm to who looks at `resolution_id`."""
        failed: list[str] = []

        def reported(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failed.append(" ".join(error.str().split()))

        try:
            for payload in payloads:
                key = _keyed.decode(payload).transaction_id
                self._producer.produce(self._topic, payload, key, on_delivery=reported)
            waiting = self._producer.flush(_TIMEOUT_S)
        except (KafkaException, BufferError) as error:
            self._producer.purge()
            raise LogError(f"resolutions for {self._topic}: {error}; append them again") from error
        if failed or waiting:
            self._producer.purge()
            told = failed[0] if failed else "the broker does not answer"
            raise LogError(f"resolutions for {self._topic}: {told}; append them again")

    def close(self) -> None:
        """Called once, last."""
        self._producer.flush(1.0)
