"""Recovery: a worker that goes on exactly where the decisions log ends.

The order matters: the decisions log is open (the predecessor is fenced, no commit of its can come
any more), then 1 the newest valid snapshot  2 the commits behind it  3 the records they cover, to
change the state and not to decide again  4 the models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from alcyon.domain.commit import Commit
from alcyon.domain.errors import LogError, ModelError, SnapshotError
from alcyon.domain.ports import CommitReader, Source
from alcyon.domain.record import DeadLetter, Record
from alcyon.features.kernel import Kernel
from alcyon.io.snapshots import ReadAhead, SnapshotHeader, load_newest
from alcyon.runners.stream.deciding import Deciding, Means
from alcyon.runners.stream.in_force import InForce, InForceData
from alcyon.runners.stream.place import Place, commit_digest
from alcyon.runners.stream.polled import DecodedPart, Part, parts
from alcyon.runners.stream.reading import RECORDS_TIMEOUT_S
from alcyon.runners.stream.worker import Pace, Ports, Worker

COMMITS_MAX = 16
"""Commits read at once: with the bound of a commit it bounds the memory."""

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
    challenger_missing: str | None = None
    """As `model_missing`, of the one that is scored beside it; nothing is scored beside it."""


def recover(kernel: Kernel, ports: Ports, means: Means, pace: Pace) -> tuple[Worker, Recovered]:
    """Make the worker that goes on where the last one was killed, or begins.

    kernel: new, without history. LogError: a log is corrupt, records that were decided are gone,
    or the logs do not belong together. SnapshotError: the history that the first decisions were
    made with (`warm`) is in no valid snapshot. InputError: rules that took effect once are not
    understood any more.
    """
    start = begin(  # 1 the newest valid snapshot
        kernel, ports.log, ports.snapshots, means, ahead=ports.ahead
    )
    deciding, place = start.deciding, start.place

    def decided_parts() -> Iterator[_Again]:
        nonlocal place
        commits = following(ports.log.outlines, place)  # 2 the commits behind it
        for group in groups(commits, pace.batch_max):
            yield from _again(ports.source, group, pace.batch_max)
            for commit in group:
                place = place.behind(commit, place.commit_index)

    _observe(deciding, decided_parts())  # 3 the records they cover
    ports.source.seek(place.position)
    if place.commit_index > start.place.commit_index:
        place = replace(place, last=ports.log.last())  # whole: snapshots are told apart by it
    missing = _with_models(deciding)  # 4 the models
    replayed = place.position - start.place.position
    refused = tuple(name for name, _ in start.refused)
    worker = Worker(deciding, ports, pace, place, refused, replayed)
    return worker, Recovered(
        ports.log.epoch, start.snapshot, start.refused, replayed, place, *missing
    )


@dataclass(frozen=True)
class Start:
    """A state, and the place of the logs at which it stands. The model is not loaded yet."""

    deciding: Deciding
    place: Place
    snapshot: str | None
    refused: tuple[tuple[str, str], ...]


def begin(
    kernel: Kernel,
    log: CommitReader,
    snapshots: Path,
    means: Means,
    before: int | None = None,
    ahead: ReadAhead | None = None,
) -> Start:
    """The newest usable snapshot (at or before sequence `before`), or the log's beginning.

    ahead: what was begun to be read before the log was open. Nothing of it is used that was not
    the newest when the log was, and fits what the log says.
    """
    last, catalog = log.last(), kernel.layout.catalog
    before_index = cache(lambda index: log.read(index - 1, 1))
    loaded = load_newest(
        snapshots, kernel, lambda header: _refusal(header, before_index, last), before, ahead
    )
    header = loaded.header
    if header is None:
        _check_beginning(log, last)
        deciding = Deciding(kernel, means, InForce.initial(catalog))
        return Start(deciding, Place(), None, loaded.refused)
    in_force = InForce.of_data(_in_force.decode(header.in_force), catalog)
    before_it = before_index(header.commit_index)[0] if header.commit_index else None
    place = Place(
        header.next_sequence, header.position, header.commit_index, before_it, header.applied
    )
    return Start(Deciding(kernel, means, in_force), place, header.name, loaded.refused)


def _refusal(
    header: SnapshotHeader, before_index: Callable[[int], list[Commit]], last: Commit | None
) -> str | None:
    """Why a snapshot cannot be used with this decisions log: a commit before it was lost."""
    try:
        _in_force.decode(header.in_force)
    except msgspec.DecodeError as error:
        return f"it is of another version: {error}"
    if header.position > (last.position if last else 0):
        return f"it is of position {header.position}, behind the end of the decisions log"
    if header.commit_index == 0:
        return None
    try:
        before = before_index(header.commit_index)
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


def following(read: Callable[[int, int], list[Commit]], place: Place) -> Iterator[Commit]:
    """The commits from a place on; LogError where one does not follow.

    read: `CommitReader.read` of the decisions log, or its `outlines`.
    """
    while commits := read(place.commit_index, COMMITS_MAX):
        for commit in commits:
            goes_on = (commit.first_position, commit.first_sequence) == (
                place.position, place.next_sequence,
            )  # fmt: skip
            if not goes_on or (place.last and not commit.follows(place.last)):
                raise LogError(
                    f"commit {place.commit_index} of the decisions log begins at position "
                    f"{commit.first_position} and sequence {commit.first_sequence}, where "
                    f"{place.position} and {place.next_sequence} follow; restore it from a backup"
                )
            place = place.behind(commit, place.commit_index)
            yield commit


def groups(commits: Iterable[Commit], records_min: int) -> Iterator[list[Commit]]:
    """Commits of one epoch, some at a time, that cover at least so many records, but the last.

    So the many small commits of a quiet time cost no more than a few large ones.
    """
    group: list[Commit] = []
    for commit in commits:
        if group and (
            commit.epoch != group[0].epoch
            or group[-1].position - group[0].first_position >= records_min
        ):
            yield group
            group = []
        group.append(commit)
    if group:
        yield group


def observe_again(
    deciding: Deciding, source: Source, commits: Sequence[Commit], batch_max: int
) -> None:
    """Let the records that these commits cover change the state again."""
    _observe(deciding, _again(source, commits, batch_max))


class _Again(NamedTuple):
    """A part that was decided before, and the sequences of those refused then."""

    part: Part
    refused: frozenset[int]


def _again(source: Source, commits: Sequence[Commit], batch_max: int) -> Iterator[_Again]:
    refused = refused_records(commits)
    position, sequence = commits[0].first_position, commits[0].first_sequence
    for records in recorded(source, position, commits[-1].position, batch_max):
        for part in parts(records, sequence):
            yield _Again(part, refused)
        sequence += len(records)


def _observe(deciding: Deciding, coming: Iterable[_Again]) -> None:
    """Observe one part while a thread decodes the next: both leave the interpreter's lock free."""
    waiting: tuple[_Again, Future[DecodedPart]] | None = None
    with ThreadPoolExecutor(1, "decode") as decoding:
        for again in coming:
            if waiting and waiting[0].part.control is not None:  # it may change how to decode
                _end(deciding, *waiting)
                waiting = None
            decoded = decoding.submit(deciding.decode, *again)
            if waiting:
                _end(deciding, *waiting)
            waiting = again, decoded
        if waiting:
            _end(deciding, *waiting)


def _end(deciding: Deciding, again: _Again, decoded: Future[DecodedPart]) -> None:
    deciding.observe(decoded.result())
    deciding.control_again(*again, None)


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


def refused_records(commits: Sequence[Commit]) -> frozenset[int]:
    """Sequences of the records that became dead letters then, whatever they would now: a control
    record may find its model meanwhile, an Avro record its schema."""
    letters = (_dead_letter.decode(data) for commit in commits for data in commit.dead_letters)
    return frozenset(letter.sequence for letter in letters)


def _with_models(deciding: Deciding) -> tuple[str | None, str | None]:
    """Load the models in force; why not, for each that cannot be had."""
    in_force, why = deciding.in_force, list[str | None]()
    for load in (InForce.with_model, InForce.with_challenger):
        try:
            in_force = load(in_force, deciding.load_model)
        except ModelError as error:
            why.append(str(error))
        else:
            why.append(None)
    deciding.adopt(in_force)
    return why[0], why[1]
