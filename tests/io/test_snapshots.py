"""Snapshot files: what is read is what was written, and what is not sound leaves nothing."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.runners.working import CATALOG, LAYOUT, LIMITS

from alcyon.domain.errors import SettingsError
from alcyon.features.compiled.memory import BLOCK_WORDS, BUMP
from alcyon.features.kernel import Kernel, Limits
from alcyon.io.snapshot_reading import ReadAhead, read_ahead, section
from alcyon.io.snapshot_writing import BUFFERS, SECTION_BLOCKS, SnapshotWriting
from alcyon.io.snapshots import Loaded, SnapshotHeader, load_newest, snapshot_names

WORDS = BLOCK_WORDS * (2 * SECTION_BLOCKS + 100)


def header(sequence: int) -> SnapshotHeader:
    return SnapshotHeader(
        CATALOG.hash, (0, 0), 1, sequence, 0, 0, "", {}, msgspec.Raw(b"{}")
    )  # fmt: skip


def filled(seed: int, words: int = WORDS) -> Kernel:
    """A state of words at random; three sections unless said otherwise."""
    kernel = Kernel(LAYOUT, LIMITS)
    memory = kernel.state.memory
    memory.meta[BUMP] = words
    memory.words[8192:words] = np.random.default_rng(seed).integers(0, 2**62, words - 8192)
    return kernel


def written(folder: Path, *sequences: int, words: int = WORDS) -> list[Kernel]:
    """The states of snapshots at these sequences, each of its own seed."""
    kernels = [filled(sequence, words) for sequence in sequences]
    for sequence, kernel in zip(sequences, kernels, strict=True):
        assert SnapshotWriting(folder, header(sequence), kernel.state, 2).finish().error is None
    return kernels


def load(folder: Path, ahead: ReadAhead | None = None) -> tuple[Kernel, Loaded]:
    kernel = Kernel(LAYOUT, LIMITS)
    return kernel, load_newest(folder, kernel, lambda _: None, ahead=ahead)


def same(kernel: Kernel, other: Kernel) -> bool:
    """Whether both states hold the same words."""
    one, two = kernel.state.memory, other.state.memory
    end = int(one.meta[BUMP])
    return bool((one.meta == two.meta).all() and (one.words[:end] == two.words[:end]).all())


def damage(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("is_ahead", [False, True])
def test_a_state_of_several_sections_comes_back_as_it_was(is_ahead: bool, tmp_path: Path) -> None:
    (kernel,) = written(tmp_path, 1)
    ahead = read_ahead(tmp_path, LIMITS.state_bytes_max) if is_ahead else None
    assert (ahead is not None) == is_ahead
    other, loaded = load(tmp_path, ahead)
    assert (loaded.header, loaded.refused) == (header(1), ())
    assert same(kernel, other)


@pytest.mark.parametrize("is_ahead", [False, True])
@pytest.mark.parametrize("part", [0.2, 0.6, 0.999])
def test_one_that_is_damaged_far_behind_leaves_nothing(
    part: float, is_ahead: bool, tmp_path: Path
) -> None:
    """Sections before the damage are sound, and may be in memory already."""
    older, _ = written(tmp_path, 1, 2)
    newest, oldest = snapshot_names(tmp_path)
    damage(tmp_path / newest, int((tmp_path / newest).stat().st_size * part))
    ahead = read_ahead(tmp_path, LIMITS.state_bytes_max) if is_ahead else None
    other, loaded = load(tmp_path, ahead)
    assert (loaded.header, [name for name, _ in loaded.refused]) == (header(1), [newest])
    assert same(older, other)
    (tmp_path / oldest).unlink()
    kernel = Kernel(LAYOUT, LIMITS)
    before = kernel.state
    assert load_newest(tmp_path, kernel, lambda _: None).header is None
    assert kernel.state is before
    assert same(kernel, Kernel(LAYOUT, LIMITS))


def test_one_read_ahead_gives_way_to_a_newer_one(tmp_path: Path) -> None:
    """The predecessor may have written until it was fenced."""
    written(tmp_path, 1)
    ahead = read_ahead(tmp_path, LIMITS.state_bytes_max)
    (newer,) = written(tmp_path, 2)
    other, loaded = load(tmp_path, ahead)
    assert (loaded.header, loaded.refused) == (header(2), ())
    assert same(newer, other)


def test_one_read_ahead_is_held_to_what_the_log_says(tmp_path: Path) -> None:
    written(tmp_path, 1, 2)
    ahead = read_ahead(tmp_path, LIMITS.state_bytes_max)
    loaded = load_newest(
        tmp_path, Kernel(LAYOUT, LIMITS), lambda h: "lost" if h == header(2) else None, ahead=ahead
    )
    assert loaded == Loaded(header(1), ((header(2).name, "lost"),))


def test_one_read_ahead_is_taken_once_and_read_anew_from_then_on(tmp_path: Path) -> None:
    """A worker that recovers again after the broker was away changed what it took."""
    (kernel,) = written(tmp_path, 1)
    ahead = read_ahead(tmp_path, LIMITS.state_bytes_max)
    first, _ = load(tmp_path, ahead)
    first.state.memory.words[8192:] = 7
    second, loaded = load(tmp_path, ahead)
    assert loaded == Loaded(header(1), ())
    assert same(kernel, second)


def test_nothing_is_read_ahead_where_there_is_nothing(tmp_path: Path) -> None:
    assert read_ahead(tmp_path / "none", LIMITS.state_bytes_max) is None


def test_one_read_ahead_that_is_gone_when_it_is_wanted_is_no_error(tmp_path: Path) -> None:
    written(tmp_path, 1, words=BLOCK_WORDS * 100)
    ahead = read_ahead(tmp_path, LIMITS.state_bytes_max)
    assert ahead is not None
    (tmp_path / header(1).name).unlink()
    assert load(tmp_path, ahead)[1] == Loaded(None, ())
    assert ahead.take(header(1).name) is None


def test_a_state_that_is_too_large_is_a_setting_to_change_read_ahead_too(tmp_path: Path) -> None:
    written(tmp_path, 1)
    kernel = Kernel(LAYOUT, LIMITS)
    for ahead in (None, read_ahead(tmp_path, 2**20)):
        kernel.limits = replace(Limits(), state_bytes_max=2**20)
        with pytest.raises(SettingsError, match="raise it"):
            load_newest(tmp_path, kernel, lambda _: None, ahead=ahead)


def test_a_file_of_an_older_format_is_refused_by_its_name(tmp_path: Path) -> None:
    written(tmp_path, 1, words=BLOCK_WORDS * 100)
    path = tmp_path / header(1).name
    head = section(b"SNP1", b"")
    path.write_bytes(head + path.read_bytes()[len(head) :])
    _, loaded = load(tmp_path)
    assert [why for _, why in loaded.refused] == ["it is of format SNP1, not SNP2"]


def test_where_both_buffers_wait_for_the_disk_nothing_waits_for_them(tmp_path: Path) -> None:
    kernel = filled(1)
    writing = SnapshotWriting(tmp_path, header(1), kernel.state, 2)
    buffers = [writing._empty.get(timeout=10) for _ in range(BUFFERS)]
    began = time.perf_counter()
    assert writing.advance(pause_s=60) is None
    assert time.perf_counter() - began < 30
    for buffer in buffers:
        writing._empty.put(buffer)
    assert writing.finish().error is None
    assert same(load(tmp_path)[0], kernel)
