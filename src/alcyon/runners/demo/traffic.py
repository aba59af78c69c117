"""Traffic: transactions and labels in one order, the same at every making.

A label stands before the first transaction whose event time is not smaller than its labelled_at.
So how many transactions and how many labels were sent says exactly where to go on.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.codecs.json import encode_labels
from alcyon.domain.columns import Batch
from alcyon.runners.demo.recipe import Recipe
from alcyon.runners.demo.sessions import Session
from alcyon.simulation import Population, Reporting, Slice, labels_of, simulate

ROWS_MAX = 4096
"""Transactions of a stretch."""


class DueLabel(NamedTuple):
    """A label as it will be sent; sorted by time, then by its id."""

    due: int
    label_id: str
    payload: bytes


class Sent(NamedTuple):
    """What is in the intake already."""

    transactions: int = 0
    labels: int = 0


NOTHING_SENT = Sent()


@dataclass(frozen=True, eq=False)
class Stretch:
    """Some transactions in order, and the labels among them.

    is_fraud, amounts (base currency, minor units) and event times are int64[n]; the first `sent`
    rows are in the intake already. Of the labels, each with the row it stands before, only those
    that are not.
    """

    transactions: Batch
    times: NDArray[np.int64]
    is_fraud: NDArray[np.int64]
    amounts: NDArray[np.int64]
    sent: int
    labels: Sequence[tuple[int, DueLabel]]

    def __len__(self) -> int:
        return len(self.times)


class _IdAndTime(msgspec.Struct):
    label_id: str
    labelled_at: int


_id_and_time = msgspec.json.Decoder(_IdAndTime)


def read_due_labels(file: Path) -> list[DueLabel]:
    """Labels from a file of JSON lines."""
    found = []
    for line in file.read_bytes().splitlines():
        label = _id_and_time.decode(line)
        found.append(DueLabel(label.labelled_at, label.label_id, line))
    return found


def due_labels(labels: Batch) -> list[DueLabel]:
    """Labels as they will be sent."""
    times = labels.numbers("labelled_at").tolist()
    ids = labels.strings("label_id").to_list()
    return [
        DueLabel(time, str(label_id), payload)
        for time, label_id, payload in zip(times, ids, encode_labels(labels), strict=True)
    ]


@dataclass
class Traffic:
    """All traffic of these sessions, from the very first; what is sent already is marked so.

    waiting: labels of before, in any order. end: how many transactions at most, all told.
    """

    recipe: Recipe
    population: Population
    sessions: list[Session]
    waiting: list[DueLabel]
    sent: Sent = NOTHING_SENT
    end: int | None = None
    rows_max: int = ROWS_MAX
    _made: int = field(default=0, init=False)
    _labels_made: int = field(default=0, init=False)

    def stretches(self) -> Iterator[Stretch]:
        """The traffic; called once. Endless if the last session and `end` are."""
        heapq.heapify(self.waiting)
        for session in self.sessions:
            yield from self._session(session)

    def add(self, session: Session) -> None:
        """Another session behind the last one; before the end of that one is asked for."""
        self.sessions.append(session)

    def _session(self, session: Session) -> Iterator[Stretch]:
        left = session.transactions
        if self.end is not None:
            left = min(self.end - self._made, self.end if left is None else left)
        scenario = self.recipe.traffic(session.start, session.rate)
        if left == 0:
            return
        for part in simulate(scenario, self.population, self.rows_max):
            rows = len(part) if left is None else min(left, len(part))
            yield self._stretch(_first(part, rows))
            if left is not None:
                left -= rows
                if left == 0:
                    return

    def _stretch(self, part: Slice) -> Stretch:
        for label in due_labels(labels_of([part], self._reporting)):
            heapq.heappush(self.waiting, label)
        times = np.asarray(part.transactions.numbers("event_time"), np.int64)
        sent = min(max(self.sent.transactions - self._made, 0), len(part))
        self._made += len(part)
        return Stretch(
            transactions=part.transactions,
            times=times,
            is_fraud=np.asarray(part.truth.numbers("is_fraud"), np.int64),
            amounts=np.asarray(part.transactions.numbers("amount_base_minor"), np.int64),
            sent=sent,
            labels=self._due(times),
        )

    def _due(self, times: NDArray[np.int64]) -> list[tuple[int, DueLabel]]:
        """The labels that stand before one of these transactions and are not sent yet."""
        found = []
        while self.waiting and self.waiting[0].due <= times[-1]:
            label = heapq.heappop(self.waiting)
            self._labels_made += 1
            if self._labels_made > self.sent.labels:
                found.append((int(np.searchsorted(times, label.due)), label))
        return found

    @property
    def _reporting(self) -> Reporting:
        return self.recipe.traffic_reporting


def _first(part: Slice, rows: int) -> Slice:
    if rows == len(part):
        return part
    return Slice(part.transactions.slice(0, rows), part.truth.slice(0, rows))
