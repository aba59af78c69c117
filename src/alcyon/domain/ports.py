"""Ports: what the runners ask of the technologies at the edges.

A technology is one place in `io/` that implements some of these. Every implementer is found and
checked by the suites in `tests/contracts/`. All methods are called from one thread at a time.

A position is an int that a source gives its records in the order it hands them over, without
gaps. A technology with several offsets (Kafka: one per partition) keeps, for every position
handed over and not yet committed, the offsets it stands for; its decisions log stores those of
`Commit.position` beside the commit, and `seek` finds them there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from alcyon.domain.commit import Commit
from alcyon.domain.decision import Decision
from alcyon.domain.hourly import Hourly
from alcyon.domain.moves import Move, MoveState, Wanted
from alcyon.domain.projected import Projected, Stored
from alcyon.domain.record import Record, Topic
from alcyon.domain.registered import Registered


class Intake(Protocol):
    """Where records enter: the API, the producer and the learner write here."""

    def append(self, topic: Topic, payloads: Sequence[bytes]) -> None:
        """Add records at the end, all or none.

        They are accepted once this returns. LogError: none of them is in, unless the message
        says that this is in doubt; then open anew before the next append.
        """
        ...

    def close(self) -> None:
        """Called once, last; after it nothing else is."""
        ...


class Source(Protocol):
    """Where a runner reads records from, in the order that is the order."""

    def seek(self, position: int) -> None:
        """Make `position` the next one read. Called before the first poll, and after recovery.

        The end of the log is a valid position. LogError beyond it (records that were decided
        are gone) and before the first record kept (dropped by retention).
        """
        ...

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """The next records, at most `max_records`; waits up to `timeout_s` while there is none.

        What has arrived is returned at once; the list is empty at the time-out. Positions go on
        where the last poll ended. LogError: corruption, named by place; nothing was skipped.
        """
        ...

    def close(self) -> None:
        """Called once, last; after it nothing else is."""
        ...


class CommitReader(Protocol):
    """Reads the decisions log, while a worker may be writing it."""

    def last(self) -> Commit | None:
        """The newest commit, None while there is none. Moves no reading position."""
        ...

    def read(self, from_index: int, max_commits: int) -> list[Commit]:
        """Commits from number `from_index` (0 is the first); empty where there is none yet.

        Called with growing indexes by projections and recovery. Never half a commit. LogError:
        corruption, or an index beyond the end or before the first commit kept.
        """
        ...

    def close(self) -> None:
        """Called once, last; after it nothing else is."""
        ...


class DecisionsLog(CommitReader, Protocol):
    """The decisions log as its one writer holds it; opening it fences every writer before.

    Order of recovery: open (the predecessor is fenced), `last` or `read` from the snapshot's
    index, replay, then `append` for each new batch.
    """

    @property
    def epoch(self) -> int:
        """This writer's reign, taken and persisted when it was opened; goes into each commit."""
        ...

    def outlines(self, from_index: int, max_commits: int) -> list[Commit]:
        """As `read`, but for decisions and alerts, which may be left out: replaying needs what was
        read and what was refused, not what was decided."""
        return self.read(from_index, max_commits)

    def append(self, commit: Commit) -> int:
        """Add one commit, all or nothing; return its index. Its decisions exist from here on.

        FencedError, and nothing is added: a later writer has opened the log. LogError, and nothing
        is added: the commit does not go on where the last one ended, or the disk is full. If the
        message says that the append is in doubt, open anew: `last` tells.
        """
        ...


class Store(Protocol):
    """A projection: tables for the API and the console, filled by reading the decisions log.

    Order: `next_index`, then `write` of the commits from there, and again. A store may be lost
    and filled anew from index 0. StoreError from any method: the store is out of reach or full;
    nothing of that call is in it, and a later call may succeed.
    """

    def next_index(self) -> int:
        """The index of the first commit not stored yet; 0 for an empty store."""
        ...

    def write(self, projected: Projected) -> None:
        """Store commits and the index behind them, and count what is new, all or nothing.

        A row whose sequence is there already is left alone, so a repeat changes nothing. Of
        several decisions on one transaction_id the first is kept, with its transaction and alert.
        StoreError, and nothing is stored: commits before `projected.first_index` are missing. If
        the message says that the write is in doubt, `next_index` tells.
        """
        ...

    def decision(self, transaction_id: str) -> Decision | None:
        """The decision on a transaction, None while none is stored."""
        ...

    def decisions_on(self, transaction_ids: Sequence[str]) -> list[Stored]:
        """The decisions on those of these transactions that are stored, in no order."""
        ...

    def decisions_of_card(self, card_id: str, limit: int) -> list[Stored]:
        """A card's newest decisions by event time, at most `limit`.

        The newest first; of equal times, the last to arrive.
        """
        ...

    def decisions_between(self, first_ms: int, last_ms: int, limit: int) -> list[Stored]:
        """The newest decisions with event time in [first_ms, last_ms], at most `limit`.

        The newest first; of equal times, the last to arrive.
        """
        ...

    def hourly(self, first_ms: int, last_ms: int) -> list[Hourly]:
        """All counts of the hours that begin in [first_ms, last_ms], by cell in order."""
        ...

    def counts(self) -> dict[str, int]:
        """Rows of each table: transactions, decisions, labels, alerts, dead_letters.

        Counted one by one; statistics take `hourly`.
        """
        ...

    def close(self) -> None:
        """Called once, last; after it nothing else is."""
        ...


class ModelRegistry(Protocol):
    """Models by name, and aliases that name one of them.

    A name stands for the same bytes for ever. UnreachableError from any method: the registry does
    not answer; nothing of that call is in it.
    """

    def register(self, directory: Path, name: str | None = None) -> Registered:
        """Add a model's folder under a name: the first 16 hex digits of the model file's SHA-256
        unless one is given. All or nothing; a repeat changes nothing.

        ModelError: the model fails a check (whatever its catalog), or the name is another one's.
        """
        ...

    def fetch(self, name: str) -> Path:
        """A folder with the files as they were registered, not to be changed.

        ModelError: there is no such model, or its files are others now.
        """
        ...

    def models(self) -> list[Registered]:
        """All models, the newest first."""
        ...

    def moves(self, alias: str) -> list[Move]:
        """All moves of an alias, in order; see `domain.moves` for what they come to."""
        ...

    def begin_move(self, wanted: Wanted) -> Move:
        """Let a move come in. The alias names what it did until `end_move`.

        ConflictError: another one came first, this one has lost. ModelError: there is no such
        model.
        """
        ...

    def end_move(self, move: Move, state: MoveState) -> None:
        """Say what became of a move that won; once."""
        ...

    def close(self) -> None:
        """Called once, last; after it nothing else is."""
        ...
