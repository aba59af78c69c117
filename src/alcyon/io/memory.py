"""The same ports in memory: for simulation and tests, gone with the process.

What survives the end of its user is a plain object (`MemoryRecords`, `MemoryCommits`) that the
next one is opened on: so a simulated crash loses what a real one would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from alcyon.domain.commit import Commit
from alcyon.domain.decision import Decision
from alcyon.domain.errors import LogError
from alcyon.domain.ports import CommitReader, DecisionsLog, Intake, Source, Store
from alcyon.domain.projected import Projected, StoreError
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


class MemoryStore(Store):
    """The tables as dicts by sequence; `decisions` also by transaction_id."""

    def __init__(self) -> None:
        self.decisions: dict[str, Decision] = {}
        self.tables: dict[str, dict[int, object]] = {
            name: {} for name in ("transactions", "decisions", "labels", "alerts", "dead_letters")
        }
        self._next_index = 0

    def next_index(self) -> int:
        """The index of the first commit not stored yet."""
        return self._next_index

    def write(self, projected: Projected) -> None:
        """Store commits and the index behind them."""
        if projected.first_index > self._next_index:
            raise StoreError(f"commits from {projected.first_index} cannot follow")
        for decision in projected.decisions:
            if self.decisions.setdefault(decision.transaction_id, decision) == decision:
                self.tables["decisions"][decision.sequence] = decision
                self.tables["transactions"][decision.sequence] = decision.transaction_id
        alerts = {a.sequence: a for a in projected.alerts}
        self.tables["alerts"] |= {s: a for s, a in alerts.items() if s in self.tables["decisions"]}
        ids = projected.labels.strings("label_id").to_list() if len(projected.labels) else []
        self.tables["labels"].update(zip(projected.label_sequences.tolist(), ids, strict=True))
        self.tables["dead_letters"].update((d.sequence, d) for d in projected.dead_letters)
        self._next_index = max(self._next_index, projected.next_index)

    def decision(self, transaction_id: str) -> Decision | None:
        """The decision on a transaction."""
        return self.decisions.get(transaction_id)

    def counts(self) -> dict[str, int]:
        """Rows of each table."""
        return {name: len(table) for name, table in self.tables.items()}

    def close(self) -> None:
        """Nothing to let go."""


def _check(position: int, end: int) -> None:
    if not 0 <= position <= end:
        raise LogError(f"{position} is not there: the log ends at {end}")
