"""A snapshot taken while the stream goes on is the state of the moment it began."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from alcyon.features.compiled.memory import BLOCK_WORDS
from alcyon.features.kernel import Kernel
from alcyon.features.layout import Layout
from alcyon.features.state import SnapshotReader, State
from tests.features import streams
from tests.features.test_exact import SMALL, differences, expected, observed


def restored(layout: Layout, reader: SnapshotReader, parts: list[NDArray[np.int64]]) -> Kernel:
    """A new kernel with the state of a finished snapshot."""
    kernel = Kernel(layout, SMALL)
    words = np.zeros(SMALL.state_bytes_max // 8, np.int64)
    for rows in parts:
        words.reshape(-1, BLOCK_WORDS)[rows[:, 0]] = rows[:, 1:]
    kernel.state = State.restored(layout, words, reader.meta, reader.free)
    kernel.pin_literals()
    return kernel


def snapshot_while_observing(
    kernel: Kernel, records: list[Any], start: int, rng: random.Random
) -> tuple[SnapshotReader, list[NDArray[np.int64]]]:
    """Begin a snapshot, then alternate between records and a few blocks until it is done."""
    reader = SnapshotReader(kernel.state)
    parts, at = [], 0
    while (rows := reader.blocks(rng.choice([1, 2, 5]))) is not None:
        parts.append(rows)
        step = records[at : at + 3]
        if step:
            observed(kernel, step, itertools.cycle([3]), start + at)
            at += len(step)
    return reader, parts


@pytest.mark.parametrize("block", range(4))
def test_a_restart_from_a_snapshot_under_traffic_changes_nothing(block: int) -> None:
    for seed in range(20_000 + block * 10, 20_010 + block * 10):
        rng = random.Random(seed)
        catalog, records = streams.catalog(rng), streams.records(rng, rng.choice([40, 200, 600]))
        layout, cut = Layout(catalog), len(records) // 2
        first = Kernel(layout, SMALL)
        before = observed(first, records[:cut], itertools.cycle([16]))
        reader, parts = snapshot_while_observing(first, records[cut:], cut, rng)
        blocks = [int(row[0]) for rows in parts for row in rows]
        assert sorted(blocks) == list(range(reader.total_blocks))
        second = restored(layout, reader, parts)
        after = observed(second, records[cut:], itertools.cycle([7]), cut)
        found = differences(expected(catalog, records), before + after)
        assert not found, (seed, found)


def test_only_one_snapshot_runs_at_a_time() -> None:
    kernel = Kernel(Layout(streams.catalog(random.Random(1))), SMALL)
    reader = SnapshotReader(kernel.state)
    with pytest.raises(RuntimeError, match="running already"):
        SnapshotReader(kernel.state)
    reader.abandon()
    SnapshotReader(kernel.state)
