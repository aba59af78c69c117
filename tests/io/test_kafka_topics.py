"""What topics must be like, on a real broker."""

from __future__ import annotations

import re
from dataclasses import astuple

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from tests.kafka import Broker

from alcyon.domain.errors import UnreachableError
from alcyon.domain.record import Topic
from alcyon.io.kafka import Connection, TopicNames, ensure_topics
from services import Kafka

HOURS = 3


def ensured(broker: Broker) -> dict[Topic, int]:
    return ensure_topics(broker.connection, broker.names, HOURS, may_create=False)


def test_topics_that_are_made_have_one_partition_and_the_retention_that_was_set(
    kafka: Kafka,
) -> None:
    names = TopicNames(*(f"made-{name}" for name in astuple(TopicNames())))
    connection = Connection(kafka.bootstrap)
    assert ensure_topics(connection, names, HOURS, may_create=True) == dict.fromkeys(Topic, 1)
    client = AdminClient(connection.config())
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in astuple(names)]
    told = {r.name: f.result(10) for r, f in client.describe_configs(asked).items()}
    found = {
        name: tuple(of[key].value for key in ("cleanup.policy", "retention.ms"))
        for name, of in told.items()
    }
    kept = ("delete", str(HOURS * 3_600_000))
    assert found == dict.fromkeys(astuple(names), kept) | {names.control: ("delete", "-1")}
    stamps = {name: told[name]["message.timestamp.type"].value for name in names.inputs}
    assert stamps == dict.fromkeys(names.inputs, "LogAppendTime")


def test_what_is_missing_is_told_with_the_command_for_each(kafka: Kafka) -> None:
    names = TopicNames(*(f"nowhere-{name}" for name in astuple(TopicNames())))
    with pytest.raises(UnreachableError, match="is missing") as refused:
        ensure_topics(Connection(kafka.bootstrap), names, HOURS, may_create=False)
    commands = str(refused.value).partition("make it: ")[2].split("; ")
    made = [re.search(r"--create --topic (\S+) --partitions 1 ", c) for c in commands]
    assert [found and found[1] for found in made] == list(astuple(names))
    for command, name in zip(commands, astuple(names), strict=True):
        assert f"--bootstrap-server {kafka.bootstrap} " in command
        is_input = name in names.inputs
        assert ("message.timestamp.type=LogAppendTime" in command) is is_input
        assert ("retention.ms=-1 " in command) is (name == names.control)


@pytest.mark.parametrize("kind", ["control", "decisions", "alerts", "dead_letters", "commits"])
def test_what_has_one_order_may_not_have_two_partitions(kind: str, broker: Broker) -> None:
    topic = getattr(broker.names, kind)
    broker.widen(topic, 2)
    with pytest.raises(UnreachableError, match=f"{topic} has 2 partitions: make it anew with one"):
        ensured(broker)


def test_payments_and_labels_may_have_several(broker: Broker) -> None:
    broker.widen(broker.names.transactions, 2)
    broker.widen(broker.names.labels, 2)
    assert ensured(broker) == {Topic.TRANSACTIONS: 2, Topic.LABELS: 2, Topic.CONTROL: 1}


@pytest.mark.parametrize(
    ("kind", "name", "value", "remedy"),
    [
        ("commits", "cleanup.policy", "compact", "cleanup.policy=delete"),
        ("transactions", "message.timestamp.type", "CreateTime",
         "message.timestamp.type=LogAppendTime"),
    ],
)  # fmt: skip
def test_what_would_lose_the_order_is_told_with_the_command(
    kind: str, name: str, value: str, remedy: str, broker: Broker
) -> None:
    topic = getattr(broker.names, kind)
    broker.configure(topic, name, value)
    with pytest.raises(UnreachableError, match=f"{topic} is not fit") as refused:
        ensured(broker)
    assert str(refused.value).endswith(f"--entity-name {topic} --add-config {remedy}")
