"""Finding an entry among many, wherever it is: a list says which it should be."""

from __future__ import annotations

import random
from bisect import bisect_right
from contextlib import closing

import pytest
from confluent_kafka import Producer
from tests.kafka import Broker

from alcyon.domain.errors import LogError
from alcyon.io.kafka.entries import Entries, Entry, Segment, encode_entry

COUNT = 12_000
"""More than are looked at in one place, and than are read instead of halved."""


def entry(index: int, first: int, position: int) -> Entry:
    """One that covers records [first, position)."""
    return Entry(index, 1, first, first, position, {}, (), (), *[Segment(0, 0, 0)] * 3)


@pytest.fixture
def ends(broker: Broker) -> list[int]:
    """Where each of the entries in the topic ends; some cover nothing."""
    rng, ends, last = random.Random(5), list[int](), 0
    producer = Producer(broker.connection.config() | {"linger.ms": 5})
    for index in range(COUNT):
        first, last = last, last + rng.choice((0, 1, 7))
        producer.produce(broker.names.commits, encode_entry(entry(index, first, last)), partition=0)
        producer.poll(0)
        ends.append(last)
    assert producer.flush(30) == 0
    return ends


def test_an_entry_is_found_by_what_it_covers_and_by_its_index(
    broker: Broker, ends: list[int]
) -> None:
    rng = random.Random(6)
    near = [ends[-1] - back for back in (1, 2, 900, 3000, 9000)]
    with closing(Entries(broker.connection, broker.names.commits)) as entries:
        for position in [*near, 0, *(rng.randrange(ends[-1]) for _ in range(12))]:
            found = entries.covering(position)
            assert found is not None
            assert found.index == bisect_right(ends, position)
        assert entries.covering(ends[-1]) is None
        for index in [COUNT - 1, COUNT - 300, 0, *(rng.randrange(COUNT) for _ in range(8))]:
            read = entries.read(index, 3)
            assert read[0].index == index
            assert [e.position for e in read] == ends[index : index + len(read)]
        assert entries.read(COUNT, 1) == []
        with pytest.raises(LogError, match="is not there"):
            entries.read(COUNT + 1, 1)
