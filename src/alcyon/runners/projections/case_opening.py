"""Case opening: reads the decisions log as a projection does, and lets the office open cases.

How far it came is told by the office's store alone, in the same commit as the cases, so it may be
killed between any two steps, and run twice at once. It seals the commits that it reads, too: see
`alcyon.io.office.seals`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Protocol

import msgspec

from alcyon.codecs.decisions import sequence_of
from alcyon.domain.alert import Alert, expected_loss
from alcyon.domain.commit import Commit
from alcyon.domain.decision import Reason
from alcyon.domain.errors import InputError, LogError, UnreachableError
from alcyon.domain.office.cases import Raised, Raising
from alcyon.domain.office.searching import Line
from alcyon.domain.projected import StoreError, column_values
from alcyon.domain.record import Record
from alcyon.domain.tokens import mask
from alcyon.runners.projections.filling import Filled, Filler
from alcyon.runners.projections.projection import Decoder
from alcyon.runners.stream.reading import Reading
from alcyon.scoring.reasons import shown_text

COMMITS_MAX = 16
"""How many commits are read at once; with the bound of a commit it bounds the memory."""
RECORDS_MAX = 4096
"""Commits are looked at together until they cover so many."""
EVERY_S = 0.25
"""Between two looks at the end of the log. Each that finds something forces a commit to the disk,
where the decisions' own commits are forced too: a person is told soon enough."""
DEADLINES_EVERY_S = 1.0
_FROM_TRANSACTION = (
    "amount_base_minor", "card_id", "merchant_id", "device_id", "country", "merchant_country",
    "category", "channel",
)  # fmt: skip


class CaseBook(Protocol):
    """The office, as far as it takes part. UnreachableError from any method: an outage."""

    def next_index(self) -> int | None:
        """The first commit whose alerts are in no case yet; None: none was ever looked at."""
        ...

    def open_cases(self, raising: Raising) -> int:
        """Open and extend cases, all or nothing; a repeat changes nothing."""
        ...

    def take_deadlines(self) -> int:
        """Resolve the reviews that nobody took in time; how many cases."""
        ...


class _Versions(msgspec.Struct, gc=False):
    rates: str


class _Decided(msgspec.Struct, gc=False):
    """As much of a decision as its alert lacks."""

    probability_ppm: int | None
    reasons: tuple[Reason, ...]
    versions: _Versions


_alert = msgspec.json.Decoder(Alert)
_decided = msgspec.json.Decoder(_Decided)


class CaseOpening(Filler):
    """Opens cases.

    transactions: the decoder for the rate table of that version, the one a decision names.
    first_index: of the first commit that the log still has; asked for once.
    """

    def __init__(
        self,
        reading: Reading,
        office: CaseBook,
        transactions: Callable[[str], Decoder],
        first_index: Callable[[], int] = lambda: 0,
    ) -> None:
        self._reading, self._office = reading, office
        self._transactions, self._first_index = transactions, first_index
        self._done = Filled(0, 0, 0)
        self._deadlines_at = 0.0

    def step(self) -> int:
        """Look at the next commits; how many, 0 where the decisions log ends behind them.

        StoreError: the office's store is away, call again later. LogError, InputError: the logs
        are damaged or do not belong together; no case was opened.
        """
        with _outages_told():
            self._take_deadlines()
            index = self._office.next_index()
        first_index = self._first_index() if index is None else index
        commits = self._next(first_index)
        opened = 0
        if commits:
            raising = Raising(first_index, [seal(c) for c in commits], self._raised(commits))
            with _outages_told():
                opened = self._office.open_cases(raising)
        done, next_index = self._done, first_index + len(commits)
        self._done = Filled(done.commits + len(commits), done.rows + opened, next_index)
        return 0 if _covered(commits) < RECORDS_MAX else len(commits)

    def taken(self) -> Filled:
        """Of the steps since the last call; rows are alerts that were new."""
        done = self._done
        self._done = Filled(0, 0, done.next_index)
        return done

    def _next(self, index: int) -> list[Commit]:
        """The commits from there on: all there are, or as many as cover `RECORDS_MAX` records."""
        commits: list[Commit] = []
        while _covered(commits) < RECORDS_MAX:
            more = self._reading.commits(index + len(commits), COMMITS_MAX)
            if not more:
                break
            commits += more
        return commits

    def _take_deadlines(self) -> None:
        if time.monotonic() >= self._deadlines_at:
            self._office.take_deadlines()
            self._deadlines_at = time.monotonic() + DEADLINES_EVERY_S

    def _raised(self, commits: Sequence[Commit]) -> list[Raised]:
        found = [pair for commit in commits for pair in _alerts(commit)]
        if not found:
            return []
        records, base = self._reading.records(commits), commits[0].first_sequence
        raised: list[Raised] = []
        for rates, pairs in groupby(found, key=lambda pair: pair[1].versions.rates):
            part = list(pairs)
            taken = [records[alert.sequence - base] for alert, _ in part]
            raised += _with_transactions(part, taken, self._transactions(rates))
        return raised


