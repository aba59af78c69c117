"""`alcyon run` as a user of the broker who lacks a right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
)
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from services import Kafka
from tests.cli.run_process import Start, decided, send
from tests.cli.test_run import SECURE
from tests.kafka import Broker


@contextmanager
def denied(
    broker: Broker, user: str, kind: ResourceType, name: str, right: AclOperation
) -> Iterator[None]:
    """The user lacks this right meanwhile."""
    rights = AdminClient(broker.connection.config())
    where = (kind, name, ResourcePatternType.LITERAL)
    refused = AclBinding(*where, f"User:{user}", "*", right, AclPermissionType.DENY)
    for future in rights.create_acls([refused]).values():
        future.result(10)
    try:
        yield
    finally:
        every = AclBindingFilter(*where, None, None, AclOperation.ANY, AclPermissionType.ANY)  # type: ignore[arg-type]
        for gone in rights.delete_acls([every]).values():
            gone.result(10)


@pytest.fixture
def as_user(kafka: Kafka, of_broker: dict[str, object]) -> dict[str, object]:
    secure = SECURE["scram"](kafka)
    return of_broker | {key: value for key, value in secure.items() if "TRANS" not in key}


def test_a_user_who_may_not_see_a_topic_is_told_so(
    kafka: Kafka, broker: Broker, as_user: dict[str, object], start: Start
) -> None:
    topic = broker.names.decisions
    with denied(broker, kafka.username, ResourceType.TOPIC, topic, AclOperation.DESCRIBE):
        run = start(as_user)
        assert run.ended() == 1
        (line,) = run.lines("failed")
    assert "the broker's rights for this user on its topics" in line["error"]


def test_a_user_who_may_not_commit_is_told_so(
    kafka: Kafka, broker: Broker, as_user: dict[str, object], start: Start
) -> None:
    name = f"{broker.transactional_id}-0"
    with denied(broker, kafka.username, ResourceType.TRANSACTIONAL_ID, name, AclOperation.WRITE):
        run = start(as_user)
        assert run.ended() == 1
        (line,) = run.lines("failed")
    assert "the broker's rights for this user on kafka.transactional_id" in line["error"]


def test_a_right_that_is_taken_away_holds_up_and_loses_nothing(
    kafka: Kafka, broker: Broker, as_user: dict[str, object], start: Start
) -> None:
    run = start(as_user)
    run.line("worker started")
    run.comes_to(3)
    topic = broker.names.decisions
    with denied(broker, kafka.username, ResourceType.TOPIC, topic, AclOperation.WRITE):
        send(broker, 0, 2)
        run.line("broker away")
        assert run.get("/readyz")[0] == 503
        assert decided(broker) == []
    run.comes_to(5)
    assert decided(broker) == ["t0", "t1"]
    assert run.stop() == 0
