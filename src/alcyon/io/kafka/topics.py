"""The topics: made in development, checked everywhere; where one is amiss, the command to run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._metadata import ClusterMetadata
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from alcyon.domain.errors import UnreachableError
from alcyon.domain.record import Topic
from alcyon.io.kafka.connection import CONNECT_TIMEOUT_S, Connection

_TIMEOUT_S = 15.0
_HOUR_MS = 3_600_000
_PAUSE_S = 0.1
APPEND_TIME: Mapping[str, str] = {"message.timestamp.type": "LogAppendTime"}
"""The broker's clock says when a record came: it orders topics, and tells what is in the future."""


@dataclass(frozen=True)
class TopicNames:
    """What the topics are called; see `alcyon.settings.KafkaSettings`."""

    transactions: str = "transactions"
    labels: str = "labels"
    control: str = "control"
    decisions: str = "decisions"
    alerts: str = "alerts"
    dead_letters: str = "dead-letters"
    commits: str = "commits"
    resolutions: str = "resolutions"

    def of(self, topic: Topic) -> str:
        """The name of a topic that the worker reads."""
        names = {
            Topic.TRANSACTIONS: self.transactions,
            Topic.LABELS: self.labels,
            Topic.CONTROL: self.control,
        }
        return names[topic]

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the worker reads."""
        return tuple(self.of(topic) for topic in Topic)


def ensure_topics(
    connection: Connection,
    names: TopicNames,
    retention_hours: int,
    *,
    may_create: bool,
    reach_s: float = CONNECT_TIMEOUT_S,
) -> dict[Topic, int]:
    """Partitions of each topic the worker reads, after all topics were found fit, or made.

    reach_s: for the broker's first answer. UnreachableError, with the command to run: one is
    missing and may not be made, or would lose what is needed (compacted, no append time, several
    partitions where only one has an order).
    """
    client, found = connection.reached_by(reach_s)
    missing = [name for name in astuple(names) if name not in found.topics]
    if missing and not may_create:
        raise UnreachableError(
            f"topic {', '.join(missing)} is missing at {connection.bootstrap}; make it: "
            + "; ".join(_command(connection, name, names, retention_hours) for name in missing)
        )
    _create(connection, client, [_new(n, names, retention_hours) for n in missing])
    partitions = _partitions(connection, client, found, names)
    _check(connection, client, names, partitions)
    return {topic: partitions[names.of(topic)] for topic in Topic}


def _partitions(
    connection: Connection, client: AdminClient, cluster: ClusterMetadata, names: TopicNames
) -> dict[str, int]:
    """Of each topic; a topic just made takes the broker a moment to tell of."""
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        found = cluster.topics
        known = {n: len(found[n].partitions) for n in astuple(names) if n in found}
        missing = [name for name in astuple(names) if not known.get(name)]
        if not missing:
            return known
        if time.monotonic() > deadline:
            raise UnreachableError(
                f"topic {', '.join(missing)} is at {connection.bootstrap} and does not show: look "
                "at the broker's rights for this user on its topics"
            )
        time.sleep(_PAUSE_S)
        try:
            cluster = client.list_topics(timeout=_TIMEOUT_S)
        except KafkaException as error:
            raise connection.refused(error.args[0]) from error


def _config(name: str, names: TopicNames, retention_hours: int) -> dict[str, str]:
    # Control records for ever: whoever reads old decisions needs the rates they were made with.
    retention_ms = -1 if name == names.control else retention_hours * _HOUR_MS
    config = {"retention.ms": str(retention_ms), "cleanup.policy": "delete"}
    return {**config, **APPEND_TIME} if name in names.inputs else config


def _new(name: str, names: TopicNames, retention_hours: int) -> NewTopic:
    # The broker's own default of replicas (-1): one in development, what it should be elsewhere.
    config = _config(name, names, retention_hours)
    return NewTopic(name, num_partitions=1, replication_factor=-1, config=config)


def _command(connection: Connection, name: str, names: TopicNames, retention_hours: int) -> str:
    config = _config(name, names, retention_hours).items()
    settings = " ".join(f"--config {key}={value}" for key, value in config)
    return (
        f"kafka-topics.sh --bootstrap-server {connection.bootstrap} --create --topic {name} "
        f"--partitions 1 {settings}"
    )


def _create(connection: Connection, client: AdminClient, topics: list[NewTopic]) -> None:
    if not topics:
        return
    for future in client.create_topics(topics, operation_timeout=_TIMEOUT_S).values():
        try:
            future.result(_TIMEOUT_S)
        except TimeoutError as error:
            raise _silent(connection) from error
        except KafkaException as error:
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS":  # another process was quicker
                raise connection.refused(error.args[0]) from error


def _check(
    connection: Connection, client: AdminClient, names: TopicNames, partitions: Mapping[str, int]
) -> None:
    wanted = astuple(names)
    for name in wanted:
        if name not in (names.transactions, names.labels) and partitions[name] != 1:
            raise UnreachableError(
                f"topic {name} has {partitions[name]} partitions: make it anew with one, its "
                "records have an order"
            )
    for name, config in _configs(connection, client, wanted):
        if "compact" in config["cleanup.policy"]:
            raise UnreachableError(_alter(connection, name, "cleanup.policy=delete"))
        stamp = config["message.timestamp.type"]
        if name in names.inputs and stamp != APPEND_TIME["message.timestamp.type"]:
            raise UnreachableError(_alter(connection, name, "message.timestamp.type=LogAppendTime"))


def kept_ms(connection: Connection, names: TopicNames) -> int | None:
    """How long the longest of the topics that hold payments keeps a record; None: for ever.

    UnreachableError: the broker does not answer.
    """
    client, _ = connection.reached_by(CONNECT_TIMEOUT_S)
    holding = [name for name in astuple(names) if name not in (names.control, names.commits)]
    found = [int(c["retention.ms"]) for _, c in _configs(connection, client, holding)]
    return None if min(found) < 0 else max(found)


def _configs(
    connection: Connection, client: AdminClient, names: Sequence[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    for resource, future in client.describe_configs(resources).items():
        try:
            config = future.result(_TIMEOUT_S)
        except TimeoutError as error:
            raise _silent(connection) from error
        except KafkaException as error:
            raise connection.refused(error.args[0]) from error
        yield resource.name, {key: entry.value for key, entry in config.items()}


def _silent(connection: Connection) -> UnreachableError:
    """The broker went away between a question and its answer."""
    return UnreachableError(
        f"the broker at {connection.bootstrap} does not answer: look at kafka.bootstrap, and "
        "whether the broker runs"
    )


def _alter(connection: Connection, name: str, setting: str) -> str:
    return (
        f"topic {name} is not fit for an order that can be repeated; run: kafka-configs.sh "
        f"--bootstrap-server {connection.bootstrap} --alter --entity-type topics --entity-name "
        f"{name} --add-config {setting}"
    )
