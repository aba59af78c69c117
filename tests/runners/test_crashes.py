"""The worker is killed between any two effects, and again, and every decision is there once.

The decisions log is the embedded one, so that an append may be torn at any byte.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from alcyon.domain.commit import Commit, encode_commit
from alcyon.domain.ports import DecisionsLog, Source
from alcyon.domain.record import DeadLetter, Record
from alcyon.features.kernel import Kernel
from alcyon.io.log import EmbeddedCommits, EmbeddedDecisions
from alcyon.io.log.frames import encode, segments
from alcyon.io.memory import MemoryRecords, MemorySource
from alcyon.io.snapshots import UNFINISHED, snapshot_names
from alcyon.runners.stream.recovery import Recovered, recover
from alcyon.runners.stream.worker import Pace, Ports, Worker
from tests.runners.working import LAYOUT, LIMITS, MEANS, Generator, Home, expected

ROOT = Path(__file__).resolve().parents[2]


class Killed(BaseException):
    """What kill -9 is here: nobody may catch it."""


class Fate:
    """Kills at the n-th effect."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self._effects = rng.choice([1, 3, 10, 30, 100])
        self._left = rng.randint(1, self._effects)

    def meets(self) -> bool:
        """Whether this effect is the last one."""
        self._left -= 1
        return self._left == 0


class KilledSource(Source):
    """A source whose reader is killed after a poll."""

    def __init__(self, inner: Source, fate: Fate) -> None:
        self._inner, self._fate = inner, fate

    def seek(self, position: int) -> None:
        """Passed on."""
        self._inner.seek(position)

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """Passed on, and then perhaps nothing more."""
        records = self._inner.poll(max_records, timeout_s)
        if self._fate.meets():
            raise Killed
        return records

    def close(self) -> None:
        """Passed on."""
        self._inner.close()


class KilledDecisions(EmbeddedDecisions):
    """A decisions log whose writer is killed before, in the middle of, or after an append."""

    def __init__(self, folder: Path, fate: Fate) -> None:
        super().__init__(folder, "never", segment_bytes_max=60_000)
        self._folder_of, self._fate = folder, fate

    def append(self, commit: Commit) -> int:
        """Passed on, unless the end comes first."""
        if self._fate.meets():
            self._tear(commit)
            raise Killed
        index = super().append(commit)
        if self._fate.meets():
            raise Killed
        return index

    def _tear(self, commit: Commit) -> None:
        """Leave the first bytes of the append, perhaps none."""
        with closing(EmbeddedCommits(self._folder_of)) as reader:
            frame = encode(end_of(reader), [encode_commit(commit)])
        cut = self._fate.rng.choice([0, 1, 8, 27, 28, 29, self._fate.rng.randrange(len(frame))])
        with segments(self._folder_of)[-1].path.open("ab") as file:
            file.write(frame[:cut])


def end_of(reader: EmbeddedCommits) -> int:
    """The index of the next commit."""
    index = 0
    while commits := reader.read(index, 1000):
        index += len(commits)
    return index


@contextmanager
def worker_of(
    folder: Path, records: MemoryRecords, fate: Fate
) -> Iterator[tuple[Worker, Recovered]]:
    log: DecisionsLog = KilledDecisions(folder / "decisions", fate)
    with closing(log):
        rng = fate.rng
        pace = Pace(
            batch_max=rng.choice([1, 7, 60, 400]),
            snapshot_every=rng.choice([1, 50, 150, 10**9]),
            snapshots_kept=rng.choice([2, 3]),
        )
        ports = Ports(KilledSource(MemorySource(records), fate), log, folder / "snapshots")
        worker, recovered = recover(Kernel(LAYOUT, LIMITS), ports, MEANS, pace)
        with closing(worker):  # ends the thread, which kill -9 would
            yield worker, recovered


def damage(folder: Path, rng: random.Random) -> str | None:
    """What a kill leaves of a snapshot half-way, and what the loss of power makes of a whole one.

    Returns the name of the newest snapshot if it is damaged now.
    """
    names = snapshot_names(folder)
    if not names:
        return None
    newest = folder / names[0]
    content = newest.read_bytes()
    if rng.random() < 0.3:
        (folder / f"9{names[0][1:]}{UNFINISHED}").write_bytes(
            content[: rng.randrange(len(content))]
        )
    if rng.random() < 0.15:
        at = rng.randrange(len(content))
        newest.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        return names[0]
    return None


@pytest.mark.parametrize("seed", range(8))
def test_killed_between_any_two_effects_every_decision_is_there_once(
    seed: int, tmp_path: Path
) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    traffic = Generator(seed).traffic(900)
    home, lives, damaged = Home(tmp_path), 0, None
    arrived, refused = 0, 0
    while arrived < len(traffic) or not done(tmp_path, len(traffic)):
        more = rng.randint(0, 120)
        home.append(traffic[arrived : arrived + more])
        arrived, lives = min(len(traffic), arrived + more), lives + 1
        try:
            with worker_of(tmp_path, home.records, Fate(rng)) as (worker, recovered):
                assert damaged is None or damaged in [name for name, _ in recovered.refused]
                refused += len(recovered.refused)
                decide_all(worker, arrived, rng)
        except Killed:
            pass
        damaged = damage(tmp_path / "snapshots", rng)
    print(f"lives {lives}, snapshots refused {refused}")
    assert lives > 8
    with closing(EmbeddedCommits(tmp_path / "decisions")) as reader:
        commits = reader.read(0, 10**6)
    decisions = [d for commit in commits for d in commit.decisions]
    letters = [d for commit in commits for d in commit.dead_letters]
    wanted, wanted_letters = expected(traffic, tmp_path)
    assert decisions == wanted
    assert [msgspec.json.decode(d, type=DeadLetter) for d in letters] == wanted_letters


def decide_all(worker: Worker, arrived: int, rng: random.Random) -> None:
    """One batch at a time, or each while the one before is being committed."""
    if rng.random() < 0.7:
        worker.run(lambda: worker.place.position >= arrived, lambda stepped: None)
    while worker.place.position < arrived:
        worker.step()


def done(folder: Path, records: int) -> bool:
    """Whether all records are decided."""
    with closing(EmbeddedCommits(folder / "decisions")) as reader:
        last = reader.last()
    return last is not None and last.position == records


def test_kill_9_of_a_real_worker(tmp_path: Path) -> None:
    """The short form of benchmarks/kill_loop.py."""
    script = ROOT / "benchmarks" / "kill_loop.py"
    run = subprocess.run(
        [sys.executable, str(script), "--kills", "4", "--seed", "5", "--folder", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert "4 kills" in run.stdout
