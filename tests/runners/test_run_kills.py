"""A worker that is overtaken inside a commit; kills of whole processes: `make kill-loop`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from itertools import count
from types import SimpleNamespace

import pytest

from alcyon.domain.commit import Commit
from alcyon.domain.errors import FencedError, LogError
from alcyon.domain.record import Topic
from alcyon.io.kafka import KafkaDecisions, commits
from alcyon.io.kafka.source import HandedOver
from tests.kafka import Broker


class Overtaken(KafkaDecisions):
    """Sleeps where its commit is all sent, and wakes when another has taken over."""

    broker: Broker

    def _produce(self, topic: str, payloads: Sequence[bytes], is_keyed: bool = False) -> None:
        super()._produce(topic, payloads, is_keyed)
        if topic == self._names.commits:
            self._producer.flush(5.0)
            self.broker.decisions().close()


class OvertakenByWork(Overtaken):
    """Wakes when the other has done the same work."""

    def _produce(self, topic: str, payloads: Sequence[bytes], is_keyed: bool = False) -> None:
        KafkaDecisions._produce(self, topic, payloads, is_keyed)
        if topic == self._names.commits:
            self._producer.flush(5.0)
            self.broker.cover(decisions_each=1)


class OvertakenBefore(Overtaken):
    """Wakes before anything is sent, and is told so before it hears of a single delivery."""

    def _produce(self, topic: str, payloads: Sequence[bytes], is_keyed: bool = False) -> None:
        if topic == self._names.decisions:
            self.broker.decisions().close()
        KafkaDecisions._produce(self, topic, payloads, is_keyed)
        time.sleep(0.5)


@pytest.mark.parametrize("kind", [Overtaken, OvertakenBefore])
def test_a_worker_that_is_fenced_inside_a_commit_says_so_and_closes(
    broker: Broker, kind: type[Overtaken]
) -> None:
    with pytest.raises(FencedError):
        commit(broker, kind)
    with closing(broker.commits()) as reader:
        assert reader.last() is None


@pytest.mark.parametrize(
    ("kind", "raised"), [(Overtaken, LogError), (OvertakenByWork, FencedError)]
)
def test_whose_commit_lasted_too_long_ends_only_where_another_has_committed(
    broker: Broker,
    kind: type[Overtaken],
    raised: type[LogError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The broker ends such a commit in the same words as it fences."""
    clock = count(0, round(commits.TRANSACTION_TIMEOUT_S) + 1)
    monkeypatch.setattr(commits, "time", SimpleNamespace(time=lambda: next(clock)))
    with pytest.raises(LogError) as failed:
        commit(broker, kind)
    assert type(failed.value) is raised


def commit(broker: Broker, kind: type[Overtaken]) -> None:
    """Decide on one record, and be overtaken inside the commit."""
    with broker.intake() as intake:
        intake.append(Topic.TRANSACTIONS, [b"{}"])
    handed_over = HandedOver()
    log = kind(broker.connection, broker.names, broker.transactional_id, handed_over)
    log.broker = broker
    with closing(broker.source(handed_over)) as source:
        source.seek(0)
        records = source.poll(1, 5.0)
    with closing(log):
        log.append(Commit(log.epoch, 0, 0, len(records), (b'{"transaction_id":"t"}',)))
