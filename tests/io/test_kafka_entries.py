"""Entries are read on to the last one, whenever it came."""

from __future__ import annotations

from contextlib import closing

from tests.kafka import Broker

from alcyon.domain.record import Topic
from alcyon.io.kafka.entries import Entries, Entry


class Meanwhile(Entries):
    """A commit comes in between two looks: just before it is asked which is the last."""

    broker: Broker

    def last(self) -> Entry | None:
        self.broker.cover()
        return super().last()


def test_an_entry_that_comes_while_the_reader_looks_for_it_is_read(broker: Broker) -> None:
    with broker.intake() as intake:
        intake.append(Topic.TRANSACTIONS, [b"the first"])
        broker.cover()
        intake.append(Topic.TRANSACTIONS, [b"the last there ever is"])
    with closing(Meanwhile(broker.connection, broker.names.commits)) as entries:
        entries.broker = broker
        found = entries.read(1, 9) or entries.read(1, 9)
    assert [(entry.index, entry.position) for entry in found] == [(1, 2)]


def test_a_record_covered_while_its_place_is_sought_is_read(broker: Broker) -> None:
    with broker.intake() as intake:
        intake.append(Topic.TRANSACTIONS, [b"the first"])
        broker.cover()
        intake.append(Topic.TRANSACTIONS, [b"the last there ever is"])
    with closing(broker.recorded()) as recorded:
        recorded._entries.close()
        recorded._entries = meanwhile = Meanwhile(broker.connection, broker.names.commits)
        meanwhile.broker = broker
        recorded.seek(1)
        assert [record.payload for record in recorded.poll(9, 5.0)] == [b"the last there ever is"]
