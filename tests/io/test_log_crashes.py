"""Every way the end of the embedded log can be torn, and what must be called corrupt instead."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from alcyon.domain.errors import LogError
from alcyon.domain.record import Topic
from alcyon.io.log import EmbeddedIntake, EmbeddedSource
from alcyon.io.log.frames import encode, segments

T = Topic.TRANSACTIONS


def write(folder: Path, appends: list[list[bytes]]) -> list[int]:
    """Write into one segment; return its size after each append."""
    sizes = []
    with closing(EmbeddedIntake(folder, "never")) as intake:
        for append in appends:
            intake.append(T, append)
            sizes.append(segments(folder)[0].path.stat().st_size)
    return sizes


def read(folder: Path) -> list[bytes]:
    """Everything a new reader finds."""
    found: list[bytes] = []
    with closing(EmbeddedSource(folder)) as source:
        while records := source.poll(100, 0):
            found += [record.payload for record in records]
    return found


APPENDS = [[bytes([65 + i]) * (i * 7 % 30)] * (1 + i % 3) for i in range(8)]


@pytest.mark.parametrize("tail", [b"", b"\0" * 100], ids=["cut", "zeros"])
def test_a_cut_at_every_byte_leaves_each_append_whole_or_gone(tmp_path: Path, tail: bytes) -> None:
    """`tail`: zeros that a loss of power leaves where data was promised."""
    sizes = write(tmp_path, APPENDS)
    path = segments(tmp_path)[0].path
    content = path.read_bytes()
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut] + tail)
        whole = sum(size <= cut for size in sizes)
        before = [entry for append in APPENDS[:whole] for entry in append]
        assert read(tmp_path) == before
        with closing(EmbeddedIntake(tmp_path, "never")) as intake:
            good = sizes[whole - 1] if whole else 0
            dropped = cut + len(tail) - good
            torn = intake.torn_tail
            assert (torn.offset, torn.dropped_bytes) == (good, dropped) if torn else not dropped
            intake.append(T, [b"next"])
            assert intake.end == len(before) + 1
        assert read(tmp_path) == [*before, b"next"]


def test_a_flipped_bit_anywhere_before_the_last_frame_is_an_error_that_names_the_place(
    tmp_path: Path,
) -> None:
    sizes = write(tmp_path, APPENDS)
    path = segments(tmp_path)[0].path
    content = bytearray(path.read_bytes())
    rng = random.Random(5)
    for at in range(sizes[-2]):
        bit = 1 << rng.randrange(8)
        content[at] ^= bit
        path.write_bytes(content)
        start = max(size for size in [0, *sizes] if size <= at)
        place = f"{path}: corrupt at byte {start},"
        with pytest.raises(LogError) as opening:
            EmbeddedIntake(tmp_path, "never")
        assert str(opening.value).startswith(place)
        content[at] ^= bit


def test_a_reader_gives_what_is_before_the_corruption_and_then_stops(tmp_path: Path) -> None:
    sizes = write(tmp_path, APPENDS)
    path = segments(tmp_path)[0].path
    content = bytearray(path.read_bytes())
    content[sizes[3] + 5] ^= 1
    path.write_bytes(content)
    source = EmbeddedSource(tmp_path)
    before = [entry for append in APPENDS[:4] for entry in append]
    assert [record.payload for record in source.poll(1000, 0)] == before
    for _ in range(2):
        with pytest.raises(LogError, match=f"corrupt at byte {sizes[3]},"):
            source.poll(1000, 0)


def test_a_flipped_bit_in_the_last_frame_takes_that_append_and_no_other(tmp_path: Path) -> None:
    sizes = write(tmp_path, APPENDS)
    path = segments(tmp_path)[0].path
    content = path.read_bytes()
    before = [entry for append in APPENDS[:-1] for entry in append]
    for at in range(sizes[-2], sizes[-1]):
        path.write_bytes(content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :])
        with closing(EmbeddedIntake(tmp_path, "never")) as intake:
            assert intake.torn_tail is not None
        assert read(tmp_path) == before


def test_a_cut_in_a_segment_that_has_a_successor_is_an_error(tmp_path: Path) -> None:
    with closing(EmbeddedIntake(tmp_path, "never", 100)) as intake:
        for i in range(4):
            intake.append(T, [bytes([i]) * 30])
    path = segments(tmp_path)[0].path
    content = path.read_bytes()
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        with pytest.raises(LogError, match=r"corrupt at byte 0|entry 0 is missing"):
            read(tmp_path)


def test_a_torn_append_that_carries_frames_as_payload_is_still_torn(tmp_path: Path) -> None:
    forged = encode(7, [b"forged"])
    sizes = write(tmp_path, [[b"a"], [b"x" * 50, forged, b"y" * 50]])
    path = segments(tmp_path)[0].path
    os.truncate(path, sizes[1] - 1)
    with closing(EmbeddedIntake(tmp_path, "never")) as intake:
        assert intake.end == 1


_QUOTA = """
import resource, sys, pathlib
from alcyon.domain.errors import LogError
from alcyon.domain.record import Topic
from alcyon.io.log import EmbeddedIntake
folder, quota = pathlib.Path(sys.argv[1]), int(sys.argv[2])
intake = EmbeddedIntake(folder, "always")
resource.setrlimit(resource.RLIMIT_FSIZE, (quota, resource.RLIM_INFINITY))
last, refused = -1, 0
for i in range(40):
    try:
        intake.append(Topic.LABELS, [bytes([i]) * (100 + 37 * i % 90)] * 2)
        last = intake.end - 1
    except LogError as error:
        assert "make room" in str(error), error
        refused += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
intake.append(Topic.LABELS, [b"after"])
after = intake.end - 1
assert refused and after == last + 1
print(after)
"""


@pytest.mark.parametrize("quota", [1, 30, 1000, 4321])
def test_a_full_disk_refuses_the_append_and_leaves_no_half_of_it(
    tmp_path: Path, quota: int
) -> None:
    """A quota on the file's size stands for the disk: the write stops in the middle likewise."""
    run = subprocess.run(
        [sys.executable, "-c", _QUOTA, str(tmp_path), str(quota)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = read(tmp_path)
    assert len(found) == int(run.stdout) + 1
    assert found[-1] == b"after"
    assert all(a == b for a, b in zip(found[:-1:2], found[1:-1:2], strict=True))
    with closing(EmbeddedIntake(tmp_path)) as intake:
        assert intake.torn_tail is None


_APPENDING = """
import sys, pathlib
from alcyon.domain.record import Topic
from alcyon.io.log import EmbeddedIntake
intake = EmbeddedIntake(pathlib.Path(sys.argv[1]), "never", 2_000_000)
while True:
    first = intake.end
    payloads = [b"%d" % p * 2000 for p in range(first, first + 50)]
    intake.append(Topic.LABELS, payloads)
    print(intake.end - 1, flush=True)
"""


def test_after_kill_9_everything_acknowledged_is_there_and_appends_are_whole(
    tmp_path: Path,
) -> None:
    rng, acknowledged = random.Random(3), -1
    for _ in range(5):
        command = [sys.executable, "-c", _APPENDING, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _, line in zip(range(rng.randint(1, 20)), process.stdout, strict=False):
                acknowledged = int(line)
            time.sleep(rng.uniform(0, 0.003))
            process.kill()
        with closing(EmbeddedIntake(tmp_path, "never")) as intake:
            end = intake.end
        found = read(tmp_path)
        assert found == [b"%d" % p * 2000 for p in range(end)]
        assert end > acknowledged
        assert end % 50 == 0
