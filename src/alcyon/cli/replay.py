"""`alcyon replay`"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from alcyon.cli.opening.servers import connection, means, topic_names
from alcyon.cli.showing.options import Detectors, Json, limits, settings
from alcyon.cli.showing.talk import progress, show_json, tell, tell_error
from alcyon.detectors.loading import Detector, load_detector
from alcyon.domain.commit import Commit
from alcyon.domain.decision import Decision
from alcyon.domain.errors import InputError, LogError, SnapshotError
from alcyon.domain.ports import CommitReader
from alcyon.domain.record import Topic
from alcyon.features.kernel import Kernel
from alcyon.features.layout import Layout
from alcyon.io.log import EmbeddedCommits, EmbeddedSource
from alcyon.io.model_folder import FolderRegistry
from alcyon.io.snapshots import SnapshotHeader, headers
from alcyon.runners.demo.place import DemoPlace
from alcyon.runners.learning.models import loader
from alcyon.runners.stream.deciding import Means
from alcyon.runners.stream.replay import Difference, Recording, Replayed, Span, span_of
from alcyon.runners.stream.replay import replay as replayed
from alcyon.settings import Settings

if TYPE_CHECKING:
    from alcyon.io.kafka import KafkaCommits, KafkaSource
    from alcyon.io.kafka.entries import Entry

DIFFERENT = 1
"""The exit code where a decision came out otherwise."""
_decision = msgspec.json.Decoder(Decision)

First = Annotated[int | None, Parameter(name="--from")]
Last = Annotated[int | None, Parameter(name="--to")]


class Found(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    compared: int
    differing: int
    records: int
    snapshot: str | None
    sequences: tuple[int, ...]
    """Of the first differences."""


def replay(
    transaction: Annotated[str | None, Parameter(name="ID")] = None,
    /,
    *,
    first: First = None,
    last: Last = None,
    catalog: Detectors = "card",
    as_json: Json = False,
) -> int:
    """Decide again what was decided, and compare to the byte.

    Reads the broker's topics where kafka.bootstrap is set, with the models and snapshots of the
    home, else the demo's logs. They may be growing meanwhile. Where the log no longer has its
    beginning, it begins at the oldest snapshot whose records are all there, and says so. The exit
    code is 1 where a decision came out otherwise.

    An example:
        alcyon replay
        alcyon replay --from 720000 --to 725000
        alcyon replay t-0123abcdef-0000000042

    Parameters
    ----------
    transaction
        Only the decision on this transaction.
    first
        Only decisions from this sequence on.
    last
        Only decisions up to this sequence.
    as_json
        Print what was found as JSON.
    """
    if transaction is not None and (first is not None or last is not None):
        raise InputError("give either a transaction or --from and --to")
    span = Span(first or 0, Span().last if last is None else last)
    if span.first > span.last:
        raise InputError(f"--from {span.first} is behind --to {span.last}")
    set_to, detector = settings(), load_detector(catalog)
    again = _of_the_demo if set_to.kafka.bootstrap is None else _of_the_broker
    with ExitStack() as files:
        found = again(_Asked(set_to, detector, transaction, span), files)
    _tell(found)
    if as_json:
        sequences = tuple(difference.sequence for difference in found.differences)
        show_json(Found(found.compared, found.differing, found.records, found.snapshot, sequences))
    return DIFFERENT if found.differing else 0


@dataclass(frozen=True)
class _Asked:
    """What is to be compared, and by what."""

    set_to: Settings
    detector: Detector
    transaction: str | None
    span: Span

    def span_in(self, log: CommitReader) -> Span:
        return self.span if self.transaction is None else span_of(log, self.transaction)

    def span_behind(self, start: SnapshotHeader, log: CommitReader) -> Span:
        try:
            return self.span_in(_Renumbered(log, start.commit_index))
        except InputError as error:
            raise InputError(
                f"{self.transaction} was not decided from sequence {start.next_sequence} on, where "
                "the records that are left begin: check the id"
            ) from error

    def replayed(self, recording: Recording, by: Means, span: Span) -> Replayed:
        kernel = Kernel(Layout(self.detector.catalog), limits(self.set_to))
        with progress("records", None) as advance:
            return replayed(
                kernel, recording, by, span, self.set_to.worker.batch_max,
                lambda done, total: advance(done),
            )  # fmt: skip


def _of_the_demo(asked: _Asked, files: ExitStack) -> Replayed:
    set_to, detector = asked.set_to, asked.detector
    place = DemoPlace(set_to.home / "demo")
    if not place.decisions.is_dir():
        raise InputError(f"nothing was decided in {place.folder} yet: start alcyon demo first")
    recording = Recording(
        files.enter_context(closing(EmbeddedSource(place.intake))),
        files.enter_context(closing(EmbeddedCommits(place.decisions))),
        place.snapshots,
    )
    by = Means(
        set_to.token.keys(),
        loader(FolderRegistry(place.models), detector.catalog),
        detector.columns,
        set_to.codec.payload_bytes_max,
        set_to.codec.dead_letter_bytes_max,
    )
    span = asked.span_in(recording.log)
    try:
        return asked.replayed(recording, by, span)
    except SnapshotError:  # the worker keeps its newest only
        return asked.replayed(replace(recording, snapshots=place.warmed), by, span)


def _of_the_broker(asked: _Asked, files: ExitStack) -> Replayed:
    from alcyon.io.kafka import KafkaCommits, KafkaRecorded

    set_to = asked.set_to
    broker, names = connection(set_to), topic_names(set_to)
    topics = broker.reached().topics
    if names.commits not in topics or (log := KafkaCommits(broker, names)).last() is None:
        raise InputError(f"nothing was decided at {broker.bootstrap} yet: start alcyon run first")
    files.enter_context(closing(log))
    recording = Recording(
        files.enter_context(closing(KafkaRecorded(broker, names))), log, set_to.home / "snapshots"
    )
    by = means(set_to, asked.detector)
    kept = _Kept.of(set_to, files, {t: len(topics[names.of(t)].partitions) for t in Topic})
    if kept.has_beginning(log):
        try:
            return asked.replayed(recording, by, asked.span_in(log))
        except SnapshotError:  # it began with a warmed state, whose snapshot has gone
            pass
    for start in kept.starts(log, recording.snapshots):
        span = asked.span_behind(start, log)
        if span.last < start.next_sequence:
            break
        behind = replace(span, first=max(span.first, start.next_sequence))
        view = replace(recording, log=_Behind(log, start.commit_index))
        try:
            found = asked.replayed(view, by, behind)
        except SnapshotError:  # it is torn: the next newer one
            continue
        if behind != span:
            tell(
                f"the records of the beginning are gone: what was decided before sequence "
                f"{behind.first} cannot be recomputed, from there on it was"
            )
        return found
    raise InputError(
        "the records of the beginning are gone, and no snapshot in "
        f"{recording.snapshots} stands before what was asked for: it cannot be recomputed; keep "
        "topics longer (kafka.retention_hours) or more snapshots (worker.snapshots_kept)"
    )


@dataclass(frozen=True)
class _Kept:
    """What the topics still hold: the first commit, and the source that knows of the records."""

    first: Entry
    source: KafkaSource

    @staticmethod
    def of(set_to: Settings, files: ExitStack, partitions: dict[Topic, int]) -> _Kept:
        from alcyon.io.kafka import KafkaSource
        from alcyon.io.kafka.entries import Entries
        from alcyon.io.kafka.source import HandedOver

        broker, names = connection(set_to), topic_names(set_to)
        entries = files.enter_context(closing(Entries(broker, names.commits)))
        source = KafkaSource(broker, names, partitions, HandedOver())
        first = entries.covering(-1)
        if first is None:
            raise LogError(f"{names.commits} holds no commit any more: nothing can be recomputed")
        return _Kept(first, files.enter_context(closing(source)))

    def has_beginning(self, log: KafkaCommits) -> bool:
        """Whether commit 0 and all records that it covers are there, and all behind them."""
        from alcyon.io.kafka.entries import Next

        first = self.first
        begins = {(run.topic, run.partition): run.offset for run in reversed(first.runs)}
        places = tuple(Next(*place, offset) for place, offset in begins.items())
        covered = msgspec.structs.replace(first, next=(*first.next, *places))
        return first.index == 0 and self.source.has_kept(covered) and _can_read(log, 0)

    def starts(self, log: KafkaCommits, snapshots: Path) -> Iterator[SnapshotHeader]:
        """The snapshots behind which everything is kept, the oldest first."""
        for header in reversed(headers(snapshots)):
            if header.commit_index > self.first.index:
                try:
                    before = log.entry(header.commit_index - 1)
                except LogError:  # it is of another decisions log
                    continue
                if (
                    before is not None
                    and self.source.has_kept(before)
                    and _can_read(log, before.index)
                ):
                    yield header


def _can_read(log: KafkaCommits, index: int) -> bool:
    """Whether a commit's decisions, alerts and dead letters are there too."""
    try:
        return bool(log.read(index, 1))
    except LogError:
        return False


