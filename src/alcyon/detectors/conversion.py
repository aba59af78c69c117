"""What the converters of published data sets share: exact amounts, labels, a report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.admission import Admitted
from alcyon.domain.columns import NULL_INT, Batch, Column, Strings

LABEL_DELAY_MS = 7 * 86_400_000
"""A chargeback is taken to arrive a week after its transaction, as the Handbook does."""


@dataclass(frozen=True, eq=False)
class Converted:
    """Rows of a published data set as canonical transactions, not yet admitted."""

    transactions: Batch
    is_fraud: NDArray[np.int64]
    """int64[n]: 1 where the data set says fraud."""


def minor_units(amounts: NDArray[np.float64]) -> NDArray[np.int64]:
    """int64[n]: amounts in hundredths, exact as printed and rounded half to even; NaN is null.

    What no amount can be (infinite, beyond int64) is null as well.

    >>> minor_units(np.array([57.16, 1.015, 0.125, np.nan])).tolist()[:3]
    [5716, 102, 12]
    """
    with np.errstate(invalid="ignore"):
        scaled = amounts * 100
        usable = np.abs(scaled) < 2**62
        minor = np.where(usable, np.rint(np.where(usable, scaled, 0)), NULL_INT).astype(np.int64)
        # 1.015 · 100 is 101.49999…: near a half, the decimal digits decide.
        near_half = usable & (np.abs(np.abs(scaled - np.floor(scaled)) - 0.5) < 1e-4)
    for row in np.flatnonzero(near_half).tolist():
        exact = Decimal(repr(float(amounts[row]))) * 100
        minor[row] = int(exact.quantize(Decimal(1), ROUND_HALF_EVEN))
    return minor


def texts(numbers: Column) -> Strings:
    """Integer ids as strings; strings as they are."""
    if isinstance(numbers, Strings):
        return numbers
    return Strings.from_list([None if v == NULL_INT else str(v) for v in numbers.tolist()])


def repeated(value: str, n: int) -> Strings:
    """The same string n times."""
    raw = np.frombuffer(value.encode(), np.uint8)
    return Strings(np.arange(n + 1) * len(raw), np.tile(raw, n))


def labels(admitted: Admitted, is_fraud: NDArray[np.int64]) -> Batch:
    """A chargeback for each admitted fraud, `LABEL_DELAY_MS` after it; the rest stay unlabelled.

    is_fraud: of the rows before admission.
    """
    frauds = np.flatnonzero(is_fraud[admitted.rows] == 1)
    batch = admitted.batch.take(frauds)
    ids = batch.strings("transaction_id")
    return Batch(
        {
            "label_id": Strings.from_list([f"chargeback-{i}" for i in ids.to_list()]),
            "transaction_id": ids,
            "is_fraud": np.ones(len(frauds), np.int64),
            "loss_minor": batch.numbers("amount_minor"),
            "source": repeated("chargeback", len(frauds)),
            "labelled_at": batch.numbers("event_time") + LABEL_DELAY_MS,
        }
    )


UNKNOWN_LABEL = "unknown_label"
"""The reason of rows whose truth is neither 0 nor 1."""


def labelled(converted: Converted) -> Converted:
    """The rows whose truth is known."""
    known = np.flatnonzero((converted.is_fraud == 0) | (converted.is_fraud == 1))
    if len(known) == len(converted.is_fraud):
        return converted
    return Converted(converted.transactions.take(known), converted.is_fraud[known])


class Report(msgspec.Struct, frozen=True):
    """What a conversion found."""

    rows: int
    converted: int
    first: str | None
    last: str | None
    """Event times of the earliest and the latest row, ISO 8601 in UTC; None without a row."""
    rejected: dict[str, int]
    """Rows by reason code."""
    nulls: dict[str, int]
    """Nulls by column that has any."""
    ranges: dict[str, tuple[float, float]]
    """(smallest, largest) by numeric column."""
    duplicates: int
    """Rows whose transaction_id was there before; they are kept, deciding passes over them."""
    out_of_order: int
    """Rows with an earlier event time than a row before them."""
    genuine: int
    frauds: int
    fraud_share: float


@dataclass
class Tally:
    """Counts slice by slice, for one report."""

    rows: int = 0
    frauds: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    nulls: Counter[str] = field(default_factory=Counter)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    _ids: set[str | None] = field(default_factory=set)
    _front: int = NULL_INT

    def add(self, admitted: Admitted, is_fraud: NDArray[np.int64], unlabelled: int = 0) -> None:
        """Count a slice; `is_fraud` is of its rows before admission, `unlabelled` the number of
        those that `labelled` had left out before."""
        batch = admitted.batch
        self.rows += len(is_fraud) + unlabelled
        if unlabelled:
            self.rejected[UNKNOWN_LABEL] += unlabelled
        self.frauds += int((is_fraud[admitted.rows] == 1).sum())
        self.rejected.update(fault.reason for fault in admitted.faults)
        before = len(self._ids)
        self._ids.update(batch.strings("transaction_id").to_list())
        self.duplicates += len(batch) - (len(self._ids) - before)
        for name, column in batch.columns.items():
            self._add_column(name, column)
        times = np.concatenate([[self._front], batch.numbers("event_time")])
        fronts = np.maximum.accumulate(times)
        self.out_of_order += int((times < fronts).sum())
        self._front = int(fronts[-1])

    def _add_column(self, name: str, column: Column) -> None:
        if isinstance(column, Strings):
            self.nulls[name] += int((~column.is_valid).sum())
            return
        null = np.isnan(column) if column.dtype == np.float64 else column == NULL_INT
        self.nulls[name] += int(null.sum())
        known = column[~null]
        if len(known):
            smallest, largest = known.min().item(), known.max().item()
            low, high = self.ranges.get(name, (smallest, largest))
            self.ranges[name] = (min(low, smallest), max(high, largest))

    def report(self) -> Report:
        """What was counted so far."""
        converted = self.rows - self.rejected.total()
        span = [_moment(time) for time in self.ranges.get("event_time", ())]
        return Report(
            rows=self.rows,
            converted=converted,
            first=span[0] if span else None,
            last=span[1] if span else None,
            rejected=dict(self.rejected),
            nulls={name: count for name, count in self.nulls.items() if count},
            ranges=dict(self.ranges),
            duplicates=self.duplicates,
            out_of_order=self.out_of_order,
            genuine=converted - self.frauds,
            frauds=self.frauds,
            fraud_share=self.frauds / converted if converted else 0.0,
        )


def _moment(time_ms: float) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
