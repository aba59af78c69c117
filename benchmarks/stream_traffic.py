"""Traffic for the stream benchmark: made once in a folder, then read by line."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alcyon.codecs.json import encode
from alcyon.detectors.loading import load_detector
from alcyon.domain.columns import concatenate
from alcyon.features.kernel import Kernel
from alcyon.features.layout import Layout
from alcyon.runners.files.warming import save_state
from alcyon.simulation import Scenario, simulate
from engine_model import DAY_MS, HISTORY_DAYS, warm

SEED = 11


@dataclass(frozen=True)
class Traffic:
    """The files of a run."""

    payloads: Path
    """One JSON payload per line, in order."""
    snapshots: Path
    """The warmed state."""
    model: Path


def made(folder: Path, history: int, wanted: int) -> Traffic:
    """Simulate, warm a state with the first `history` payments, keep the others as lines."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"traffic-{history}-{wanted}"
    traffic = Traffic(place / "payloads.jsonl", place / "snapshots", place / "model")
    if (place / "done").exists():
        return traffic
    place.mkdir(exist_ok=True)
    write_model(traffic.model)
    span = int(HISTORY_DAYS * DAY_MS * (history + wanted) / max(history, wanted))
    slices = simulate(Scenario(transactions=history + wanted, seed=SEED, duration_ms=span))
    kernel, seen = Kernel(Layout(load_detector("card").catalog)), 0
    with traffic.payloads.open("wb") as out:
        for piece in slices:
            batch = piece.transactions
            if seen < history:
                past = batch.slice(0, min(len(batch), history - seen))
                kernel.observe(past)
                batch = batch.slice(len(past), len(batch))
                seen += len(past)
            out.writelines(payload + b"\n" for payload in encode(concatenate([batch])))
    if history:
        save_state(kernel, traffic.snapshots)
    (place / "done").touch()
    return traffic


def write_model(folder: Path) -> None:
    """The engine benchmark's model."""
    import shutil

    shutil.copytree(warm(200_000, 50_000, 7).folder, folder, dirs_exist_ok=True)


class Lines:
    """Lines of a file by number, each handed out once."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        data = np.frombuffer(self._map, np.uint8)
        self._ends = np.flatnonzero(data == 10)
        self._next = 0

    def take(self, count: int) -> list[bytes]:
        """The next `count` lines."""
        first, last = self._next, min(self._next + count, len(self._ends))
        begins = np.concatenate([[0], self._ends + 1])[first:last].tolist()
        ends = self._ends[first:last].tolist()
        self._next = last
        return [self._map[a:b] for a, b in zip(begins, ends, strict=True)]
