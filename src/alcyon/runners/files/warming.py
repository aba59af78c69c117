"""Warming: history changes the state and nothing is decided, so that no card looks new.

The snapshot is what a worker with an empty log begins with: it stands before the first record of
the log, and its sequences go on where those of the history end.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from alcyon.domain.errors import SnapshotError
from alcyon.features.compiled.memory import NEXT_SEQUENCE
from alcyon.features.kernel import Kernel
from alcyon.io.snapshot_writing import SnapshotWriting, Written
from alcyon.io.snapshots import SnapshotHeader, load_newest
from alcyon.runners.files.arrivals import Arrivals, Sources, Tally
from alcyon.runners.files.backfill import observe
from alcyon.runners.files.deadletters import DeadLetters
from alcyon.runners.stream.in_force import InForce

KEPT = 2


def warm_state(
    kernel: Kernel, sources: Sources, progress: Callable[[int], None] = lambda rows: None
) -> Tally:
    """Let every transaction of the history, and the labels between them, change the state."""
    with DeadLetters(None) as dead_letters:
        arrivals = Arrivals(sources, dead_letters)
        for part in arrivals.parts():
            if len(part.batch):
                observe(kernel, arrivals, part)
            progress(arrivals.tally.rows)
    return arrivals.tally


def save_state(kernel: Kernel, folder: Path) -> Written:
    """Write the state as a snapshot into `folder`. SnapshotError when the disk refuses."""
    catalog = kernel.layout.catalog
    low, high = (int(half) for half in kernel.key)
    header = SnapshotHeader(
        catalog=catalog.hash,
        key=(low, high),
        epoch=0,
        next_sequence=int(kernel.state.memory.meta[NEXT_SEQUENCE]),
        position=0,
        commit_index=0,
        commit_digest="",
        applied={},
        in_force=msgspec.Raw(msgspec.json.encode(InForce.initial(catalog).to_data())),
    )
    written = SnapshotWriting(folder, header, kernel.state, KEPT).finish()
    if written.error is not None:
        raise SnapshotError(f"{folder}: the snapshot cannot be written, {written.error}")
    return written


def load_state(kernel: Kernel, folder: Path) -> None:
    """Put the newest usable snapshot of `folder` into a new kernel.

    SnapshotError when there is none, or one that is newer cannot be used.
    """
    loaded = load_newest(folder, kernel, lambda _: None)
    for name, why in loaded.refused:
        raise SnapshotError(f"{folder / name}: cannot be used, {why}")
    if loaded.header is None:
        raise SnapshotError(f"{folder}: holds no snapshot: make one with alcyon warm")
