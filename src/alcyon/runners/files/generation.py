"""Writes simulated traffic, its labels and its truth to files, slice by slice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from alcyon.domain.columns import Batch, ColumnType
from alcyon.domain.label import LABEL_COLUMNS
from alcyon.domain.transaction import COLUMNS
from alcyon.io.files import BatchWriter
from alcyon.simulation import Reporting, Scenario, Slice, labels_of, simulate

TRUTH_COLUMNS = {
    "transaction_id": ColumnType.STRING,
    "is_fraud": ColumnType.BOOLEAN,
    "attack": ColumnType.STRING,
}
"""What nobody knows of real traffic."""


@dataclass(frozen=True)
class Outputs:
    """Where to write; None: not wanted."""

    transactions: Path
    labels: Path | None = None
    truth: Path | None = None


class Generated(msgspec.Struct, frozen=True):
    """What was written."""

    transactions: int
    frauds: int
    labels: int


def generate_files(
    scenario: Scenario, outputs: Outputs, progress: Callable[[int], None] = lambda rows: None
) -> Generated:
    """Write the scenario's traffic; memory does not grow with it, but for the labels.

    `progress` is told the transactions written so far. Raises InputError for an unknown suffix,
    AlcyonError when the disk refuses; then no file appears.
    """
    with ExitStack() as files:
        writing = _Writing(scenario, outputs, files, progress)
        labels = None
        if outputs.labels is not None:
            sink = files.enter_context(BatchWriter(outputs.labels, LABEL_COLUMNS))
            labels = labels_of(writing.slices(), Reporting(seed=scenario.seed))
            sink.write(labels)
        else:
            for _ in writing.slices():
                pass
    return Generated(writing.rows, writing.frauds, 0 if labels is None else len(labels))


class _Writing:
    """Writes slices as they pass by, so that labels are made of them in the same pass."""

    def __init__(
        self,
        scenario: Scenario,
        outputs: Outputs,
        files: ExitStack,
        progress: Callable[[int], None],
    ) -> None:
        self._scenario, self._progress = scenario, progress
        # A column the simulation never fills is left out of the file.
        self._transactions = files.enter_context(BatchWriter(outputs.transactions, _columns()))
        self._truth = None
        if outputs.truth is not None:
            self._truth = files.enter_context(BatchWriter(outputs.truth, TRUTH_COLUMNS))
        self.rows = 0
        self.frauds = 0

    def slices(self) -> Iterator[Slice]:
        """The traffic; each slice is on its way to the disk when it is handed over."""
        for part in simulate(self._scenario):
            self._write(part.transactions, part.truth)
            yield part

    def _write(self, transactions: Batch, truth: Batch) -> None:
        self._transactions.write(transactions)
        if self._truth is not None:
            self._truth.write(truth)
        self.rows += len(transactions)
        self.frauds += int((truth.numbers("is_fraud") == 1).sum())
        self._progress(self.rows)


def _columns() -> dict[str, ColumnType]:
    first = next(iter(simulate(Scenario(transactions=1)))).transactions
    return {name: kind for name, kind in COLUMNS.items() if name in first}
