"""The worker: reads the intake, decides, and writes the decisions log, exactly once.

`alcyon.runners.stream.recovery.recover` makes it, over the embedded logs or over Kafka.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
from alcyon.io.snapshot_writing import Written
from alcyon.io.snapshots import ReadAhead, SnapshotHeader
from alcyon.runners.stream.committing import Committing
from alcyon.runners.stream.deciding import Deciding, Made
from alcyon.runners.stream.measuring import Measured, minor_units
from alcyon.runners.stream.place import Place
from alcyon.runners.stream.polled import parts
from alcyon.runners.stream.snapshotting import Snapshotting

BATCH_MAX = 4096
_topic_of = attrgetter("topic")
AHEAD_MIN = 512
"""Fewer records are decided sooner than the commit before them ends: they wait for those that
arrive meanwhile, and one commit takes them all."""
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
    """By part of the step: poll (waiting included), decode, decide, commit (as far as it was waited
    for), snapshot."""
    measured: Measured
    live_rules: tuple[str, ...]
    """Ids of the rules that decide; the same object while it is the same rules."""
    base_minor_units: int
    """How many make a whole unit of the base currency."""
    committed_ago_s: float
    """How long before this was told its decisions could be read."""
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

    replayed: records between the newest snapshot and `place`.

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
        replayed: int = 0,
    ) -> None:
        self._deciding, self._ports, self._pace = deciding, ports, pace
        self.place = place
        """Behind the last commit; what is decided and on its way lies behind it."""
        self._committing = Committing(ports.log)
        self._next_sequence = place.next_sequence
        self._going: _Batch | None = None
        # Due from the snapshot on, not from here: killed often, it would replay ever more.
        self._snapshots = Snapshotting(
            ports.snapshots, pace.snapshot_every, pace.snapshots_kept,
            place.next_sequence - replayed + pace.snapshot_every, refused_snapshots,
        )  # fmt: skip

    def run(self, is_stopped: Callable[[], bool], on_step: Callable[[Stepped], None]) -> None:
        """Decide until stopped, which is looked at between two batches; tell of each commit.

        A batch is decided while the one before is being committed, and told of while the one
        behind it is. Whatever was decided when it ends was committed and told, but for an error
        of the commit itself. Errors as for `step`.
        """
        try:
            while not is_stopped():
                batch = self._decided()  # 1 poll  2 decode  3 decide
                before = self._ended()
                try:
                    self._hand_over(batch)  # 4 write decisions and offsets, one commit
                finally:
                    self._tell(before, on_step)
                if self._snapshots.is_due(self._next_sequence):  # 5 snapshot when due
                    self._tell(self._ended(), on_step)
                    self._begin_snapshot()
        finally:
            self._tell(self._ended(), on_step)

    def step(self) -> Stepped:
        """Decide on whatever has arrived, at most `batch_max` records, and commit it.

        LogError: a later worker took over, the disk is full, or a log is corrupt; see there.
        """
        self._hand_over(self._decided())
        batch = self._ended()
        assert batch is not None
        stepped = self._stepped(batch)
        if self._snapshots.is_due(self._next_sequence):
            self._begin_snapshot()
        return stepped

    def snapshot(self) -> Written:
        """Write a snapshot now and wait for it; called where nothing waits for a decision."""
        written = self.save(math.inf)
        assert written is not None
        return written

    def save(self, timeout_s: float) -> Written | None:
        """As `snapshot`; None where it took longer, and was abandoned."""
        self._snapshots.abandon()
        self._begin_snapshot()
        return self._snapshots.finish(timeout_s)

    @property
    def state_bytes(self) -> int:
        """Memory taken by the state."""
        return self._deciding.pipeline.kernel.state.used_bytes

    def close(self) -> None:
        """Called once, last; a snapshot half-way is abandoned. The ports are the caller's."""
        self._committing.close()
        self._snapshots.abandon()

    def _decided(self) -> _Batch:
        batch = _Batch()
        laps, made = batch.laps, batch.made
        records = batch.records = self._polled(laps)
        for part in parts(records, self._next_sequence):
            arrived = self._deciding.decode(part)
            laps.lap("decode")
            self._deciding.decide(arrived, made)
            self._deciding.control(part, made)
            laps.lap("decide")
        self._next_sequence += len(records)
        pipeline = self._deciding.pipeline
        batch.front, batch.versions = pipeline.kernel.state.front, pipeline.versions
        in_force = self._deciding.in_force
        batch.model_missing, batch.base = in_force.model_missing, in_force.rates.base
        batch.live_rules = in_force.conduct.rules.live_ids
        return batch

    def _polled(self, laps: _Laps) -> list[Record]:
        timeout_s = _BUSY_S if self._snapshots.is_writing else self._pace.poll_timeout_s
        records = self._ports.source.poll(self._pace.batch_max, timeout_s)
        laps.lap("poll")
        if self._committing.is_going and len(records) < min(AHEAD_MIN, self._pace.batch_max):
            self._committing.join()
            laps.lap("commit")
            records += self._ports.source.poll(self._pace.batch_max - len(records), 0)
            laps.lap("poll")
        return records

    def _hand_over(self, batch: _Batch) -> None:
        batch.laps.resume()
        if batch.records:
            self._committing.start(self._commit_of(batch))
            batch.laps.lap("commit")
        self._going = batch
        batch.written = self._snapshots.advance(self._next_sequence)
        batch.laps.lap("snapshot")

    def _ended(self) -> _Batch | None:
        """Wait for the batch that was handed over; None where there is none."""
        batch, self._going = self._going, None
        if batch is None:
            return None
        batch.laps.resume()
        batch.ended_at = time.perf_counter()
        if batch.commit is not None:
            index, batch.ended_at = self._committing.ended()
            self.place = self.place.behind(batch.commit, index)
            batch.laps.lap("commit")
        batch.place = self.place
        return batch

    def _tell(self, batch: _Batch | None, on_step: Callable[[Stepped], None]) -> None:
        if batch is not None:
            on_step(self._stepped(batch))

    def _commit_of(self, batch: _Batch) -> Commit:
        place, records, made = self.place, batch.records, batch.made
        if records[0].position != place.position:
            raise LogError(
                f"records from {place.position} on were read and not committed; "
                "end this worker and recover anew"
            )
        applied = dict(place.applied)
        counts = Counter(map(_topic_of, records))
        for topic in Topic:
            applied[topic.name] = applied.get(topic.name, 0) + counts[topic]
        batch.commit = Commit(
            self._ports.log.epoch, place.next_sequence, place.position,
            place.position + len(records), tuple(made.decisions), made.encoded_letters(),
            made.encoded_alerts(), applied,
        )  # fmt: skip
        return batch.commit

    def _begin_snapshot(self) -> None:
        """Of the state behind the last commit: nothing may be on its way."""
        assert self._going is None
        header = snapshot_header(self._deciding, self._ports.log.epoch, self.place)
        self._snapshots.begin(header, self._deciding.pipeline.kernel.state)

    def _stepped(self, batch: _Batch) -> Stepped:
        assert batch.versions is not None
        assert batch.place is not None
        records, made = batch.records, batch.made
        return Stepped(
            records=len(records),
            decisions=len(made.decisions),
            actions=MappingProxyType(made.actions),
            duplicates=made.duplicates,
            labels=made.labels,
            controls=made.controls,
            dead_letters=tuple(made.dead_letters),
            times=np.array([r.time for r in records if r.time is not None], np.int64),
            seconds=MappingProxyType(batch.laps.seconds),
            measured=made.measured,
            live_rules=batch.live_rules,
            base_minor_units=minor_units(batch.base),
            committed_ago_s=time.perf_counter() - batch.ended_at,
            next_sequence=batch.place.next_sequence,
            position=batch.place.position,
            front=batch.front,
            versions=batch.versions,
            model_missing=batch.model_missing,
            snapshot=batch.written,
        )


class _Laps:
    """Seconds by name, each since the one before."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._at = time.perf_counter()

    def resume(self) -> None:
        """What was done since the last lap was not for this."""
        self._at = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._at
        self._at = now


@dataclass
class _Batch:
    """Records from their poll to their commit."""

    records: list[Record] = field(default_factory=list)
    made: Made = field(default_factory=Made)
    front: int | None = None
    versions: Versions | None = None
    live_rules: tuple[str, ...] = ()
    base: str = ""
    model_missing: str | None = None
    commit: Commit | None = None
    ended_at: float = 0.0
    """When its commit was in, `time.perf_counter`."""
    place: Place | None = None
    """Behind it."""
    written: Written | None = None
    laps: _Laps = field(default_factory=_Laps)


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
