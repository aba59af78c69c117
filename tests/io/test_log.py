"""The embedded log: order, seeking, tailing, locks, retention."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from alcyon.domain.commit import Commit
from alcyon.domain.errors import LogError
from alcyon.domain.record import Topic
from alcyon.io.log import EmbeddedCommits, EmbeddedDecisions, EmbeddedIntake, EmbeddedSource, guard
from alcyon.io.log.frames import FRAME_BYTES_MAX, segments
from alcyon.io.log.reader import LogReader

T = Topic.TRANSACTIONS


def payloads(seed: int, appends: int) -> list[list[bytes]]:
    """Appends of 1 … 5 payloads of 0 … 40 bytes."""
    rng = random.Random(seed)
    return [
        [rng.randbytes(rng.randrange(41)) for _ in range(rng.randint(1, 5))] for _ in range(appends)
    ]


def write(folder: Path, appends: list[list[bytes]], segment_bytes_max: int = 2**20) -> None:
    with closing(EmbeddedIntake(folder, "never", segment_bytes_max)) as intake:
        for append in appends:
            intake.append(T, append)


def read(folder: Path, at_once: int = 100) -> list[bytes]:
    """Everything a new reader finds."""
    found: list[bytes] = []
    with closing(EmbeddedSource(folder)) as source:
        while records := source.poll(at_once, 0):
            found += [record.payload for record in records]
    return found


def flat(appends: list[list[bytes]]) -> list[bytes]:
    return [entry for entries in appends for entry in entries]


@pytest.mark.parametrize("segment_bytes_max", [1, 200, 2**20])
@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_what_is_appended_is_read_in_order_after_reopening(
    tmp_path: Path, segment_bytes_max: int, at_once: int
) -> None:
    appends = payloads(1, 60)
    write(tmp_path, appends[:30], segment_bytes_max)
    write(tmp_path, appends[30:], segment_bytes_max)
    assert read(tmp_path, at_once) == flat(appends)


def test_seek_finds_every_position_across_segments_and_chunks(tmp_path: Path) -> None:
    appends = [[bytes([i, j]) * 3000 for j in range(5)] for i in range(60)]
    write(tmp_path, appends, 600_000)
    assert len(segments(tmp_path)) > 2
    everything, reader = flat(appends), LogReader(tmp_path)
    for position in random.Random(2).sample(range(300), 300):
        reader.seek(position)
        assert [e[1:] for e in reader.read(2)] == everything[position : position + 2]
    assert reader.seek_end() == 300
    assert reader.read(1) == []


def test_a_poll_is_not_split_where_a_chunk_or_a_segment_ends(tmp_path: Path) -> None:
    appends = [[os.urandom(1000)] * 100 for _ in range(10)]
    write(tmp_path, appends, 300_000)
    assert len(EmbeddedSource(tmp_path).poll(1000, 0)) == 1000


def test_an_entry_larger_than_a_chunk_and_than_a_segment_is_read(tmp_path: Path) -> None:
    large = os.urandom(700_000)
    write(tmp_path, [[b"a"], [large], [b"b", large]], 1000)
    assert read(tmp_path) == [b"a", large, b"b", large]


def test_an_append_above_the_bound_is_refused(tmp_path: Path) -> None:
    with closing(EmbeddedIntake(tmp_path, "never")) as intake:
        with pytest.raises(LogError, match="append fewer"):
            intake.append(T, [b"x" * FRAME_BYTES_MAX])
        intake.append(T, [b"x"])
        assert intake.end == 1


def test_a_second_writer_is_refused_until_the_first_closes(tmp_path: Path) -> None:
    with closing(EmbeddedIntake(tmp_path)), pytest.raises(LogError, match="another process"):
        EmbeddedIntake(tmp_path)
    EmbeddedIntake(tmp_path).close()


def test_a_reader_that_waits_gets_what_is_appended_meanwhile(tmp_path: Path) -> None:
    with closing(EmbeddedIntake(tmp_path)) as intake:
        source = EmbeddedSource(tmp_path)
        threading.Timer(0.05, intake.append, (T, [b"x"])).start()
        started = time.monotonic()
        assert [r.payload for r in source.poll(9, 5.0)] == [b"x"]
        assert time.monotonic() - started < 1.0


def test_a_reader_in_another_process_never_sees_half_a_frame(tmp_path: Path) -> None:
    """Tail while frames of many pages are written, segments roll, the writer is another process."""
    code = (
        "import sys, pathlib\n"
        "from alcyon.io.log import EmbeddedIntake\n"
        "from alcyon.domain.record import Topic\n"
        "intake = EmbeddedIntake(pathlib.Path(sys.argv[1]), 'never', 3_000_000)\n"
        "for i in range(150):\n"
        "    intake.append(Topic.LABELS, [bytes([i]) * (i * 997 % 150_000) for _ in range(3)])\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    source, count = EmbeddedSource(tmp_path), 0
    while count < 450:
        for record in source.poll(100, 10.0):
            assert record.position == count
            assert record.payload == bytes([count // 3]) * (count // 3 * 997 % 150_000)
            count += 1
    assert writer.wait() == 0


def test_dropping_removes_whole_segments_only_and_never_the_last_entry(tmp_path: Path) -> None:
    with closing(EmbeddedIntake(tmp_path, "never", 100)) as intake:
        for i in range(10):
            intake.append(T, [bytes([i]) * 60])
        reading = EmbeddedSource(tmp_path)
        assert len(reading.poll(4, 0)) == 4
        assert intake.drop_before(4) == 4
        assert intake.drop_before(99) == 5
        intake.append(T, [b"x"])
        assert intake.end == 11
    source = EmbeddedSource(tmp_path)
    with pytest.raises(LogError, match="entry 0 is missing"):
        source.poll(1, 0)
    with pytest.raises(LogError, match="begins at 9"):
        source.seek(8)
    source.seek(9)
    assert [r.position for r in source.poll(9, 0)] == [9, 10]
    with pytest.raises(LogError, match="entry 4 is missing"):
        reading.poll(9, 0)


def test_a_segment_that_is_missing_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, [[bytes([i]) * 60] for i in range(5)], 100)
    segments(tmp_path)[2].path.unlink()
    with pytest.raises(LogError, match="entry 2 is missing"):
        read(tmp_path)


def test_a_stopped_worker_that_holds_the_epoch_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "LOCK_TIMEOUT_S", 0.05)
    old = guard.Reign(tmp_path, after=0)
    with old.held(), pytest.raises(LogError, match="in the middle of an append"):
        EmbeddedDecisions(tmp_path)


def test_the_epoch_grows_even_if_its_file_is_lost(tmp_path: Path) -> None:
    log = EmbeddedDecisions(tmp_path, "never")
    log.append(Commit(log.epoch, 0, 0, 1, (b"d",)))
    (tmp_path / "epoch").unlink()
    assert EmbeddedDecisions(tmp_path, "never").epoch == log.epoch + 1
    last = EmbeddedCommits(tmp_path).last()
    assert last is not None
    assert last.epoch == log.epoch
