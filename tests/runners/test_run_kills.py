"""A worker that is overtaken inside a commit; kills of whole processes: `make kill-loop`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing

import pytest

from alcyon.domain.commit import Commit
from alcyon.domain.errors import FencedError
from alcyon.domain.record import Topic
from alcyon.io.kafka import KafkaDecisions
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
    with broker.intake() as intake:
        intake.append(Topic.TRANSACTIONS, [b"{}"])
    handed_over = HandedOver()
    log = kind(broker.connection, broker.names, broker.transactional_id, handed_over)
    log.broker = broker
    with closing(broker.source(handed_over)) as source:
        source.seek(0)
        records = source.poll(1, 5.0)
    with pytest.raises(FencedError), closing(log):
        log.append(Commit(log.epoch, 0, 0, len(records), (b'{"transaction_id":"t"}',)))
    with closing(broker.commits()) as commits:
        assert commits.last() is None
