"""Replay: recomputes recorded decisions from the records, and compares them byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from alcyon.domain.commit import Commit
from alcyon.domain.errors import InputError, LogError
from alcyon.domain.ports import CommitReader, Source
from alcyon.features.kernel import Kernel
from alcyon.runners.stream.deciding import Deciding, Made, Means
from alcyon.runners.stream.polled import parts
from alcyon.runners.stream.recovery import (
    COMMITS_MAX,
    begin,
    following,
    groups,
    observe_again,
    recorded,
    refused_records,
)
from alcyon.scoring.conduct import NO_MODEL

DIFFERENCES_MAX = 10
"""How many differences are shown; all are counted."""


class _DecidedBy(msgspec.Struct):
    model: str
    challenger: str


class _Key(msgspec.Struct):
    """As much of a recorded decision as must be read to compare it."""

    sequence: int
    transaction_id: str
    versions: _DecidedBy


_decoder = msgspec.json.Decoder(_Key)


@dataclass(frozen=True)
class Recording:
    """What a replay reads; a worker may be writing it meanwhile."""

    source: Source
    log: CommitReader
    snapshots: Path


@dataclass(frozen=True)
class Span:
    """Sequences, both included."""

    first: int = 0
    last: int = 2**62

    def holds(self, sequence: int) -> bool:
        """Whether the sequence is inside."""
        return self.first <= sequence <= self.last


@dataclass(frozen=True)
class Difference:
    """A decision that came out otherwise; None: there is none on this side."""

    sequence: int
    recorded: bytes | None
    recomputed: bytes | None


@dataclass(frozen=True)
class Replayed:
    """What a replay found. Nothing differs: every compared decision is the same to the byte."""

    snapshot: str | None
    """Where it began; None: at the log's beginning."""
    refused: tuple[tuple[str, str], ...]
    """(snapshot, why) of newer ones that could not be used."""
    records: int
    """Read again, those before the span included."""
    compared: int
    """Recorded decisions in the span."""
    differing: int
    differences: tuple[Difference, ...]
    """The first ones, at most `DIFFERENCES_MAX`."""


def replay(
    kernel: Kernel,
    recording: Recording,
    means: Means,
    span: Span = Span(),
    batch_max: int = 4096,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Replayed:
    """Recompute the decisions of a span, from the newest snapshot before it.

    kernel: new, without history. batch_max: any; it changes nothing. on_progress: called with
    records done and all records, now and then. Errors as for `recover`; ModelError where a model
    that decided cannot be loaded.
    """
    log, last = recording.log, recording.log.last()
    beginning = log.read(0, 1)[0].first_sequence if last else 0
    span = Span(max(span.first, beginning), span.last)
    start = begin(kernel, log, recording.snapshots, means, before=span.first)
    comparison = _Comparison(start.deciding, recording.source, means, span, batch_max)
    total = min(last.next_sequence, span.last + 1) - start.place.next_sequence if last else 0
    done = 0
    for group in groups(following(log.read, start.place), batch_max):
        if group[0].first_sequence > span.last:
            break
        if group[-1].next_sequence <= span.first:
            observe_again(start.deciding, recording.source, group, batch_max)
        else:
            comparison.compare(group)
        done += group[-1].position - group[0].first_position
        on_progress(done, max(total, done))
    return Replayed(
        start.snapshot, start.refused, done, comparison.compared,
        comparison.differing, tuple(comparison.differences),
    )  # fmt: skip


def span_of(log: CommitReader, transaction_id: str) -> Span:
    """The span of the first decision on a transaction. InputError: there is none."""
    index, sought = 0, transaction_id.encode()
    while commits := log.read(index, COMMITS_MAX):
        for commit in commits:
            for data in commit.decisions:
                if sought in data and (key := _key(data)).transaction_id == transaction_id:
                    return Span(key.sequence, key.sequence)
        index += len(commits)
    raise InputError(f"{transaction_id} was never decided: check the id")


class _Comparison:
    def __init__(
        self, deciding: Deciding, source: Source, means: Means, span: Span, batch_max: int
    ) -> None:
        self._deciding, self._source, self._means = deciding, source, means
        self._span, self._batch_max, self._epoch = span, batch_max, 0
        self.compared, self.differing = 0, 0
        self.differences: list[Difference] = []

    def compare(self, group: Sequence[Commit]) -> None:
        """Recompute what these commits cover, in batches of our own size."""
        self._begin_reign(group)
        made, refused = Made(), refused_records(group)
        sequence = group[0].first_sequence
        for records in recorded(
            self._source, group[0].first_position, group[-1].position, self._batch_max
        ):
            for part in parts(records, sequence):
                self._deciding.decide(self._deciding.decode(part, refused), made)
                self._deciding.control_again(part, refused, self._means.load_model)
            sequence += len(records)
        self._note([d for commit in group for d in commit.decisions], made.decisions)

    def _begin_reign(self, group: Sequence[Commit]) -> None:
        """Decide with the models that this worker had: it may have started without."""
        first = next((d for commit in group for d in commit.decisions), None)
        if first is None or group[0].epoch == self._epoch:
            return
        self._epoch, in_force = group[0].epoch, self._deciding.in_force
        named, load_model = _key(first).versions, self._means.load_model
        has_model, has_challenger = named.model != NO_MODEL, named.challenger != NO_MODEL
        in_force = in_force.with_model(load_model) if has_model else in_force.without_model()
        self._deciding.adopt(
            in_force.with_challenger(load_model)
            if has_challenger
            else in_force.without_challenger()
        )

    def _note(self, recorded: Sequence[bytes], recomputed: Sequence[bytes]) -> None:
        then, now = _by_sequence(recorded, self._span), _by_sequence(recomputed, self._span)
        self.compared += len(then)
        if then == now:
            return
        for sequence in sorted(then.keys() | now.keys()):
            one, other = then.get(sequence), now.get(sequence)
            if one != other:
                self.differing += 1
                if len(self.differences) < DIFFERENCES_MAX:
                    self.differences.append(Difference(sequence, one, other))


def _by_sequence(decisions: Sequence[bytes], span: Span) -> dict[int, bytes]:
    keyed = ((_key(data).sequence, data) for data in decisions)
    return {sequence: data for sequence, data in keyed if span.holds(sequence)}


def _key(data: bytes) -> _Key:
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LogError(f"the decisions log holds what is no decision: {error}") from error
