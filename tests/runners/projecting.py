"""A small recorded run and its projection, used by the tests and by the process they kill."""

from __future__ import annotations

import random
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.alert import alert
from alcyon.domain.columns import Batch, Strings
from alcyon.domain.commit import Commit
from alcyon.domain.decision import Decision, Versions
from alcyon.domain.ports import CommitReader, DecisionsLog, Intake, Source, Store
from alcyon.domain.record import DeadLetter, Topic
from alcyon.io.log import EmbeddedCommits, EmbeddedSource
from alcyon.io.sqlite import SqliteStore
from alcyon.runners.projections import projection
from alcyon.runners.projections.projection import Projection

FIRST_SEQUENCE = 1000


class Rows(NamedTuple):
    batch: Batch
    rows: NDArray[np.int64]


class PlainDecoder:
    """Decodes JSON without the rest of admission, which would take long to load."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns

    def decode(self, payloads: Sequence[bytes], refused: Collection[int] | None) -> Rows:
        """Payloads that are no JSON are left out."""
        del refused
        found = [(i, msgspec.json.decode(p)) for i, p in enumerate(payloads) if p != b"{"]
        columns = {name: [record[name] for _, record in found] for name in self._columns}
        return Rows(
            Batch(
                {
                    name: np.array(values, np.int64)
                    if name in ("event_time", "amount_minor", "is_fraud", "labelled_at")
                    else Strings.from_list(values)
                    for name, values in columns.items()
                }
            ),
            np.array([i for i, _ in found], np.int64),
        )


TRANSACTIONS = PlainDecoder(("transaction_id", "event_time", "amount_minor", "currency"))
LABELS = PlainDecoder(("label_id", "transaction_id", "is_fraud", "source", "labelled_at"))


def decision(sequence: int, transaction_id: str, rates: str) -> Decision:
    """REVIEW for every seventh."""
    action = "REVIEW" if sequence % 7 == 0 else "APPROVE"
    versions = Versions("1", "c", "r", "l", "p", "m", rates)
    return Decision(
        sequence, transaction_id, sequence, action, 1, 2, {}, (), (), (), (), b"ab", versions
    )


class Recorder:
    """Records a run, one record at a time, and what must come of it."""

    def __init__(self, intake: Intake, log: DecisionsLog, seed: int) -> None:
        self._intake, self._log, self._rng = intake, log, random.Random(seed)
        names = ("transactions", "decisions", "labels", "alerts", "dead_letters")
        self.tables: dict[str, set[int]] = {name: set() for name in names}
        self._decided: set[str] = set()
        self._decisions: list[bytes] = []
        self._letters: list[bytes] = []
        self._alerts: list[bytes] = []
        self._first, self._end = 0, 0

    def record(self, records: int) -> None:
        """Labels, control records, bytes that are no JSON, duplicates without a decision, and
        repeats after the horizon, decided again, among transactions; commits of all sizes."""
        for position in range(records):
            self._end = position + 1
            kind = self._rng.choice(
                ["label", "control", "dead", "duplicate", "repeat"] + ["new"] * 9
            )
            self._add(kind, position, "a" if position < records // 2 else "b")
            if self._rng.random() < 0.2 or self._end == records:
                self._commit()

    def _add(self, kind: str, position: int, rates: str) -> None:
        sequence = FIRST_SEQUENCE + position
        if kind == "label":
            self._intake.append(Topic.LABELS, [_label(position)])
            self.tables["labels"].add(sequence)
        elif kind == "control":
            self._intake.append(Topic.CONTROL, [b"control"])
        elif kind == "dead":
            self._intake.append(Topic.TRANSACTIONS, [b"{"])
            letter = DeadLetter(sequence, "TRANSACTIONS", position, "invalid_json", "", b"{")
            self._letters.append(msgspec.json.encode(letter))
            self.tables["dead_letters"].add(sequence)
        else:
            name = f"t{position}" if kind == "new" else "t-again"
            self._intake.append(Topic.TRANSACTIONS, [_transaction(name, sequence)])
            if kind != "duplicate":
                self._decide(decision(sequence, name, rates))

    def _decide(self, made: Decision) -> None:
        self._decisions.append(msgspec.json.encode(made))
        if made.action == "REVIEW":
            self._alerts.append(msgspec.json.encode(alert(made, 5, "EUR")))
        if made.transaction_id in self._decided:
            return
        self._decided.add(made.transaction_id)
        kept = ["transactions", "decisions"] + ["alerts"] * (made.action == "REVIEW")
        for table in kept:
            self.tables[table].add(made.sequence)

    def _commit(self) -> None:
        self._log.append(
            Commit(
                self._log.epoch, FIRST_SEQUENCE + self._first, self._first, self._end,
                tuple(self._decisions), tuple(self._letters), tuple(self._alerts),
            )
        )  # fmt: skip
        self._first, self._decisions, self._letters, self._alerts = self._end, [], [], []


def _label(position: int) -> bytes:
    fields = {"label_id": f"l{position}", "transaction_id": "t0", "is_fraud": 1}
    return msgspec.json.encode(fields | {"source": "analyst", "labelled_at": 5})


def _transaction(name: str, event_time: int) -> bytes:
    fields = {"transaction_id": name, "event_time": event_time}
    return msgspec.json.encode(fields | {"amount_minor": 5, "currency": "EUR"})


def opened(commits: CommitReader, source: Source, store: Store) -> Projection:
    """A projection with the plain decoders."""
    return Projection(commits, source, store, lambda version: TRANSACTIONS, LABELS)


def main(folder: Path) -> None:
    """Project to the end of the log in small steps, telling each; killed in between by the test."""
    projection.RECORDS_MAX = 15
    store = SqliteStore(folder / "store")
    projecting = opened(
        EmbeddedCommits(folder / "decisions"), EmbeddedSource(folder / "intake"), store
    )
    print("opened", flush=True)
    while projecting.step():
        print("step", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
