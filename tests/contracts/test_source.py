"""What every intake and source does, whatever keeps the records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from alcyon.domain.errors import LogError
from alcyon.domain.ports import Intake, Source
from alcyon.domain.record import Record, Topic
from alcyon.io.log import EmbeddedIntake, EmbeddedSource
from alcyon.io.memory import MemoryIntake, MemoryRecords, MemorySource
from tests.contracts.discovery import implementers

Pair = tuple[Intake, Callable[[], Source]]


def _embedded(folder: Path) -> Pair:
    return EmbeddedIntake(folder, "never"), lambda: EmbeddedSource(folder)


def _memory(folder: Path) -> Pair:
    del folder
    kept = MemoryRecords()
    return MemoryIntake(kept), lambda: MemorySource(kept)


OPENERS: dict[type, Callable[[Path], Pair]] = {EmbeddedSource: _embedded, MemorySource: _memory}


@pytest.fixture(params=sorted(implementers(Source), key=str))
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    assert request.param in OPENERS, f"tell this suite how {request.param.__name__} is opened"
    return OPENERS[request.param](tmp_path)


def test_records_come_in_the_order_of_appends_with_consecutive_positions(pair: Pair) -> None:
    intake, opened = pair
    intake.append(Topic.TRANSACTIONS, [b"a", b"b"])
    intake.append(Topic.LABELS, [b""])
    assert opened().poll(10, 0) == [
        Record(Topic.TRANSACTIONS, 0, b"a"),
        Record(Topic.TRANSACTIONS, 1, b"b"),
        Record(Topic.LABELS, 2, b""),
    ]


def test_a_poll_goes_on_where_the_last_one_ended(pair: Pair) -> None:
    intake, opened = pair
    intake.append(Topic.CONTROL, [bytes([i]) for i in range(7)])
    source = opened()
    polled = [[r.position for r in source.poll(3, 0)] for _ in range(4)]
    assert polled == [[0, 1, 2], [3, 4, 5], [6], []]
    intake.append(Topic.CONTROL, [b"x"])
    assert [r.position for r in source.poll(3, 1.0)] == [7]


@pytest.mark.parametrize("position", range(8))
def test_seek_makes_any_position_up_to_the_end_the_next(pair: Pair, position: int) -> None:
    intake, opened = pair
    intake.append(Topic.TRANSACTIONS, [b"0", b"1", b"2"])
    intake.append(Topic.TRANSACTIONS, [b"3", b"4", b"5", b"6"])
    source = opened()
    source.poll(2, 0)
    source.seek(position)
    assert [r.position for r in source.poll(99, 0)] == list(range(position, 7))


def test_seek_beyond_the_end_is_an_error(pair: Pair) -> None:
    intake, opened = pair
    intake.append(Topic.TRANSACTIONS, [b"0", b"1"])
    with pytest.raises(LogError, match="3 is not there"):
        opened().seek(3)


def test_appending_nothing_changes_nothing(pair: Pair) -> None:
    intake, opened = pair
    intake.append(Topic.TRANSACTIONS, [])
    assert opened().poll(1, 0) == []


def test_every_intake_is_checked_through_its_source() -> None:
    checked = {EmbeddedIntake, MemoryIntake}
    assert implementers(Intake) == checked
