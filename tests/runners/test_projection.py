"""The projection stores each decision once, whatever stops it and wherever."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from alcyon.domain.errors import LogError
from alcyon.domain.projected import Projected, StoreError
from alcyon.domain.record import Record, Topic
from alcyon.io.log import EmbeddedDecisions, EmbeddedIntake
from alcyon.io.memory import (
    MemoryCommitReader,
    MemoryCommits,
    MemoryDecisions,
    MemoryIntake,
    MemoryRecords,
    MemorySource,
    MemoryStore,
)
from alcyon.runners.projections.projection import Projection
from tests.runners import projecting
from tests.runners.projecting import Recorder, opened


class Recorded:
    """A run recorded in memory."""

    def __init__(self, records: int, seed: int = 1) -> None:
        self.records, self.commits = MemoryRecords(), MemoryCommits()
        recorder = Recorder(MemoryIntake(self.records), MemoryDecisions(self.commits), seed)
        recorder.record(records)
        self.tables = recorder.tables

    def projection(self, store: MemoryStore) -> Projection:
        return opened(MemoryCommitReader(self.commits), MemorySource(self.records), store)


def drain(projection: Projection) -> None:
    """Step to the end of the decisions log."""
    while projection.step():
        pass


def sequences(store: MemoryStore) -> dict[str, set[int]]:
    return {name: set(rows) for name, rows in store.tables.items()}


def test_every_table_has_what_the_log_has() -> None:
    recorded, store = Recorded(700), MemoryStore()
    drain(recorded.projection(store))
    assert sequences(store) == recorded.tables
    assert all(recorded.tables.values())
    assert store.next_index() == len(recorded.commits.commits)


def test_a_projection_that_starts_again_goes_on_from_the_stores_position() -> None:
    recorded, store = Recorded(700), MemoryStore()
    while recorded.projection(store).step():
        pass
    assert sequences(store) == recorded.tables


def test_each_decision_is_decoded_with_the_rates_it_names() -> None:
    recorded, asked = Recorded(200), list[str]()

    def decoder(version: str) -> projecting.PlainDecoder:
        asked.append(version)
        return projecting.TRANSACTIONS

    commits, source = MemoryCommitReader(recorded.commits), MemorySource(recorded.records)
    drain(Projection(commits, source, MemoryStore(), decoder, projecting.LABELS))
    assert sorted(asked) == asked
    assert set(asked) == {"a", "b"}


def test_records_that_are_gone_stop_it_before_anything_of_their_step_is_stored() -> None:
    recorded, store = Recorded(60), MemoryStore()
    drain(recorded.projection(store))
    end, lost = store.next_index(), MemoryStore()
    del recorded.records.records[-1]
    with pytest.raises(LogError, match="restore it"):
        drain(recorded.projection(lost))
    assert lost.next_index() == (end - 1) // 16 * 16


def test_an_intake_of_another_run_is_refused() -> None:
    recorded, store = Recorded(60), MemoryStore()
    at = min(recorded.tables["decisions"]) - projecting.FIRST_SEQUENCE
    other = b'{"transaction_id": "x", "event_time": 5, "amount_minor": 5, "currency": "EUR"}'
    recorded.records.records[at] = Record(Topic.TRANSACTIONS, at, other)
    with pytest.raises(LogError, match="another decisions log"):
        drain(recorded.projection(store))
    assert store.next_index() == 0


class OutOfReach(MemoryStore):
    """A store that every second write does not reach."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def write(self, projected: Projected) -> None:
        self.calls += 1
        if self.calls % 2:
            raise StoreError("out of reach")
        super().write(projected)


def test_an_outage_is_told_and_heals_by_reading_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[Projection.__module__], "OUTAGE_PAUSE_S", 0.0)
    monkeypatch.setattr(sys.modules[Projection.__module__], "RECORDS_MAX", 40)
    recorded, store, told = Recorded(400), OutOfReach(), list[StoreError]()
    end = len(recorded.commits.commits)
    recorded.projection(store).run(lambda: store.next_index() == end, told.append)
    assert sequences(store) == recorded.tables
    assert len(told) == store.calls // 2 > 5


def test_killed_at_any_moment_it_ends_with_each_row_exactly_once(tmp_path: Path) -> None:
    intake = EmbeddedIntake(tmp_path / "intake", "never")
    recorder = Recorder(intake, EmbeddedDecisions(tmp_path / "decisions", "never"), 7)
    recorder.record(6_000)
    rng = random.Random(11)
    killed = [run_until(tmp_path, rng.randint(0, 40), rng.uniform(0, 0.004)) for _ in range(6)]
    assert sum(killed) >= 3  # the others were faster than we
    assert not run_until(tmp_path, sys.maxsize, 0)
    for table, expected in recorder.tables.items():
        with closing(sqlite3.connect(tmp_path / "store")) as connection:
            found = [row[0] for row in connection.execute(f"SELECT sequence FROM {table}")]
        assert (len(found), set(found)) == (len(expected), expected)


def run_until(folder: Path, steps: int, pause_s: float) -> bool:
    """Let a process project that many steps and a moment more, then kill -9; whether it was."""
    command = [sys.executable, projecting.__file__, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "opened\n"
        for _, line in zip(range(steps), process.stdout, strict=False):
            assert line == "step\n"
        time.sleep(pause_s)
        process.kill()
    return process.returncode == -signal.SIGKILL
