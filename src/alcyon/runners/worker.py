"""The worker: reads the intake, decides, and writes the decisions log, exactly once.

`alcyon.runners.recovery.recover` makes it, over the embedded logs or over Kafka.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.commit import Commit
from alcyon.domain.decision import Versions
from alcyon.domain.errors import LogError
from alcyon.domain.ports import DecisionsLog, Source
from alcyon.domain.record import DeadLetter, Record, Topic
from alcyon.io.snapshot_writing import SnapshotWriting, Written
from alcyon.io.snapshots import ReadAhead, SnapshotHeader
from alcyon.runners.deciding import Deciding, Made
from alcyon.runners.place import Place
from alcyon.runners.polled import parts

BATCH_MAX = 4096
_topic_of = attrgetter("topic")
_BUSY_S = 0.001
"""How long to wait for records while a snapshot wants to be copied."""


@dataclass(frozen=True)
class Ports:
    """What a worker reads and writes.

    The decisions log is opened first of all, which fences the predecessor.
    """

    source: Source
    log: DecisionsLog
    snapshots: Path
    """The folder."""
    ahead: ReadAhead | None = None
    """The newest of them, where it is being read already."""


@dataclass(frozen=True)
class Pace:
    """How much at once, and how often."""

    batch_max: int = BATCH_MAX
    snapshot_every: int = 100_000
    """Records between two snapshots."""
    snapshots_kept: int = 2
    poll_timeout_s: float = 0.05
    """How long a step waits where nothing arrives: how late it sees that it should stop."""


@dataclass(frozen=True)
class Stepped:
    """What one step did: facts for telemetry, which is put on from outside."""

    records: int
    decisions: int
    actions: Mapping[str, int]
    """Decisions by action."""
    duplicates: int
    labels: int
    controls: int
    """Control records that took effect."""
    dead_letters: tuple[DeadLetter, ...]
    """Refused control records among them, with what is wrong."""
    times: NDArray[np.int64]
    """When the log took each record, UTC ms by its clock; empty where it has none."""
    seconds: Mapping[str, float]
    """By part of the step: poll (waiting included), decode, decide, commit, snapshot."""
    next_sequence: int
    position: int
    front: int | None
    versions: Versions
    model_missing: str | None
    """The model that should decide and could not be had: rules and the fallback action do."""
    snapshot: Written | None
    """A snapshot that ended in this step; `error` is to be told loudly."""


class Worker:
    """Made by `recover`. Order: `step` or `run`, then `close`; after an error only `close`.

    An error leaves a state that may be ahead of the log: end this worker and recover anew. A
    further `step` commits nothing.
    """

    def __init__(
        self,
        deciding: Deciding,
        ports: Ports,
        pace: Pace,
        place: Place,
        refused_snapshots: tuple[str, ...] = (),
    ) -> None:
        self._deciding, self._ports, self._pace = deciding, ports, pace
        self.place = place
        self._refused_snapshots = refused_snapshots
        self._writing: SnapshotWriting | None = None
        self._snapshot_due = place.next_sequence + pace.snapshot_every

    def step(self) -> Stepped:
        """Decide on whatever has arrived, at most `batch_max` records, and commit it.

        LogError: a later worker took over, the disk is full, or a log is corrupt; see there.
        """
        laps, made = _Laps(), Made()
        records = self._ports.source.poll(self._pace.batch_max, self._timeout_s())  # 1 poll
        laps.lap("poll")
        for part in parts(records, self.place.next_sequence):
            arrived = self._deciding.decode(part)  # 2 decode
            laps.lap("decode")
            self._deciding.decide(arrived, made)  # 3 decide (observe, score, rules, policy)
            self._deciding.control(part, made)
            laps.lap("decide")
        if records:
            self._commit(records, made)  # 4 write decisions and offsets, one commit
            laps.lap("commit")
        written = self._snapshot()  # 5 snapshot when due
        laps.lap("snapshot")
        return self._stepped(records, made, laps, written)

    def run(self, is_stopped: Callable[[], bool], on_step: Callable[[Stepped], None]) -> None:
        """Step until stopped, which is looked at between two steps; tell each step."""
        while not is_stopped():
            on_step(self.step())

    def snapshot(self) -> Written:
        """Write a snapshot now and wait for it; called where nothing waits for a decision."""
        written = self.save(math.inf)
        assert written is not None
        return written

    def save(self, timeout_s: float) -> Written | None:
        """As `snapshot`; None where it took longer, and was abandoned."""
        if self._writing is not None:
            self._writing.abandon()
        self._writing = self._begun()
        deadline = time.monotonic() + timeout_s
        while (written := self._writing.advance()) is None:
            if time.monotonic() > deadline:
                self._writing.abandon()
                break
            time.sleep(_BUSY_S)
        self._writing = None
        return written

    @property
    def state_bytes(self) -> int:
        """Memory taken by the state."""
        return self._deciding.pipeline.kernel.state.used_bytes

    def close(self) -> None:
        """Called once, last; a snapshot half-way is abandoned. The ports are the caller's."""
        if self._writing is not None:
            self._writing.abandon()
            self._writing = None

    def _timeout_s(self) -> float:
        return _BUSY_S if self._writing is not None else self._pace.poll_timeout_s

    def _commit(self, records: list[Record], made: Made) -> None:
        if records[0].position != self.place.position:
            raise LogError(
                f"records from {self.place.position} on were read and not committed; "
                "end this worker and recover anew"
            )
        applied = dict(self.place.applied)
        counts = Counter(map(_topic_of, records))
        for topic in Topic:
            applied[topic.name] = applied.get(topic.name, 0) + counts[topic]
        commit = Commit(
            self._ports.log.epoch, self.place.next_sequence, self.place.position,
            self.place.position + len(records), tuple(made.decisions), made.encoded_letters(),
            made.encoded_alerts(), applied,
        )  # fmt: skip
        self.place = self.place.behind(commit, self._ports.log.append(commit))

    def _snapshot(self) -> Written | None:
        if self._writing is None and self.place.next_sequence >= self._snapshot_due:
            self._writing = self._begun()
        written = self._writing.advance() if self._writing is not None else None
        if written is not None:
            self._writing = None
            # Rest as long as it took, in records: where they come so fast that the next is due
            # already, writing would otherwise never end, and decisions would wait behind it.
            passed = self.place.next_sequence - written.next_sequence
            self._snapshot_due = max(self._snapshot_due, self.place.next_sequence + passed)
        return written

    def _begun(self) -> SnapshotWriting:
        self._snapshot_due = self.place.next_sequence + self._pace.snapshot_every
        return SnapshotWriting(
            self._ports.snapshots,
            snapshot_header(self._deciding, self._ports.log.epoch, self.place),
            self._deciding.pipeline.kernel.state,
            self._pace.snapshots_kept,
            self._refused_snapshots,
        )

    def _stepped(
        self, records: list[Record], made: Made, laps: _Laps, written: Written | None
    ) -> Stepped:
        in_force, pipeline = self._deciding.in_force, self._deciding.pipeline
        return Stepped(
            records=len(records),
            decisions=len(made.decisions),
            actions=MappingProxyType(made.actions),
            duplicates=made.duplicates,
            labels=made.labels,
            controls=made.controls,
            dead_letters=tuple(made.dead_letters),
            times=np.array([r.time for r in records if r.time is not None], np.int64),
            seconds=MappingProxyType(laps.seconds),
            next_sequence=self.place.next_sequence,
            position=self.place.position,
            front=pipeline.kernel.state.front,
            versions=pipeline.versions,
            model_missing=in_force.model_missing,
            snapshot=written,
        )


class _Laps:
    """Seconds by name, each since the one before."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._at = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._at
        self._at = now


def snapshot_header(deciding: Deciding, epoch: int, place: Place) -> SnapshotHeader:
    """The header of a snapshot of this moment; with `Place(next_sequence=n)` that of a state
    warmed by n records, which the first worker of an empty decisions log begins with."""
    kernel = deciding.pipeline.kernel
    low, high = kernel.key.tolist()
    return SnapshotHeader(
        catalog=kernel.layout.catalog.hash,
        key=(low, high),
        epoch=epoch,
        next_sequence=place.next_sequence,
        position=place.position,
        commit_index=place.commit_index,
        commit_digest=place.digest,
        applied=dict(place.applied),
        in_force=msgspec.Raw(msgspec.json.encode(deciding.in_force.to_data())),
    )
