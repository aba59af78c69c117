"""The same ports in memory: for simulation and tests, gone with the process.

What survives the end of its user is a plain object (`MemoryRecords`, `MemoryCommits`) that the
next one is opened on: so a simulated crash loses what a real one would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from alcyon.domain.columns import Batch
from alcyon.domain.commit import Commit
from alcyon.domain.decision import Decision
from alcyon.domain.errors import FencedError, LogError
from alcyon.domain.hourly import Cell, Hourly, hourly
from alcyon.domain.label import LABEL_COLUMNS
from alcyon.domain.ports import CommitReader, DecisionsLog, Intake, Source, Store
from alcyon.domain.projected import Projected, Stored, StoreError, column_values, decision_of
from alcyon.domain.record import Record, Topic
from alcyon.domain.transaction import COLUMNS


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

    def append(self, topic: Topic, payloads: Sequence[bytes]) -> None:
        """Add records at the end."""
        end = len(self._records)
        self._records.extend(Record(topic, p, payload) for p, payload in enumerate(payloads, end))

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
            raise FencedError(
                f"fenced: a later worker has epoch {self._kept.epoch}; end this worker"
            )
        if commit.epoch != self._epoch or not commit.follows(self.last()):
            raise LogError("the commit does not follow the last one; recover again")
        self._kept.commits.append(commit)
        return len(self._kept.commits) - 1


class MemoryStore(Store):
    """The tables as dicts by sequence."""

    def __init__(self) -> None:
        names = ("transactions", "decisions", "labels", "alerts", "dead_letters")
        self.tables: dict[str, dict[int, object]] = {name: {} for name in names}
        self._stored: dict[int, Stored] = {}
        self._sequences: dict[str, int] = {}
        self._hourly: dict[Cell, Hourly] = {}
        self._next_index = 0

    def next_index(self) -> int:
        """The index of the first commit not stored yet."""
        return self._next_index

    def write(self, projected: Projected) -> None:
        """Store commits and the index behind them."""
        if projected.first_index > self._next_index:
            raise StoreError(f"commits from {projected.first_index} cannot follow")
        kept = self.tables["labels"].keys() | self.tables["dead_letters"].keys()
        new = projected.new(self._sequences.keys(), kept)
        transactions = [row for batch in new.transactions for row in _rows(batch, COLUMNS)]
        for row, transaction in zip(new.decisions, transactions, strict=True):
            stored = Stored(decision_of(msgspec.structs.astuple(row)), transaction)
            self._stored[row.sequence] = stored
            self._sequences[row.transaction_id] = row.sequence
            self.tables["decisions"][row.sequence] = stored.decision
            self.tables["transactions"][row.sequence] = transaction
        labels = zip(new.label_sequences.tolist(), _rows(new.labels, LABEL_COLUMNS), strict=True)
        self.tables["labels"].update(labels)
        self.tables["alerts"].update((a.sequence, a) for a in new.alerts)
        self.tables["dead_letters"].update((d.sequence, d) for d in new.dead_letters)
        for more in hourly(new):
            had = self._hourly.get(more.cell, Hourly(more.cell, 0, 0))
            count = had.decision_count + more.decision_count
            amount = had.amount_base_minor_sum + more.amount_base_minor_sum
            self._hourly[more.cell] = Hourly(more.cell, count, amount)
        self._next_index = max(self._next_index, projected.next_index)

    def decision(self, transaction_id: str) -> Decision | None:
        """The decision on a transaction."""
        sequence = self._sequences.get(transaction_id)
        return None if sequence is None else self._stored[sequence].decision

    def decisions_on(self, transaction_ids: Sequence[str]) -> list[Stored]:
        """The decisions on those of these transactions that are stored."""
        known = [self._sequences[i] for i in set(transaction_ids) if i in self._sequences]
        return [self._stored[sequence] for sequence in known]

    def decisions_of_card(self, card_id: str, limit: int) -> list[Stored]:
        """A card's newest decisions."""
        return self._newest(lambda s: s.transaction.get("card_id") == card_id, limit)

    def decisions_between(self, first_ms: int, last_ms: int, limit: int) -> list[Stored]:
        """The newest decisions of a span of event time."""
        return self._newest(lambda s: first_ms <= s.decision.event_time <= last_ms, limit)

    def _newest(self, is_meant: Callable[[Stored], bool], limit: int) -> list[Stored]:
        meant = (
            (s.decision.event_time, s.decision.sequence)
            for s in self._stored.values()
            if is_meant(s)
        )
        return [self._stored[sequence] for _, sequence in sorted(meant, reverse=True)[:limit]]

    def hourly(self, first_ms: int, last_ms: int) -> list[Hourly]:
        """All counts of a span of hours."""
        return sorted(h for c, h in self._hourly.items() if first_ms <= c.hour_ms <= last_ms)

    def counts(self) -> dict[str, int]:
        """Rows of each table."""
        return {name: len(table) for name, table in self.tables.items()}

    def close(self) -> None:
        """Nothing to let go."""


def _rows(batch: Batch, columns: Iterable[str]) -> list[dict[str, str | int | float]]:
    """The values of each record that are not null, in the order of `columns`."""
    named = {c: column_values(batch.columns[c]) for c in columns if c in batch}
    return [
        {name: value for name, value in zip(named, row, strict=True) if value is not None}
        for row in zip(*named.values(), strict=True)
    ]


def _check(position: int, end: int) -> None:
    if not 0 <= position <= end:
        raise LogError(f"{position} is not there: the log ends at {end}")
