"""Recovery: which snapshot is used, what is replayed, and what stops it."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from alcyon.codecs.decisions import decode
from alcyon.domain.control import SetModel, encode_control
from alcyon.domain.errors import LogError, ModelError, SettingsError, SnapshotError
from alcyon.domain.record import Record, Topic
from alcyon.features import Catalog
from alcyon.features.compiled.memory import BUMP, COW_LIMIT, SIDE_COUNT
from alcyon.features.kernel import Kernel, Limits
from alcyon.features.layout import Layout
from alcyon.io.memory import MemoryDecisions, MemorySource
from alcyon.io.snapshot_writing import SnapshotWriting
from alcyon.io.snapshots import snapshot_names
from alcyon.runners.stream.deciding import Deciding
from alcyon.runners.stream.in_force import InForce
from alcyon.runners.stream.place import Place
from alcyon.runners.stream.recovery import recover
from alcyon.runners.stream.worker import Pace, Ports, Worker, snapshot_header
from alcyon.scoring.model import Model
from tests.runners.working import (
    CATALOG,
    LAYOUT,
    LIMITS,
    MEANS,
    Generator,
    Home,
    Traffic,
    expected,
    load_model,
    until_idle,
)

PACE = Pace(batch_max=50, snapshot_every=10**9)


def words(worker: Worker) -> bytes:
    """All state that outlives a batch."""
    memory = worker._deciding.pipeline.kernel.state.memory
    meta = memory.meta.copy()
    meta[[COW_LIMIT, SIDE_COUNT]] = 0  # whether a snapshot runs
    return meta.tobytes() + memory.free.tobytes() + memory.words[: int(meta[BUMP])].tobytes()


def with_snapshots(home: Home, traffic: Traffic, *at: int) -> None:
    """A run over `traffic`, with snapshots when so many records are decided."""
    worker, _ = home.start(PACE)
    for position, record in enumerate(traffic):
        home.append([record])
        worker.step()
        if position + 1 in at:
            assert worker.snapshot().error is None
    worker.close()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "snapshots")


def test_the_first_start_begins_at_the_logs_beginning(home: Home) -> None:
    home.append(Generator(1).traffic(10))
    worker, recovered = home.start()
    assert (recovered.snapshot, recovered.refused, recovered.replayed) == (None, (), 0)
    assert recovered.epoch == 1
    assert worker.place == Place()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_replaying_reaches_the_very_state(seed: int, home: Home) -> None:
    """Batches being the same; other batches give other places in memory, and equal decisions."""
    traffic = Generator(seed).traffic(400)
    home.append(traffic)
    worker, _ = home.start(PACE)
    list(until_idle(worker))
    again, recovered = home.start(PACE)
    assert recovered.replayed == len(traffic)
    assert again.place == worker.place
    assert words(again) == words(worker)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_restart_from_a_snapshot_changes_no_decision(seed: int, home: Home) -> None:
    traffic = Generator(seed).traffic(700)
    wanted = expected(traffic, home.snapshots)
    with_snapshots(home, traffic[:400], 100, 300)
    _, recovered = home.start()
    assert (recovered.snapshot, recovered.replayed) == (snapshot_names(home.snapshots)[0], 100)
    home.append(traffic[400:])
    home.drained(Pace(batch_max=64))
    assert (home.decisions(), home.dead_letters()) == wanted


def test_a_worker_killed_again_and_again_makes_snapshots_all_the_same(home: Home) -> None:
    home.append(Generator(4).traffic(600))
    replayed = []
    for _ in range(6):  # each dies after 100 records, long before 300
        worker, recovered = home.start(Pace(batch_max=50, snapshot_every=300))
        replayed.append(recovered.replayed)
        for _ in range(2):
            worker.step()
        if worker._snapshots.is_writing:
            worker._snapshots.finish()
        worker.close()
    assert replayed == [0, 100, 200, 0, 100, 200]


def test_a_snapshot_under_traffic_equals_a_quiet_one(home: Home, tmp_path: Path) -> None:
    traffic = Generator(3).traffic(900)
    wanted = expected(traffic, tmp_path)
    home.append(traffic[:500])
    worker, _ = home.start(Pace(batch_max=100, snapshot_every=300))
    for _ in range(3):
        worker.step()
    quiet = words(worker)  # the snapshot begins now, and is written while the next ones change it
    place = worker.place
    list(until_idle(worker))
    if worker._snapshots.is_writing:
        worker._snapshots.finish()
    later = [n for n in snapshot_names(home.snapshots) if f"{place.next_sequence:020d}" not in n]
    for name in later:
        (home.snapshots / name).unlink()
    home.commits.commits = home.commits.commits[: place.commit_index]
    again, recovered = home.start()
    assert recovered.replayed == 0
    assert words(again) == quiet
    home.append(traffic[500:])
    home.drained(Pace(batch_max=77))
    assert home.decisions() == wanted[0]


def test_a_damaged_snapshot_is_told_and_the_one_before_is_used(home: Home, tmp_path: Path) -> None:
    traffic, rng = Generator(4).traffic(500), random.Random(4)
    wanted = expected(traffic, tmp_path)
    with_snapshots(home, traffic[:400], 200, 350)
    newest, older = snapshot_names(home.snapshots)
    content = (home.snapshots / newest).read_bytes()
    places = [0, 5, 30, len(content) - 1, *(rng.randrange(len(content)) for _ in range(40))]
    for at in places:
        damaged = bytearray(content)
        damaged[at] ^= 1 << rng.randrange(8)
        (home.snapshots / newest).write_bytes(damaged)
        _, recovered = home.start()
        assert (recovered.snapshot, recovered.replayed) == (older, 200), at
        assert [name for name, _ in recovered.refused] == [newest]
    for cut in (0, 1, 100, len(content) // 2, len(content) - 1):
        (home.snapshots / newest).write_bytes(content[:cut])
        assert home.start()[1].snapshot == older
    (home.snapshots / newest).write_bytes(content + b"x")
    assert home.start()[1].snapshot == older
    home.append(traffic[400:])
    home.drained()
    assert home.decisions() == wanted[0]


def test_a_snapshot_that_lacks_blocks_is_not_used(home: Home) -> None:
    """Whole sections, each sound, and yet one is missing: no single checksum tells."""
    with_snapshots(home, Generator(4).traffic(300), 200)
    (name,) = snapshot_names(home.snapshots)
    content = (home.snapshots / name).read_bytes()
    first, end = content.index(b"BLOC"), content.rindex(b"DONE")
    for shorter in (content[:first] + content[end:], content[:end]):
        (home.snapshots / name).write_bytes(shorter)
        _, recovered = home.start()
        assert recovered.snapshot is None
        assert len(recovered.refused) == 1


def test_without_any_valid_snapshot_the_whole_log_is_replayed(home: Home, tmp_path: Path) -> None:
    traffic = Generator(5).traffic(300)
    with_snapshots(home, traffic[:200], 50, 150)
    for name in snapshot_names(home.snapshots):
        (home.snapshots / name).write_bytes(b"")
    _, recovered = home.start()
    assert (recovered.snapshot, recovered.replayed, len(recovered.refused)) == (None, 200, 2)
    home.append(traffic[200:])
    home.drained()
    assert home.decisions() == expected(traffic, tmp_path)[0]


def test_refused_snapshots_do_not_count_among_those_kept(home: Home) -> None:
    traffic = Generator(6).traffic(400)
    with_snapshots(home, traffic, 100, 300)
    newest, older = snapshot_names(home.snapshots)
    (home.snapshots / newest).write_bytes(b"")
    worker, _ = home.start()
    home.append([(Topic.LABELS, b"{")])
    worker.step()
    made = worker.snapshot()
    assert snapshot_names(home.snapshots) == [made.name, older]


def test_a_snapshot_beyond_the_end_of_the_decisions_log_is_not_used(home: Home) -> None:
    """The loss of power may take commits that were not forced to the disk."""
    traffic = Generator(7).traffic(300)
    with_snapshots(home, traffic, 100, 300)
    newest, older = snapshot_names(home.snapshots)
    del home.commits.commits[250:]
    _, recovered = home.start()
    assert recovered.snapshot == older
    assert [name for name, _ in recovered.refused] == [newest]
    assert "behind the end of the decisions log" in recovered.refused[0][1]


def test_a_snapshot_of_a_lost_future_is_not_used_when_the_log_has_grown_past_it(
    home: Home, tmp_path: Path
) -> None:
    """The intake lost its end as well, and other records came: the snapshot knows the lost ones."""
    traffic, other = Generator(8).traffic(300), Generator(9).traffic(300)
    with_snapshots(home, traffic, 100, 300)
    newest, older = snapshot_names(home.snapshots)
    del home.commits.commits[250:]
    del home.records.records[250:]
    worker, _ = home.start(Pace(batch_max=1))  # so that commits have the same places again
    home.append(other)
    list(until_idle(worker))
    _, recovered = home.start()
    assert recovered.snapshot == older
    assert recovered.refused == (
        (newest, "the commit before it is another one in this decisions log"),
    )
    assert home.decisions() == expected(traffic[:250] + other, tmp_path)[0]


def test_a_snapshot_of_another_version_is_not_used(home: Home) -> None:
    worker, _ = home.start()
    kernel = worker._deciding.pipeline.kernel
    header = snapshot_header(worker._deciding, 1, Place())
    header = msgspec.structs.replace(header, in_force=msgspec.Raw(b'{"rules":1}'))
    assert SnapshotWriting(home.snapshots, header, kernel.state, 2).finish().error is None
    _, recovered = home.start()
    assert recovered.snapshot is None
    assert "of another version" in recovered.refused[0][1]


def test_a_snapshot_of_another_catalog_key_or_name_is_not_used(home: Home) -> None:
    with_snapshots(home, Generator(1).traffic(100), 50)
    (name,) = snapshot_names(home.snapshots)
    ports = Ports(MemorySource(home.records), MemoryDecisions(home.commits), home.snapshots)
    catalog = Catalog(list(CATALOG.features), lateness_max="20m")
    for kernel, why in (
        (Kernel(Layout(catalog), LIMITS), "catalog"),
        (Kernel(LAYOUT, LIMITS, key=(1, 2)), "another key"),
    ):
        _, recovered = recover(kernel, ports, MEANS, PACE)
        assert recovered.snapshot is None
        assert [why in told for _, told in recovered.refused] == [True]
    (home.snapshots / name).rename(home.snapshots / f"9{name[1:]}")
    assert "was made as" in home.start()[1].refused[0][1]


def test_a_snapshot_too_large_for_the_state_is_a_setting_to_change(home: Home) -> None:
    with_snapshots(home, Generator(1).traffic(300), 300)
    ports = Ports(MemorySource(home.records), MemoryDecisions(home.commits), home.snapshots)
    kernel = Kernel(LAYOUT, Limits(state_bytes_max=2**26))
    kernel.limits = replace(kernel.limits, state_bytes_max=2**12)
    with pytest.raises(SettingsError, match="raise it"):
        recover(kernel, ports, MEANS, PACE)


def test_what_was_refused_then_is_refused_again_though_it_could_be_had_now(home: Home) -> None:
    traffic = [r for r in Generator(2).traffic(60) if r[0] is not Topic.CONTROL]
    bootstrap = Generator(2).traffic(0)
    home.append([*bootstrap, *traffic[:20], (Topic.CONTROL, encode_control(SetModel("m2")))])
    worker, _ = home.start(PACE, replace(MEANS, load_model=lambda name: _only("m1", name)))
    list(until_idle(worker))
    home.append(traffic[20:])
    home.drained(PACE)
    models = {d.versions.model for d in decode(home.decisions())}
    assert models == {load_model("m1").version}


def _only(name: str, wanted: str) -> Model:
    if wanted != name:
        raise ModelError(f"{wanted} is not there yet")
    return load_model(name)


def test_a_model_that_is_gone_does_not_keep_the_worker_from_starting(home: Home) -> None:
    with_snapshots(home, Generator(3).traffic(0), 4)
    home.append([r for r in Generator(3).traffic(40) if r[0] is Topic.TRANSACTIONS])

    def gone(name: str) -> Model:
        raise ModelError(f"{name} is gone")

    worker, recovered = home.start(PACE, replace(MEANS, load_model=gone))
    assert recovered.model_missing == "m1 is gone"
    assert worker.step().model_missing == "m1"
    assert {d.versions.model for d in decode(home.decisions())} == {"none"}
    _, recovered = home.start(PACE, replace(MEANS, load_model=lambda name: load_model("m2")))
    assert "put that one back" in (recovered.model_missing or "")
    assert home.start(PACE)[1].model_missing is None


def test_decided_records_that_are_gone_stop_recovery(home: Home) -> None:
    with_snapshots(home, Generator(4).traffic(100), 50)
    del home.records.records[80:]
    with pytest.raises(LogError, match="the intake ends at 80"):
        home.start()


def test_a_gap_in_the_decisions_log_stops_recovery(home: Home) -> None:
    with_snapshots(home, Generator(4).traffic(100), 50)
    del home.commits.commits[70]
    with pytest.raises(LogError, match="commit 70 of the decisions log"):
        home.start()


def test_a_worker_begins_with_a_warmed_state_and_not_without_it(home: Home) -> None:
    kernel = Kernel(LAYOUT, LIMITS)
    deciding = Deciding(kernel, MEANS, InForce.initial(CATALOG))
    header = snapshot_header(deciding, 0, Place(next_sequence=1000))
    assert SnapshotWriting(home.snapshots, header, kernel.state, 2).finish().error is None
    home.append(Generator(5).traffic(50))
    home.drained(PACE)
    assert home.commits.commits[0].first_sequence == 1000
    assert home.start()[1].replayed == len(home.records.records)
    (home.snapshots / header.name).unlink()
    with pytest.raises(SnapshotError, match="warmed"):
        home.start()


def test_commits_without_snapshots_are_read_in_few_batches(home: Home) -> None:
    """A quiet night makes thousands of commits of one record each."""
    traffic = Generator(6).traffic(300)
    with_snapshots(home, traffic)
    polls: list[int] = []

    class Counting(MemorySource):
        def poll(self, max_records: int, timeout_s: float) -> list[Record]:
            polls.append(max_records)
            return super().poll(max_records, timeout_s)

    ports = Ports(Counting(home.records), MemoryDecisions(home.commits), home.snapshots)
    recover(Kernel(LAYOUT, LIMITS), ports, MEANS, Pace(batch_max=100))
    assert len(polls) == len(traffic) // 100 + 1


def test_a_commits_epoch_may_not_fall(home: Home) -> None:
    with_snapshots(home, Generator(1).traffic(20))
    home.commits.commits[5] = msgspec.structs.replace(home.commits.commits[5], epoch=9)
    with pytest.raises(LogError, match="commit 6"):
        home.start()


def test_the_header_gives_the_state_back_as_it_was(home: Home) -> None:
    """Lists, rates, rules, policy and model by value, not by what was said first."""
    traffic = Generator(11).traffic(600)
    with_snapshots(home, traffic, 600)
    data = home.start()[0]._deciding.in_force.to_data()
    for name in snapshot_names(home.snapshots):
        (home.snapshots / name).unlink()
    again = home.start()[0]._deciding.in_force.to_data()
    assert msgspec.json.encode(data) == msgspec.json.encode(again)
    assert data.lists
    assert data.rules
