"""Replay finds no difference where there is none, and every one that is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from alcyon.codecs.decisions import decode
from alcyon.domain.control import SetModel, encode_control
from alcyon.domain.errors import InputError, ModelError
from alcyon.domain.record import Record, Topic
from alcyon.features.kernel import Kernel
from alcyon.io.memory import MemoryCommitReader, MemorySource
from alcyon.io.snapshots import snapshot_names
from alcyon.runners.stream.deciding import Means
from alcyon.runners.stream.replay import (
    DIFFERENCES_MAX,
    Recording,
    Replayed,
    Span,
    replay,
    span_of,
)
from alcyon.runners.stream.worker import Pace
from alcyon.scoring.model import Model
from tests.runners.working import LAYOUT, LIMITS, MEANS, Generator, Home, load_model, until_idle

ALL = Span()


def recorded(home: Home, seed: int, records: int = 600) -> Home:
    """A run with restarts and snapshots, in batches of 37."""
    for start in range(0, records, 150):
        if not start:
            home.append(Generator(seed).traffic(records + 100))
        worker, _ = home.start(Pace(batch_max=37, snapshot_every=10**9))
        while worker.place.next_sequence < start + 150:
            worker.step()
        assert worker.snapshot().error is None
        worker.close()
    home.drained(Pace(batch_max=5))
    return home


def replayed(home: Home, span: Span = ALL, batch_max: int = 64, means: Means = MEANS) -> Replayed:
    source, log = MemorySource(home.records), MemoryCommitReader(home.commits)
    recording = Recording(source, log, home.snapshots)
    return replay(Kernel(LAYOUT, LIMITS), recording, means, span, batch_max)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.mark.parametrize("batch_max", [1, 13, 4096])
def test_other_batches_than_those_of_then_give_the_same_bytes(batch_max: int, home: Home) -> None:
    recorded(home, 1)
    found = replayed(home, batch_max=batch_max)
    assert (found.differing, found.differences, found.snapshot) == (0, (), None)
    assert found.compared == len(home.decisions())
    assert found.records == len(home.records.records)


def test_a_span_begins_at_the_newest_snapshot_before_it(home: Home) -> None:
    recorded(home, 2)
    newest, older = snapshot_names(home.snapshots)
    at = int(newest[11:31])
    for first, snapshot in ((at + 1, newest), (at, newest), (at - 1, older)):
        found = replayed(home, Span(first, first + 40))
        wanted = [d for d in decode(home.decisions()) if first <= d.sequence <= first + 40]
        assert (found.snapshot, found.differing) == (snapshot, 0)
        assert found.compared == len(wanted) > 0
        assert found.refused == ()


def test_one_id_is_found_and_compared(home: Home) -> None:
    recorded(home, 3)
    log = MemoryCommitReader(home.commits)
    wanted = decode(home.decisions())[200]
    span = span_of(log, wanted.transaction_id)
    assert span == Span(wanted.sequence, wanted.sequence)
    assert replayed(home, span).compared == 1
    with pytest.raises(InputError, match="t1x was never decided"):
        span_of(log, "t1x")


def test_a_changed_byte_a_missing_and_an_added_decision_are_found(home: Home) -> None:
    recorded(home, 4)
    commits = home.commits.commits
    at = next(i for i, commit in enumerate(commits) if len(commit.decisions) > 5)
    one, two, *others = commits[at].decisions
    last = others.pop()
    changed = one.replace(b'"score"', b'"Score"')
    extra = last.replace(b'"sequence":', b'"sequence":9')
    commits[at] = msgspec.structs.replace(commits[at], decisions=(changed, *others, last, extra))
    found = replayed(home)
    assert found.differing == 3
    assert [(d.recorded, d.recomputed) for d in found.differences] == [
        (changed, one), (None, two), (extra, None),
    ]  # fmt: skip


def test_a_changed_record_is_found_and_the_first_differences_are_shown(home: Home) -> None:
    recorded(home, 5)
    records = home.records.records
    for i, record in enumerate(records):
        if record.topic is Topic.TRANSACTIONS:
            payload = record.payload.replace(b'"amount_minor":', b'"amount_minor":1')
            records[i] = Record(record.topic, record.position, payload)
    found = replayed(home)
    assert found.differing > DIFFERENCES_MAX == len(found.differences)


def test_what_was_decided_without_its_model_is_recomputed_without(home: Home) -> None:
    """The model was out of reach when a worker started; it is there again."""

    def gone(name: str) -> Model:
        raise ModelError(f"{name} is gone")

    traffic = [r for r in Generator(6).traffic(300) if r[0] is not Topic.CONTROL]
    home.append([*Generator(6).traffic(0), *traffic[:100]])
    home.drained(Pace(batch_max=20))
    home.append(traffic[100:200])
    worker, _ = home.start(Pace(batch_max=20), replace(MEANS, load_model=gone))
    list(until_idle(worker))
    home.append([(Topic.CONTROL, encode_control(SetModel("m2")))])
    list(until_idle(worker))
    home.append(traffic[200:])
    home.drained(Pace(batch_max=20))
    models = [d.versions.model for d in decode(home.decisions())]
    one = load_model("m1").version
    assert (models[0], models[-1], "none" in models) == (one, one, True)
    assert replayed(home).differing == 0


def test_progress_is_told_to_the_end(home: Home) -> None:
    recorded(home, 7)
    told: list[tuple[int, int]] = []
    recording = Recording(
        MemorySource(home.records), MemoryCommitReader(home.commits), home.snapshots
    )
    replay(
        Kernel(LAYOUT, LIMITS), recording, MEANS, batch_max=50,
        on_progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert told == sorted(told)
    assert told[-1] == (len(home.records.records), len(home.records.records))
    assert len(told) > 3


def test_an_empty_recording_has_nothing_to_compare(home: Home) -> None:
    found = replayed(home)
    assert (found.compared, found.differing, found.records) == (0, 0, 0)