class _Behind:
    """A decisions log as far as it is there: asked for what was before, it begins with the commit
    before an index."""

    def __init__(self, log: CommitReader, index: int) -> None:
        self._log, self._index = log, index

    def last(self) -> Commit | None:
        return self._log.last()

    def read(self, from_index: int, max_commits: int) -> list[Commit]:
        return self._log.read(max(from_index, self._index - 1), max_commits)

    def close(self) -> None:
        self._log.close()


class _Renumbered(_Behind):
    """What follows the index, numbered from 0 on."""

    def read(self, from_index: int, max_commits: int) -> list[Commit]:
        return self._log.read(self._index + from_index, max_commits)


def _tell(found: Replayed) -> None:
    for name, why in found.refused:
        tell_error(f"snapshot {name} cannot be used: {why}")
    for difference in found.differences:
        tell_error(_described(difference))
    tell(
        f"{found.compared:,} decisions compared, {found.differing:,} differ "
        f"({found.records:,} records read from {found.snapshot or 'the beginning'})"
    )


def _described(difference: Difference) -> str:
    """Which fields differ, by name."""
    if difference.recorded is None or difference.recomputed is None:
        side = "was not recorded" if difference.recorded is None else "does not come again"
        return f"sequence {difference.sequence}: the decision {side}"
    then, now = map(_decision.decode, (difference.recorded, difference.recomputed))
    names = [n for n in Decision.__struct_fields__ if getattr(then, n) != getattr(now, n)]
    return f"sequence {difference.sequence} ({then.transaction_id}): {', '.join(names)} differ"
