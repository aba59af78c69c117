"""The state right before a transaction: a snapshot, and the recorded order up to there.

As a replay does it, for one transaction or for many in one walk along the log. Nothing is written:
neither log nor snapshot nor store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from alcyon.domain.decision import Versions
from alcyon.domain.errors import InputError, LogError, ModelError, SnapshotError
from alcyon.domain.ports import CommitReader, Source
from alcyon.features.kernel import Kernel
from alcyon.io.snapshots import headers
from alcyon.runners.stream.deciding import Deciding, Means
from alcyon.runners.stream.in_force import LoadModel
from alcyon.runners.stream.place import Place
from alcyon.runners.stream.polled import DecodedPart, Part, parts
from alcyon.runners.stream.recovery import begin, following, groups, recorded, refused_records
from alcyon.scoring.conduct import NO_MODEL, Conduct

if TYPE_CHECKING:
    from alcyon.io.kafka import Connection, TopicNames

BATCH_MAX = 4096


@dataclass(frozen=True)
class Recording:
    """What is read, while a worker may be writing it.

    snapshots: folders, each tried where the ones before have none that is old enough.
    """

    source: Source
    log: CommitReader
    snapshots: Sequence[Path]


@contextmanager
def embedded_recording(
    intake: Path, decisions: Path, snapshots: Sequence[Path]
) -> Iterator[Recording]:
    """Readers of the embedded logs."""
    from alcyon.io.log import EmbeddedCommits, EmbeddedSource

    with closing(EmbeddedSource(intake)) as source, closing(EmbeddedCommits(decisions)) as log:
        yield Recording(source, log, snapshots)


@contextmanager
def kafka_recording(
    connection: Connection, names: TopicNames, snapshots: Sequence[Path]
) -> Iterator[Recording]:
    """Readers of the topics, as far as these are kept."""
    from alcyon.io.kafka import KafkaCommits, KafkaRecorded

    with (
        closing(KafkaRecorded(connection, names)) as source,
        closing(KafkaCommits(connection, names)) as log,
    ):
        yield Recording(source, log, snapshots)


class _Waiting(NamedTuple):
    """Records that are not observed yet, and the sequences of those that were refused then."""

    part: Part
    refused: frozenset[int]


@dataclass(frozen=True, eq=False)
class Standing:
    """Right before a transaction; good until the walk goes on."""

    sequence: int
    deciding: Deciding
    transaction: DecodedPart
    """It alone: one row."""

    def conduct(self, versions: Versions, load_model: LoadModel) -> Conduct:
        """What was in force, with the model of the recorded decision.

        ModelError: that model cannot be had any more.
        """
        in_force = self.deciding.in_force
        if versions.model == NO_MODEL:
            return in_force.without_model().without_challenger().conduct
        conduct = in_force.with_model(load_model).without_challenger().conduct
        if conduct.versions.model != versions.model:
            raise ModelError(
                f"the decision was made by model {versions.model}, and its name stands for "
                f"{conduct.versions.model} now"
            )
        return conduct


class Walk:
    """Goes along the log, standing before some transactions in rising order. Not for threads."""

    def __init__(self, deciding: Deciding, place: Place, recording: Recording) -> None:
        self._deciding, self._place, self._recording = deciding, place, recording
        self._coming: Iterator[_Waiting] = iter(())
        self._waiting: _Waiting | None = None
        self.next_sequence = place.next_sequence
        """Of the record to be observed next."""

    def before(self, sequence: int) -> Standing:
        """Stand before the transaction of that sequence, `next_sequence` or a later one.

        InputError: there is no such transaction, or none was decided yet. LogError, ModelError: as
        for a replay; then this walk is over.
        """
        if sequence < self.next_sequence:
            raise ValueError(f"the walk stands at {self.next_sequence}, behind {sequence}")
        while True:
            part, refused = self._waiting or self._next()
            end = part.first_sequence + len(part.records)
            if sequence < end:
                return self._stand(sequence, part, refused)
            self._deciding.observe(self._deciding.decode(part, refused))
            self._deciding.control_again(part, refused, None)
            self._waiting, self.next_sequence = None, end + (part.control is not None)
            if self.next_sequence > sequence:
                raise InputError(f"record {sequence} is no transaction")

    def _stand(self, sequence: int, part: Part, refused: frozenset[int]) -> Standing:
        at = sequence - part.first_sequence
        passed = Part(part.records[:at], part.first_sequence, None)
        self._deciding.observe(self._deciding.decode(passed, refused))
        rest = Part(part.records[at:], sequence, part.control)
        self._waiting, self.next_sequence = _Waiting(rest, refused), sequence
        one = self._deciding.decode(Part(part.records[at : at + 1], sequence, None), refused)
        if len(one.transactions) != 1:
            raise InputError(f"record {sequence} is no transaction")
        return Standing(sequence, self._deciding, one)

    def _next(self) -> _Waiting:
        found = next(self._coming, None)
        if found is None:  # as far as the log went when it was looked at last
            self._coming = self._parts()
            found = next(self._coming, None)
        if found is None:
            raise InputError(f"nothing was decided from sequence {self.next_sequence} on yet")
        return found

    def _parts(self) -> Iterator[_Waiting]:
        recording = self._recording
        for group in groups(following(recording.log.read, self._place), BATCH_MAX):
            first, last, refused = group[0], group[-1], refused_records(group)
            sequence = first.first_sequence
            for records in recorded(
                recording.source, first.first_position, last.position, BATCH_MAX
            ):
                for part in parts(records, sequence):
                    yield _Waiting(part, refused)
                sequence += len(records)
            for commit in group:
                self._place = self._place.behind(commit, self._place.commit_index)


def walk_to(sequence: int, kernel: Kernel, recording: Recording, means: Means) -> Walk:
    """A walk that begins at the newest usable snapshot at or before a sequence, or at the log's
    beginning.

    kernel: new, without history. SnapshotError, LogError: the state of that time is gone.
    """
    why: SnapshotError | None = None
    for folder in recording.snapshots:
        try:
            start = begin(kernel, recording.log, folder, means, before=sequence)
        except SnapshotError as error:
            why = why or error
            continue
        return Walk(start.deciding, start.place, recording)
    raise why or LogError("there are no snapshots, and no log to begin with")


def nearest(sequence: int, recording: Recording) -> int:
    """The sequence at which the newest snapshot at or before one stands; 0: there is none."""
    found = (h.next_sequence for folder in recording.snapshots for h in headers(folder))
    return max((n for n in found if n <= sequence), default=0)
