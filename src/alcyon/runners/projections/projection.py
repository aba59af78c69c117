"""The projection: reads the decisions log and the intake, and fills a store.

It presses on nothing: the worker does not know of it. What it has stored is told by the store
alone, in the same commit as the rows, so it may be killed between any two steps.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence, Sized
from itertools import groupby
from operator import attrgetter
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.alert import Alert
from alcyon.domain.columns import Batch
from alcyon.domain.commit import Commit
from alcyon.domain.errors import LogError
from alcyon.domain.ports import CommitReader, Source, Store
from alcyon.domain.projected import DecisionRow, Projected, StoreError, decision_rows
from alcyon.domain.record import DeadLetter, Record, Topic
from alcyon.runners.projections.filling import Filled, Filler
from alcyon.runners.stream.reading import Reading

COMMITS_MAX = 16
"""How many commits are read at once; with the bound of a commit it bounds the memory."""
RECORDS_MAX = 2048
"""How many records one step stores together, unless a single commit has more: a database that
shares its processors with the worker is kept busy for milliseconds at a time, not for tenths of a
second."""
DECODED_MAX = 1024
"""How many transactions are decoded together: more leave the processor's cache before they are
looked at again, and take twice the time."""
EVERY_S = 0.1
"""Between two looks at the end of the log. A step costs the same for the decisions of a moment and
for those of a tenth of a second, and takes it from the same processors as they."""
OUTAGE_PAUSE_S = 1.0

_alert = msgspec.json.Decoder(Alert)
_dead_letter = msgspec.json.Decoder(DeadLetter)


class Decoded(Protocol):
    """What a decoder makes of payloads: the good ones as a batch, and where each came from."""

    @property
    def batch(self) -> Batch:
        """The good ones."""
        ...

    @property
    def rows(self) -> NDArray[np.int64]:
        """int64[m]: the payload that each record of the batch came from."""
        ...


class Decoder(Protocol):
    """Decodes payloads of one topic, as the worker did."""

    def decode(self, payloads: Sequence[bytes], refused: Collection[int] | None) -> Decoded:
        """Every payload is a row of the batch or a fault; those at the places `refused` are
        faults, if they are Avro: so they were when the worker read them."""
        ...


class Projection(Filler):
    """Fills `store`.

    transactions: the decoder for the rate table of that version, the one a decision names.
    """

    def __init__(
        self,
        commits: CommitReader,
        source: Source,
        store: Store,
        transactions: Callable[[str], Decoder],
        labels: Decoder,
    ) -> None:
        self._reading, self._store = Reading(commits, source), store
        self._transactions, self._labels = transactions, labels
        self._done = Filled(0, 0, 0)
        self._ahead: deque[Commit] = deque()
        self._ahead_index = 0  # of the first of them
        self._is_at_end = False  # nothing was behind them

    def step(self) -> int:
        """Store the next commits; return how many, 0 where the decisions log ends behind them: what
        comes then is stored together some time later, which costs far less.

        StoreError: an outage, call again later. LogError, InputError: the logs are damaged or do
        not belong together; nothing was stored.
        """
        # 1 where the store is  2 commits from there  3 the records they cover
        # 4 rows  5 rows and the new place, one commit
        first_index = self._store.next_index()
        commits = self._next(first_index)
        if commits:
            projected = self._projected(first_index, commits, self._reading.records(commits))
            self._store.write(projected)
            self._note(projected.next_index, len(commits), _rows(projected))
        else:
            self._note(first_index, 0, 0)
        return 0 if self._is_at_end and not self._ahead else len(commits)

    def taken(self) -> Filled:
        """Of the steps since the last call."""
        done = self._done
        self._done = Filled(0, 0, done.next_index)
        return done

    def run(self, is_stopped: Callable[[], bool], on_outage: Callable[[StoreError], None]) -> None:
        """Step until stopped, waiting at the end of the log.

        A store's outage is told to `on_outage`, then waited out: the log keeps what it misses.
        """
        while not is_stopped():
            try:
                if not self.step():
                    time.sleep(EVERY_S)
            except StoreError as error:
                on_outage(error)
                time.sleep(OUTAGE_PAUSE_S)

    def _note(self, next_index: int, commits: int, rows: int) -> None:
        done = self._done
        self._done = Filled(done.commits + commits, done.rows + rows, next_index)

    def _next(self, first_index: int) -> list[Commit]:
        """The next commits to store together; what was read beyond them waits for the next step."""
        if self._ahead_index != first_index:
            self._ahead.clear()
        self._is_at_end = False
        while _covered(self._ahead) <= RECORDS_MAX and not self._is_at_end:
            more = self._reading.commits(first_index + len(self._ahead), COMMITS_MAX)
            self._ahead += more
            self._is_at_end = not more
        taken: list[Commit] = []
        while self._ahead and (not taken or _covered((taken[0], self._ahead[0])) <= RECORDS_MAX):
            taken.append(self._ahead.popleft())
        self._ahead_index = first_index + len(taken)
        return taken

    def _projected(
        self, first_index: int, commits: Sequence[Commit], records: Sequence[Record]
    ) -> Projected:
        base = commits[0].first_sequence
        decisions = decision_rows(d for commit in commits for d in commit.decisions)
        decided = [records[d.sequence - base] for d in decisions]
        batches = self._decided(decisions, decided)
        marked = [i for i, r in enumerate(records) if r.topic is Topic.LABELS]
        letters = _dead_letters(commits)
        dead = {letter.sequence - base for letter in letters}
        labels = self._labels.decode(
            [records[i].payload for i in marked], {n for n, i in enumerate(marked) if i in dead}
        )
        return Projected(
            first_index=first_index,
            next_index=first_index + len(commits),
            transactions=batches,
            positions=np.array([r.position for r in decided], np.int64),
            decisions=decisions,
            labels=labels.batch,
            label_sequences=np.array(marked, np.int64)[labels.rows] + base,
            alerts=_alerts(commits),
            dead_letters=letters,
        )

    def _decided(self, decisions: Sequence[DecisionRow], records: Sequence[Record]) -> list[Batch]:
        """The decided transactions, in parts of one rate table each."""
        batches, at = [], 0
        for ids, version in _runs(decisions):
            payloads = [record.payload for record in records[at : at + len(ids)]]
            batch = self._transactions(version).decode(payloads, ()).batch
            if len(batch) != len(ids) or batch.strings("transaction_id").to_list() != ids:
                raise LogError(
                    f"decisions from {ids[0]} on are not on the records at "
                    f"{records[at].position}; this intake belongs to another decisions log"
                )
            batches.append(batch)
            at += len(ids)
        return batches


def _covered(commits: Sequence[Commit]) -> int:
    """Records from the first of these to the last."""
    return commits[-1].position - commits[0].first_position if commits else 0


def _rows(projected: Projected) -> int:
    found: list[Sized] = [projected.decisions, projected.labels, projected.alerts]
    return sum(len(each) for each in [*found, projected.dead_letters, *projected.transactions])


def _runs(decisions: Sequence[DecisionRow]) -> Iterator[tuple[list[str], str]]:
    """The ids of decisions that follow each other and name the same rates, and the rates."""
    for _, run in groupby(decisions, key=attrgetter("versions")):
        part = list(run)
        ids, rates = [decision.transaction_id for decision in part], part[0].versions_named().rates
        for at in range(0, len(ids), DECODED_MAX):
            yield ids[at : at + DECODED_MAX], rates


def _alerts(commits: Sequence[Commit]) -> list[Alert]:
    try:
        return [_alert.decode(a) for commit in commits for a in commit.alerts]
    except msgspec.DecodeError as error:
        raise LogError(f"the decisions log holds what is no alert: {error}") from error


def _dead_letters(commits: Sequence[Commit]) -> list[DeadLetter]:
    try:
        return [_dead_letter.decode(d) for commit in commits for d in commit.dead_letters]
    except msgspec.DecodeError as error:
        raise LogError(f"the decisions log holds what is no dead letter: {error}") from error
