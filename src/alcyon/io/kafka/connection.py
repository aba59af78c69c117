"""The connection: where the broker is, how we prove who we are, and what it means if that fails."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._metadata import ClusterMetadata

from alcyon.domain.errors import FencedError, LogError, UnreachableError

CONNECT_TIMEOUT_S = 10.0
_CLIENT = "alcyon"
_FOLLOWING_WAIT_MS = 100
_TRAILING_WAIT_MS, _TRAILING_BYTES_MIN = 200, 128 * 1024
_REFUSED: Mapping[int, str] = {
    KafkaError._AUTHENTICATION: "kafka.username and kafka.password",
    KafkaError.SASL_AUTHENTICATION_FAILED: "kafka.username and kafka.password",
    KafkaError._SSL: "kafka.security, kafka.ca and kafka.certificate",
    KafkaError._RESOLVE: "kafka.bootstrap",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "the broker's rights for this user on its topics",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the broker's rights for this user on the cluster",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "the broker's rights for this user on its groups",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: (
        "the broker's rights for this user on kafka.transactional_id"
    ),
}
"""Errors that waiting does not cure, and where to look."""
_FENCED = frozenset(
    (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH)
)


@dataclass(frozen=True)
class Connection:
    """Where the broker is, and how it is reached; see `alcyon.settings.KafkaSettings`."""

    bootstrap: str
    security: str = "PLAINTEXT"
    sasl_mechanism: str = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    certificate_key: Path | None = None
    fetch_wait_ms: int = 20
    """How long the broker may hold a fetch at the end of a partition; what arrives is answered at
    once. To read elsewhere waits for that fetch, so who goes from place to place, as recovery does,
    must not let it be long; who follows the end spares the broker work by `following`."""
    fetch_bytes_min: int = 1
    """A fetch is answered once so much has arrived, or when it was held long enough."""

    def following(self) -> Connection:
        """The same for readers that stay at the end."""
        return replace(self, fetch_wait_ms=_FOLLOWING_WAIT_MS)

    def trailing(self) -> Connection:
        """The same for readers that may be a little late, and take much at once: projections.

        Each commit would else wake each of them: at 1,000 transactions/s that took the broker more
        time than the commits did.
        """
        return replace(self, fetch_wait_ms=_TRAILING_WAIT_MS, fetch_bytes_min=_TRAILING_BYTES_MIN)

    def config(self) -> dict[str, Any]:
        """What every client of librdkafka is told."""
        given = {
            "bootstrap.servers": self.bootstrap,
            "client.id": _CLIENT,
            "security.protocol": self.security,
            "ssl.ca.location": self.ca and str(self.ca),
            "ssl.certificate.location": self.certificate and str(self.certificate),
            "ssl.key.location": self.certificate_key and str(self.certificate_key),
            # Quick to be back after the broker was away; the defaults wait up to ten seconds.
            "reconnect.backoff.max.ms": 1000,
            "socket.nagle.disable": True,
            "log_level": 2,  # what matters comes as an error, told once and in our words
        }
        if self.security.startswith("SASL"):
            given |= {
                "sasl.mechanism": self.sasl_mechanism,
                "sasl.username": self.username,
                "sasl.password": self.password,
            }
        return {name: value for name, value in given.items() if value is not None}

    def reached(self, timeout_s: float = CONNECT_TIMEOUT_S) -> ClusterMetadata:
        """The cluster's topics. UnreachableError: why it cannot be reached, and what to do."""
        return self.reached_by(timeout_s)[1]

    def reached_by(
        self, timeout_s: float = CONNECT_TIMEOUT_S
    ) -> tuple[AdminClient, ClusterMetadata]:
        """As `reached`, and the client, for whoever asks more: each costs a connection."""
        errors: list[KafkaError] = []
        with self.translated():
            client = AdminClient(self.config() | {"error_cb": errors.append})
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return client, client.list_topics(timeout=1.0)
            except KafkaException as error:
                client.poll(0)
                last: list[KafkaError] = [*errors, error.args[0]]
            for heard in last:
                if heard.code() in _REFUSED:
                    raise self.refused(heard)
            if time.monotonic() > deadline:
                raise self.refused(last[0])

    def newest_ms(self, topic: str, timeout_s: float = CONNECT_TIMEOUT_S) -> int | None:
        """The largest time among a topic's records, UTC ms by the clock that stamped them; None
        where it has none. UnreachableError as for `reached`."""
        client, cluster = self.reached_by(timeout_s)
        newest = cast(Any, OffsetSpec).max_timestamp()  # untyped
        asked = {
            TopicPartition(topic, number): newest for number in cluster.topics[topic].partitions
        }
        with self.translated():
            told = client.list_offsets(asked, request_timeout=timeout_s).values()
            times = [answer.result().timestamp for answer in told]
        return max((time for time in times if time >= 0), default=None)

    def refused(self, error: KafkaError) -> UnreachableError:
        """The error in one line, with the setting to look at."""
        look = _REFUSED.get(error.code(), "kafka.bootstrap, and whether the broker runs")
        told = " ".join(error.str().split())
        return UnreachableError(f"the broker at {self.bootstrap} ({told}): look at {look}")

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turns the client's errors into ours."""
        try:
            yield
        except KafkaException as error:
            raise self.translate(error.args[0]) from error

    def translate(self, error: KafkaError) -> LogError | UnreachableError:
        """FencedError: a later worker took over; LogError: what was asked for is not there."""
        # Of an earlier fatal error the client keeps the words only.
        if error.code() in _FENCED or "fenced" in error.str():
            return FencedError(
                "fenced: a later worker with this kafka.transactional_id took over; end this one"
            )
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            return LogError(f"records that are needed have left the topic: {error.str()}")
        return self.refused(error)
