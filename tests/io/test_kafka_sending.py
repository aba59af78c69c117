"""Sending into a real broker, read back by a client that is not ours."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from tests.kafka import Broker

from alcyon.domain.errors import UnreachableError
from alcyon.io.kafka import Connection
from alcyon.io.kafka.sending import Sending

Client = Callable[[str, str], str]
DUE = 1_767_225_600_000


@pytest.fixture
def read_back(broker: Broker, client: Client) -> Callable[[str], list[dict[str, Any]]]:
    """All records of a topic, as kcat tells them."""

    def read(topic: str) -> list[dict[str, Any]]:
        given = ["-b", broker.connection.bootstrap, "-C", "-e", "-q", "-J", "-t", topic]
        done = subprocess.run(
            [client("kcat", "kcat"), *given], capture_output=True, text=True, timeout=60, check=True
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    return read


def test_every_record_arrives_once_in_order_with_its_key_and_schedule(
    broker: Broker, read_back: Callable[[str], list[dict[str, Any]]]
) -> None:
    topic, n = broker.names.transactions, 5000
    sending = Sending(broker.connection, [topic])
    for start in range(0, n, 1000):
        rows = range(start, start + 1000)
        payloads = [b'{"n":%d}' % i for i in rows]
        assert sending.send(topic, payloads, [f"k{i % 7}" for i in rows], [DUE + i for i in rows])
    sending.finish()
    assert (sending.sent, sending.acknowledged, sending.failed) == (n, n, 0)
    found = read_back(topic)
    assert [json.loads(record["payload"])["n"] for record in found] == list(range(n))
    assert [record["key"] for record in found] == [f"k{i % 7}" for i in range(n)]
    assert [r["headers"] for r in found] == [["scheduled_at", str(DUE + i)] for i in range(n)]


def test_a_record_without_a_key_is_sent(
    broker: Broker, read_back: Callable[[str], list[dict[str, Any]]]
) -> None:
    topic = broker.names.labels
    sending = Sending(broker.connection, [topic])
    sending.send(topic, [b"{}"], [None], [DUE])
    sending.finish()
    assert [record["key"] for record in read_back(topic)] == [None]


def test_a_record_that_is_too_large_fails_alone_and_says_why(
    broker: Broker, read_back: Callable[[str], list[dict[str, Any]]]
) -> None:
    topic = broker.names.transactions
    sending = Sending(broker.connection, [topic])
    sending.send(topic, [b"a", b"x" * 2_000_000, b"b"], ["k"] * 3, [DUE] * 3)
    sending.finish()
    assert (sending.sent, sending.acknowledged, sending.failed) == (3, 2, 1)
    assert "too large" in next(iter(sending.failures))
    assert [record["payload"] for record in read_back(topic)] == ["a", "b"]


def test_a_full_buffer_waits_until_told_not_to_and_what_is_taken_back_has_failed(
    broker: Broker,
) -> None:
    topic, asked = broker.names.transactions, 0

    def keeps_waiting() -> bool:
        nonlocal asked
        asked += 1
        return asked < 3

    sending = Sending(broker.connection, [topic], keeps_waiting)
    payload = bytes(range(256)) * 3600  # 0.9 MB: 64 MiB are full before a broker took them
    taken = sending.send(topic, [payload] * 1000, ["k"] * 1000, [DUE] * 1000)
    assert 60 < taken < 1000
    assert asked == 3
    sending.finish(0.0)
    assert sending.sent == taken == sending.acknowledged + sending.failed
    assert sending.waiting == 0


def test_a_missing_topic_is_one_line_with_the_command(broker: Broker) -> None:
    with pytest.raises(UnreachableError, match=r"nowhere is missing .*kafka-topics.sh .*nowhere"):
        Sending(broker.connection, [broker.names.labels, "nowhere"])


def test_a_broker_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection.reached, "__defaults__", (0.5,))
    with pytest.raises(UnreachableError, match=r"kafka\.bootstrap"):
        Sending(Connection("127.0.0.1:1"), ["t"])
