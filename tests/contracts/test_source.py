"""What every intake and source does, whatever keeps the records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from alcyon.domain.errors import LogError
from alcyon.domain.ports import Intake, Source
from alcyon.domain.record import Record, Topic
from alcyon.io.kafka import KafkaIntake, KafkaRecorded, KafkaSource
from alcyon.io.kafka.streaming import KafkaStream
from alcyon.io.log import EmbeddedIntake, EmbeddedSource
from alcyon.io.memory import MemoryIntake, MemoryRecords, MemorySource
from tests.contracts.discovery import implementers
from tests.kafka import Broker

EMPTY_S = 0.3
"""A source that hands over nothing for so long has nothing."""


@dataclass(frozen=True)
class Pair:
    """An intake and its sources."""

    intake: Intake
    opened: Callable[[], Source]
    recorded: Callable[[], None] = lambda: None
    """Let commits cover all that was appended, where only then positions are for ever."""

    def append(self, topic: Topic, payloads: list[bytes]) -> None:
        """Append, and let it be covered."""
        self.intake.append(topic, payloads)
        self.recorded()


def _embedded(folder: Path, request: pytest.FixtureRequest, files: ExitStack) -> Pair:
    del request, files
    return Pair(EmbeddedIntake(folder, "never"), lambda: EmbeddedSource(folder))


def _memory(folder: Path, request: pytest.FixtureRequest, files: ExitStack) -> Pair:
    del folder, request, files
    kept = MemoryRecords()
    return Pair(MemoryIntake(kept), lambda: MemorySource(kept))


def _recorded(folder: Path, request: pytest.FixtureRequest, files: ExitStack) -> Pair:
    broker: Broker = request.getfixturevalue("broker")
    return Pair(files.enter_context(broker.intake()), broker.recorded, broker.cover)


def _live(folder: Path, request: pytest.FixtureRequest, files: ExitStack) -> Pair:
    broker: Broker = request.getfixturevalue("broker")

    def opened() -> Source:
        source = broker.source()
        source.seek(0)
        return source

    return Pair(files.enter_context(broker.intake()), opened, broker.cover)


OPENERS = {
    EmbeddedSource: _embedded,
    MemorySource: _memory,
    KafkaRecorded: _recorded,
    KafkaSource: _live,
}


@pytest.fixture(params=sorted(implementers(Source), key=str))
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    assert request.param in OPENERS, f"tell this suite how {request.param.__name__} is opened"
    with ExitStack() as files:
        yield OPENERS[request.param](tmp_path, request, files)


def polled(source: Source, at_once: int = 99, timeout_s: float = EMPTY_S) -> list[Record]:
    """Everything that there is."""
    found: list[Record] = []
    while records := source.poll(at_once, timeout_s):
        assert len(records) <= at_once
        found += records
    return found


def test_records_come_in_the_order_of_appends_with_consecutive_positions(pair: Pair) -> None:
    pair.append(Topic.TRANSACTIONS, [b"a", b"b"])
    pair.append(Topic.LABELS, [b""])
    assert [(r.topic, r.position, r.payload) for r in polled(pair.opened())] == [
        (Topic.TRANSACTIONS, 0, b"a"),
        (Topic.TRANSACTIONS, 1, b"b"),
        (Topic.LABELS, 2, b""),
    ]


def test_a_poll_goes_on_where_the_last_one_ended(pair: Pair) -> None:
    pair.append(Topic.CONTROL, [bytes([i]) for i in range(7)])
    source = pair.opened()
    assert [r.position for r in polled(source, at_once=3)] == list(range(7))
    pair.append(Topic.CONTROL, [b"x"])
    assert [r.position for r in polled(source, timeout_s=1.0)] == [7]


@pytest.mark.parametrize("position", range(8))
def test_seek_makes_any_position_up_to_the_end_the_next(pair: Pair, position: int) -> None:
    pair.append(Topic.TRANSACTIONS, [b"0", b"1", b"2"])
    pair.append(Topic.TRANSACTIONS, [b"3", b"4", b"5", b"6"])
    source = pair.opened()
    source.poll(2, EMPTY_S)
    source.seek(position)
    assert [(r.position, r.payload) for r in polled(source)] == [
        (p, b"%d" % p) for p in range(position, 7)
    ]


def test_seek_beyond_the_end_is_an_error(pair: Pair) -> None:
    pair.append(Topic.TRANSACTIONS, [b"0", b"1"])
    with pytest.raises(LogError, match="3 is not there"):
        pair.opened().seek(3)


def test_appending_nothing_changes_nothing(pair: Pair) -> None:
    pair.append(Topic.TRANSACTIONS, [])
    assert polled(pair.opened()) == []


def test_a_stream_adds_transactions_that_a_source_hands_over(broker: Broker) -> None:
    payloads = [b'{"transaction_id":"t%d","card_id":"c%d"}' % (i, i % 3) for i in range(2_000)]
    with closing(KafkaStream(broker.connection, broker.names)) as stream:
        stream.append(Topic.TRANSACTIONS, payloads[:1])
        stream.append(Topic.TRANSACTIONS, payloads[1:])
        stream.append(Topic.LABELS, [b"l1", b"l2"])
        stream.append(Topic.CONTROL, [b"c"])
    broker.cover()
    found = polled(broker.recorded(), at_once=4096)
    for topic, sent in (
        (Topic.TRANSACTIONS, payloads), (Topic.LABELS, [b"l1", b"l2"]), (Topic.CONTROL, [b"c"]),
    ):  # fmt: skip
        assert [record.payload for record in found if record.topic is topic] == sent


def test_a_stream_says_how_many_were_not_taken(broker: Broker) -> None:
    with closing(KafkaStream(broker.connection, broker.names)) as stream:
        with pytest.raises(LogError, match=r"1 of 3 records for .* were not taken"):
            stream.append(Topic.TRANSACTIONS, [b"{}", b"x" * 2_000_000, b"{}"])
        stream.append(Topic.TRANSACTIONS, [b"{}"])
    broker.cover()
    assert len(polled(broker.recorded())) == 3


def test_every_intake_is_checked_through_its_source() -> None:
    checked = {EmbeddedIntake, MemoryIntake, KafkaIntake, KafkaStream}
    assert implementers(Intake) == checked
