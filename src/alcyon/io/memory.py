"""The same ports in memory: for simulation and tests, gone with the process.

What survives the end of its user is a plain object (`MemoryRecords`, `MemoryCommits`) that the
next one is opened on: so a simulated crash loses what a real one would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from alcyon.domain.commit import Commit
from alcyon.domain.errors import LogError
from alcyon.domain.ports import CommitReader, DecisionsLog, Intake, Source
from alcyon.domain.record import Record, Topic


@dataclass
class MemoryRecords:
    """What an intake log holds."""

    records: list[Record] = field(default_factory=list)


@dataclass
class MemoryCommits:
    """What a decisions log holds."""

    commits: list[Commit] = field(default_factory=list)
    epoch: int = 0


class MemoryIntake(Intake):
    """Appends records."""

    def __init__(self, kept: MemoryRecords) -> None:
        self._records = kept.records

    def append(self, topic: Topic, payloads: Sequence[bytes]) -> int:
        """Add records at the end; return the position of the last."""
        end = len(self._records)
        self._records.extend(Record(topic, p, payload) for p, payload in enumerate(payloads, end))
        return len(self._records) - 1

    def close(self) -> None:
        """Nothing to let go."""


class MemorySource(Source):
    """Reads records; never waits, since nobody writes while it would."""

    def __init__(self, kept: MemoryRecords) -> None:
        self._records, self._position = kept.records, 0

    def seek(self, position: int) -> None:
        """Make `position` the next one read."""
        _check(position, len(self._records))
        self._position = position

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """The next records."""
        del timeout_s
        found = self._records[self._position : self._position + max_records]
        self._position += len(found)
        return found

    def close(self) -> None:
        """Nothing to let go."""


class MemoryCommitReader(CommitReader):
    """Reads commits."""

    def __init__(self, kept: MemoryCommits) -> None:
        self._kept = kept

    def last(self) -> Commit | None:
        """The newest commit."""
        return self._kept.commits[-1] if self._kept.commits else None

    def read(self, from_index: int, max_commits: int) -> list[Commit]:
        """Commits from number `from_index`."""
        _check(from_index, len(self._kept.commits))
        return self._kept.commits[from_index : from_index + max_commits]

    def close(self) -> None:
        """Nothing to let go."""


class MemoryDecisions(MemoryCommitReader, DecisionsLog):
    """Writes commits; making it takes the next epoch."""

    def __init__(self, kept: MemoryCommits) -> None:
        super().__init__(kept)
        kept.epoch += 1
        self._epoch = kept.epoch

    @property
    def epoch(self) -> int:
        """This writer's reign."""
        return self._epoch

    def append(self, commit: Commit) -> int:
        """Add one commit; return its index."""
        if self._kept.epoch != self._epoch:
            raise LogError(f"fenced: a later worker has epoch {self._kept.epoch}; end this worker")
        if commit.epoch != self._epoch or not commit.follows(self.last()):
            raise LogError("the commit does not follow the last one; recover again")
        self._kept.commits.append(commit)
        return len(self._kept.commits) - 1


def _check(position: int, end: int) -> None:
    if not 0 <= position <= end:
        raise LogError(f"{position} is not there: the log ends at {end}")
