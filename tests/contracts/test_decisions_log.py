"""What every decisions log does, whatever keeps the commits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from alcyon.domain.commit import Commit
from alcyon.domain.errors import LogError
from alcyon.domain.ports import CommitReader, DecisionsLog
from alcyon.io.kafka import KafkaCommits, KafkaDecisions
from alcyon.io.log import EmbeddedCommits, EmbeddedDecisions
from alcyon.io.memory import MemoryCommitReader, MemoryCommits, MemoryDecisions
from tests.contracts.discovery import implementers
from tests.kafka import AsTold, Broker

Opener = Callable[[], DecisionsLog]


def _kafka(
    folder: Path, request: pytest.FixtureRequest
) -> tuple[Opener, Callable[[], CommitReader]]:
    del folder
    broker: Broker = request.getfixturevalue("broker")
    return lambda: broker.decisions(AsTold()), broker.commits


def _embedded(
    folder: Path, request: pytest.FixtureRequest
) -> tuple[Opener, Callable[[], CommitReader]]:
    del request
    return lambda: EmbeddedDecisions(folder, "never"), lambda: EmbeddedCommits(folder)


def _memory(
    folder: Path, request: pytest.FixtureRequest
) -> tuple[Opener, Callable[[], CommitReader]]:
    del folder, request
    kept = MemoryCommits()
    return lambda: MemoryDecisions(kept), lambda: MemoryCommitReader(kept)


OPENERS = {EmbeddedDecisions: _embedded, MemoryDecisions: _memory, KafkaDecisions: _kafka}


@pytest.fixture(params=sorted(implementers(DecisionsLog), key=str))
def openers(
    request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[Opener, Callable[[], CommitReader]]:
    assert request.param in OPENERS, f"tell this suite how {request.param.__name__} is opened"
    return OPENERS[request.param](tmp_path, request)


def commit(epoch: int, start: int, records: int = 2) -> Commit:
    """A commit over `records` records from `start`, sequences 100 ahead of positions."""
    decisions = tuple(b'{"transaction_id":"%d"}' % i for i in range(start, start + records))
    return Commit(epoch, start + 100, start, start + records, decisions, (b"dead",))


Openers = tuple[Opener, Callable[[], CommitReader]]


def test_every_commit_reader_is_checked() -> None:
    checked = {EmbeddedCommits, MemoryCommitReader, KafkaCommits, *OPENERS}
    assert implementers(CommitReader) == checked


def test_commits_are_read_back_by_index(openers: Openers) -> None:
    log, reader = openers[0](), openers[1]()
    assert log.last() is None
    assert reader.read(0, 5) == []
    commits = [commit(log.epoch, 2 * i) for i in range(5)]
    assert [log.append(c) for c in commits] == [0, 1, 2, 3, 4]
    for read in (log, reader, openers[1]()):
        assert read.last() == commits[-1]
        assert read.read(0, 3) + read.read(3, 9) == commits
        assert read.read(5, 1) == []
        assert read.read(1, 1) == commits[1:2]
        with pytest.raises(LogError):
            read.read(6, 1)


def test_outlines_lack_at_most_decisions_and_alerts(openers: Openers) -> None:
    log = openers[0]()
    commits = [msgspec.structs.replace(commit(log.epoch, 2 * i), alerts=(b"{}",)) for i in range(3)]
    for one in commits:
        log.append(one)

    def told(of: Commit) -> Commit:
        return msgspec.structs.replace(of, decisions=(), alerts=())

    for again in (log, openers[0]()):
        found = again.outlines(0, 1) + again.outlines(1, 9)
        assert [told(one) for one in found] == [told(one) for one in commits]
        assert again.outlines(3, 1) == []
        assert again.read(1, 2) == commits[1:]


def test_each_opening_takes_a_larger_epoch_and_sees_what_was_there(openers: Openers) -> None:
    first = openers[0]()
    first.append(commit(first.epoch, 0))
    second = openers[0]()
    assert second.epoch > first.epoch
    assert second.last() == commit(first.epoch, 0)


def test_a_writer_with_an_older_epoch_is_fenced(openers: Openers) -> None:
    old = openers[0]()
    old.append(commit(old.epoch, 0))
    new = openers[0]()
    with pytest.raises(LogError, match="fenced"):
        old.append(commit(old.epoch, 2))
    new.append(commit(new.epoch, 2))
    with pytest.raises(LogError, match="fenced"):
        old.append(commit(old.epoch, 2))
    assert [c.epoch for c in openers[1]().read(0, 9)] == [old.epoch, new.epoch]


@pytest.mark.parametrize("start", [0, 1, 3, 4])
def test_a_commit_that_overlaps_or_leaves_a_gap_is_refused(openers: Openers, start: int) -> None:
    log = openers[0]()
    log.append(commit(log.epoch, 0))
    with pytest.raises(LogError, match="does not follow"):
        log.append(commit(log.epoch, start))
    log.append(commit(log.epoch, 2))
    assert len(log.read(0, 9)) == 2


def test_a_commit_of_another_epoch_is_refused(openers: Openers) -> None:
    log = openers[0]()
    with pytest.raises(LogError, match="does not follow"):
        log.append(commit(log.epoch + 1, 0))
