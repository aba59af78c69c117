"""Files as the kernel wants them: admitted transactions in order of arrival, labels between them.

The rows' order is their order of arrival. If both files carry `sequence`, that is the order of
labels among transactions; otherwise a label precedes transaction i iff labelled_at ≤ front(i).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.admission import admit, admit_labels
from alcyon.domain.columns import NULL_INT, Batch, ColumnType, Strings
from alcyon.domain.currency import DEFAULT_RATES, Rates
from alcyon.domain.errors import InputError
from alcyon.domain.label import LABEL_COLUMNS
from alcyon.domain.tokens import TokenKeys, tokenise_ids
from alcyon.domain.validation import Fault
from alcyon.features.compiled.observe import ACCEPTED, CONFLICTING, DUPLICATE, LATE
from alcyon.features.kernel import LabelRows
from alcyon.features.observed import Observed
from alcyon.io.files import read_all, read_labels, read_transactions
from alcyon.runners.files.deadletters import DeadLetters

SEQUENCE = "sequence"
TRANSACTIONS, LABELS = "transactions", "labels"
_EXTRA = {SEQUENCE: ColumnType.INT}


@dataclass(frozen=True)
class Sources:
    """What is read and how it is admitted; `columns` are a detector's beside the canonical ones."""

    transactions: Path
    labels: Path | None
    keys: TokenKeys
    columns: Mapping[str, ColumnType] = field(default_factory=dict)
    rates: Rates = DEFAULT_RATES


@dataclass
class Tally:
    """What became of the rows."""

    rows: int = 0
    accepted: int = 0
    late: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    labels: int = 0


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows of the file.

    rows: int64[m], where each record of `batch` stands in the part's n rows; sequences: int64[m]
    where the files carry them; transaction_ids: of all n rows, card numbers replaced.
    """

    batch: Batch
    rows: NDArray[np.int64]
    transaction_ids: Strings
    sequences: NDArray[np.int64] | None
    first_row: int

    def __len__(self) -> int:
        return len(self.transaction_ids)


class Arrivals:
    """One pass over the files. For each part, in order: `labels_before`, observe, `passed`.

    front: where the state's front stands before the first row, if it has one.
    """

    def __init__(
        self, sources: Sources, dead_letters: DeadLetters, front: int | None = None
    ) -> None:
        self._sources, self._dead_letters = sources, dead_letters
        self.tally = Tally()
        self.labels = _labels(sources, dead_letters)
        self.tally.labels = len(self.labels)
        self._by_time = not (SEQUENCE in self.labels and self._is_numbered())
        self._queue = self._ordered()
        self._front = NULL_INT if front is None else front
        self._used, self._sequence = 0, -1

    def parts(self) -> Iterator[Part]:
        """The transactions, slice by slice. Raises InputError when they cannot be used."""
        first, columns = 0, {**self._sources.columns, **_EXTRA}
        for raw in read_transactions(self._sources.transactions, columns):
            part = self._admitted(raw, first)
            first += len(raw)
            self.tally.rows += len(raw)
            self._note_dead_letters()
            yield part

    def labels_before(self, batch: Batch, sequences: NDArray[np.int64] | None) -> LabelRows:
        """The labels not used yet that can precede one of these transactions."""
        if sequences is not None:
            end = int(sequences[-1]) if len(sequences) else self._sequence
        else:
            times = np.asarray(batch.numbers("event_time"), np.int64)
            end = max(self._front, int(times.max(initial=NULL_INT)))
        stop = int(np.searchsorted(self._queue.due, end, side="right"))
        return LabelRows(
            self._queue.transaction_ids.slice(self._used, stop),
            self._queue.is_fraud[self._used : stop],
            self._queue.due[self._used : stop],
            self._by_time,
        )

    def passed(self, part: Part, observed: Observed, start: int = 0) -> None:
        """Count what was observed: records of the part from `start` on."""
        self._used += observed.labels_used
        if len(observed.fronts):
            self._front = max(self._front, int(observed.fronts[-1]))
        status = observed.status
        self.tally.accepted += int((status == ACCEPTED).sum())
        self.tally.late += int((status == LATE).sum())
        self.tally.duplicates += int((status == DUPLICATE).sum())
        conflicting = np.flatnonzero(status == CONFLICTING)
        if len(conflicting):
            self._refuse(part, part.rows[start + conflicting])

    def _refuse(self, part: Part, rows: NDArray[np.int64]) -> None:
        detail = "another payload came under this transaction_id before"
        faults = [Fault(int(row), "conflicting_duplicate", detail) for row in rows]
        self._dead_letters.add(TRANSACTIONS, part.first_row, faults)
        self._note_dead_letters()

    def _note_dead_letters(self) -> None:
        self.tally.dead_letters = self._dead_letters.count

    def _is_numbered(self) -> bool:
        first = next(read_transactions(self._sources.transactions, _EXTRA, rows_max=1))
        return SEQUENCE in first

    def _ordered(self) -> LabelRows:
        """All labels in the order in which they take effect."""
        labels = self.labels
        due = np.asarray(labels.numbers("labelled_at" if self._by_time else SEQUENCE), np.int64)
        if not self._by_time and (due == NULL_INT).any():
            raise InputError(f"{self._sources.labels}: a label has no sequence: number all or none")
        order = np.argsort(due, kind="stable")
        is_fraud = np.asarray(labels.numbers("is_fraud"), np.int64)[order]
        ids = labels.strings("transaction_id").take(order)
        return LabelRows(ids, is_fraud, due[order], self._by_time)

    def _admitted(self, raw: Batch, first_row: int) -> Part:
        columns = {name: column for name, column in raw.columns.items() if name != SEQUENCE}
        admitted = admit(Batch(columns), self._sources.keys, self._sources.rates)
        self._dead_letters.add(TRANSACTIONS, first_row, admitted.faults)
        ids = admitted.batch.strings("transaction_id")
        if admitted.faults:  # a refused row's id may be a card number as well
            ids = tokenise_ids(raw.strings("transaction_id"), self._sources.keys)
        sequences = None
        if not self._by_time:
            sequences = self._numbered(raw)[admitted.rows]
        return Part(admitted.batch, admitted.rows, ids, sequences, first_row)

    def _numbered(self, raw: Batch) -> NDArray[np.int64]:
        if SEQUENCE not in raw:
            raise InputError(f"{self._sources.transactions}: some rows have no sequence")
        sequences = np.asarray(raw.numbers(SEQUENCE), np.int64)
        steps = np.diff(np.concatenate([[self._sequence], sequences]))
        if (steps <= 0).any() or sequences[0] < 0:
            row = self.tally.rows + int(np.argmax(steps <= 0)) + 1
            raise InputError(
                f"{self._sources.transactions}: row {row}: sequence does not rise: sort the rows "
                "by sequence"
            )
        self._sequence = int(sequences[-1])
        return sequences


def _labels(sources: Sources, dead_letters: DeadLetters) -> Batch:
    """All admitted labels, in the file's order; none without a file."""
    columns, parts, first = {**LABEL_COLUMNS, **_EXTRA}, [], 0
    if sources.labels is None:
        return _no_labels()
    for raw in read_labels(sources.labels, _EXTRA):
        admitted = admit_labels(raw, sources.keys)
        dead_letters.add(LABELS, first, admitted.faults)
        parts.append(admitted.batch)
        first += len(raw)
    return read_all(parts, columns)


def _no_labels() -> Batch:
    return Batch(
        {
            name: Strings.from_list([]) if kind is ColumnType.STRING else np.empty(0, np.int64)
            for name, kind in LABEL_COLUMNS.items()
        }
    )