def seal(commit: Commit) -> bytes:
    """The SHA-256 of each of its decisions, one after the other."""
    return b"".join(hashlib.sha256(decision).digest() for decision in commit.decisions)


def _covered(commits: Sequence[Commit]) -> int:
    """How many records these cover, which follow one another."""
    return commits[-1].position - commits[0].first_position if commits else 0


def _alerts(commit: Commit) -> Iterator[tuple[Alert, _Decided]]:
    """A commit's alerts with what their decisions say; no other decision is looked into."""
    if not commit.alerts:
        return
    try:
        alerts = {a.sequence: a for a in map(_alert.decode, commit.alerts)}
        for payload in filter(None, commit.decisions):  # those that were erased are empty
            alert = alerts.get(sequence_of(payload))
            if alert is not None:
                yield alert, _decided.decode(payload)
    except (InputError, msgspec.DecodeError) as error:
        raise LogError(f"the decisions log holds what is no decision: {error}") from error


def _with_transactions(
    part: Sequence[tuple[Alert, _Decided]], records: Sequence[Record], decoder: Decoder
) -> Iterator[Raised]:
    batch = decoder.decode([record.payload for record in records], ()).batch
    ids = [alert.transaction_id for alert, _ in part]
    if len(batch) != len(ids) or batch.strings("transaction_id").to_list() != ids:
        raise LogError(
            f"decisions from {ids[0]} on are not on the records at {records[0].position}; this "
            "intake belongs to another decisions log"
        )
    columns = {n: column_values(batch.columns[n]) for n in _FROM_TRANSACTION if n in batch}
    for row, (alert, decision) in enumerate(part):
        yield _raised(alert, decision, {name: column[row] for name, column in columns.items()})


def _raised(alert: Alert, decision: _Decided, transaction: dict[str, Any]) -> Raised:
    known: dict[str, Any] = dict.fromkeys(_FROM_TRANSACTION) | {
        # A card is a token already; elsewhere a number may stand among words.
        name: mask(value) if isinstance(value, str) and name != "card_id" else value
        for name, value in transaction.items()
    }
    line = Line(
        sequence=alert.sequence, transaction_id=alert.transaction_id, event_time=alert.event_time,
        action=alert.action.value, score=alert.score, reason=alert.reason,
        reason_text=shown_text(alert.reason, decision.reasons), amount_minor=alert.amount_minor,
        currency=alert.currency, is_fraud=None, **known,
    )  # fmt: skip
    return Raised(line, expected_loss(known["amount_base_minor"], decision.probability_ppm))


@contextmanager
def _outages_told() -> Iterator[None]:
    """As of a store: an outage of the log is told apart from it."""
    try:
        yield
    except UnreachableError as error:
        raise StoreError(str(error)) from error
