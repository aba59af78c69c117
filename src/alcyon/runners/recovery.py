"""Recovery: a worker that goes on exactly where the decisions log ends.

The order matters: the decisions log is open (the predecessor is fenced, no commit of its can come
any more), then 1 the newest valid snapshot  2 the commits behind it  3 the records they cover, to
change the state and not to decide again  4 the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from alcyon.domain.commit import Commit
from alcyon.domain.errors import LogError, ModelError, SnapshotError
from alcyon.domain.ports import CommitReader, Source
from alcyon.domain.record import DeadLetter, Record, Topic
from alcyon.features.kernel import Kernel
from alcyon.io.snapshots import SnapshotHeader, load_newest
from alcyon.runners.deciding import Deciding, Means
from alcyon.runners.in_force import InForce, InForceData
from alcyon.runners.polled import parts
from alcyon.runners.worker import Pace, Place, Ports, Worker, commit_digest

COMMITS_MAX = 64
"""Commits read at once: bounds the memory."""
RECORDS_TIMEOUT_S = 5.0
"""Decided records are there: a source that takes longer to hand them over has lost them."""

_dead_letter = msgspec.json.Decoder(DeadLetter)
_in_force = msgspec.json.Decoder(InForceData)


@dataclass(frozen=True)
class Recovered:
    """What recovery found: facts, to be told."""

    epoch: int
    snapshot: str | None
    """The snapshot used; None: from the log's beginning."""
    refused: tuple[tuple[str, str], ...]
    """(snapshot, why) of newer ones that could not be used: tell them loudly."""
    replayed: int
    """Records replayed behind the snapshot."""
    place: Place
    model_missing: str | None
    """Why the model in force cannot decide; rules and the fallback action do until it is set
    anew or the worker is started with it in place."""


def recover(kernel: Kernel, ports: Ports, means: Means, pace: Pace) -> tuple[Worker, Recovered]:
    """Make the worker that goes on where the last one was killed, or begins.

    kernel: new, without history. LogError: a log is corrupt, records that were decided are gone,
    or the logs do not belong together. SnapshotError: the history that the first decisions were
    made with (`warm`) is in no valid snapshot. InputError: rules that took effect once are not
    understood any more.
    """
    start, refused = begin(kernel, ports, means)
    deciding, place = start.deciding, start.place
    for commits in following(ports.log, place):
        observe_again(deciding, ports.source, commits, pace.batch_max)
        for commit in commits:
            place = place.behind(commit, place.commit_index)
    ports.source.seek(place.position)
    missing = _with_model(deciding, means)
    worker = Worker(deciding, ports, pace, place, tuple(name for name, _ in refused))
    replayed = place.position - start.place.position
    facts = Recovered(ports.log.epoch, start.snapshot, refused, replayed, place, missing)
    return worker, facts


@dataclass(frozen=True)
class Start:
    """A state, and the place of the logs at which it stands."""

    deciding: Deciding
    place: Place
    snapshot: str | None


def begin(
    kernel: Kernel, ports: Ports, means: Means, before: int | None = None
) -> tuple[Start, tuple[tuple[str, str], ...]]:
    """The newest usable snapshot (at or before sequence `before`), or the log's beginning.

    Its model is not loaded yet. The second value: the snapshots refused, and why.
    """
    last = ports.log.last()

    def refusal(header: SnapshotHeader) -> str | None:
        if before is not None and header.next_sequence > before:
            return f"it is behind sequence {before}"
        return _torn(header, ports.log, last)

    loaded = load_newest(ports.snapshots, kernel, refusal)
    header = loaded.header
    if header is None:
        _check_beginning(ports.log, last)
        in_force = InForce.initial(kernel.layout.catalog)
        return Start(Deciding(kernel, means, in_force), Place(), None), loaded.refused
    in_force = InForce.of_data(_in_force.decode(header.in_force), kernel.layout.catalog)
    commits = ports.log.read(header.commit_index - 1, 1) if header.commit_index else [None]
    place = Place(
        header.next_sequence, header.position, header.commit_index, commits[0], header.applied
    )
    return Start(Deciding(kernel, means, in_force), place, header.name), loaded.refused


def _torn(header: SnapshotHeader, log: CommitReader, last: Commit | None) -> str | None:
    """Why a snapshot does not belong to this decisions log: a commit before it was lost."""
    if header.position > (last.position if last else 0):
        return f"it is of position {header.position}, behind the end of the decisions log"
    if header.commit_index == 0:
        return None
    try:
        before = log.read(header.commit_index - 1, 1)
    except LogError as error:
        return f"the commit before it is not there: {error}"
    if not before or commit_digest(before[0]) != header.commit_digest:
        return "the commit before it is another one in this decisions log"
    return None


def _check_beginning(log: CommitReader, last: Commit | None) -> None:
    if last is None:
        return
    first = log.read(0, 1)[0]
    if first.first_sequence != 0 or first.first_position != 0:
        raise SnapshotError(
            "the decisions log begins with a warmed state, and no snapshot that holds it is valid; "
            "restore the snapshot it was warmed to"
        )


def following(log: CommitReader, place: Place) -> Iterator[list[Commit]]:
    """The commits from a place on, some at a time; LogError where one does not follow."""
    index, before = place.commit_index, place.last
    position, sequence = place.position, place.next_sequence
    while commits := log.read(index, COMMITS_MAX):
        for commit in commits:
            if (commit.first_position, commit.first_sequence) != (position, sequence) or (
                before is not None and commit.epoch < before.epoch
            ):
                raise LogError(
                    f"commit {index} of the decisions log is of position {commit.first_position} "
                    f"and sequence {commit.first_sequence}, not {position} and {sequence}; "
                    "restore the log from a backup"
                )
            before, position, sequence = commit, commit.position, commit.next_sequence
            index += 1
        yield commits


def observe_again(
    deciding: Deciding, source: Source, commits: Sequence[Commit], batch_max: int
) -> None:
    """Let the records that these commits cover change the state again."""
    refused = refused_controls(commits)
    position, sequence = commits[0].first_position, commits[0].first_sequence
    for records in recorded(source, position, commits[-1].position, batch_max):
        for part in parts(records, sequence):
            deciding.observe(deciding.decode(part))
            deciding.control_again(part, refused, None)
        sequence += len(records)


def recorded(source: Source, position: int, end: int, batch_max: int) -> Iterator[list[Record]]:
    """The records at [position, end), which were decided and must be there."""
    source.seek(position)
    while position < end:
        records = source.poll(min(batch_max, end - position), RECORDS_TIMEOUT_S)
        if not records:
            raise LogError(
                f"the intake ends at {position}, records up to {end} were decided; restore it, "
                "or use the decisions log that belongs to it"
            )
        yield records
        position += len(records)


def refused_controls(commits: Sequence[Commit]) -> frozenset[int]:
    """Sequences of the control records that did not take effect then, whatever they would now."""
    letters = (_dead_letter.decode(data) for commit in commits for data in commit.dead_letters)
    return frozenset(x.sequence for x in letters if x.topic == Topic.CONTROL.name)


def _with_model(deciding: Deciding, means: Means) -> str | None:
    """Load the model in force; why not, if it cannot be had."""
    try:
        deciding.adopt(deciding.in_force.with_model(means.load_model))
    except ModelError as error:
        return str(error)
    return None
