"""Entries are read on to the last one, whenever it came."""

from __future__ import annotations

import time
from contextlib import closing

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from tests.kafka import Broker

from alcyon.domain.errors import LogError
from alcyon.domain.record import Topic
from alcyon.io.kafka import entries as kafka_entries
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


def appended(broker: Broker, name: str) -> None:
    with broker.intake() as intake:
        intake.append(Topic.TRANSACTIONS, [name.encode()])
    broker.cover()


def read_for(entries: Entries, from_index: int, seconds: float) -> list[Entry]:
    """What comes in this time, read again and again as a projection does."""
    found, deadline = list[Entry](), time.monotonic() + seconds
    while time.monotonic() < deadline:
        found += entries.read(from_index + len(found), 9)
        time.sleep(0.01)
    return found


def test_where_retention_took_all_commits_nobody_begins_anew_unasked(broker: Broker) -> None:
    with broker.intake() as intake:
        intake.append(Topic.TRANSACTIONS, [b"a"])
    broker.cover()
    topic = broker.names.commits
    client = AdminClient(broker.connection.config())
    everything = TopicPartition(topic, 0, -1)  # to its end
    for future in client.delete_records([everything]).values():
        future.result(10)
    with pytest.raises(LogError, match=f"{topic} had commits and has none left"):
        broker.decisions()


def test_a_reader_whose_client_stands_still_says_so(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client's own pause stands for whatever else keeps it from fetching."""
    monkeypatch.setattr(kafka_entries, "LOOK_EVERY_S", 0.5)
    appended(broker, "the first")
    with closing(Entries(broker.connection, broker.names.commits)) as entries:
        assert len(read_for(entries, 0, 0.5)) == 1
        entries._reader._consumer.pause([TopicPartition(broker.names.commits, 0)])
        appended(broker, "the last there ever is")
        with pytest.raises(LogError, match="nothing comes from"):
            read_for(entries, 1, 30.0)


def test_a_reader_at_the_end_is_not_blamed(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Markers and what was aborted lie behind the last entry, and never come."""
    monkeypatch.setattr(kafka_entries, "LOOK_EVERY_S", 0.5)
    with closing(Entries(broker.connection, broker.names.commits)) as entries:
        assert read_for(entries, 0, 1.5) == []
        appended(broker, "one")
        assert len(read_for(entries, 0, 1.0)) == 1
        with closing(broker.decisions()) as log:
            log._producer.begin_transaction()
            log._produce(broker.names.commits, [b"of no commit"])
            log._producer.flush(10)
            assert read_for(entries, 1, 2.5) == []
            log._producer.abort_transaction(10)
            assert read_for(entries, 1, 2.5) == []
        appended(broker, "two")
        assert len(read_for(entries, 1, 1.0)) == 1
