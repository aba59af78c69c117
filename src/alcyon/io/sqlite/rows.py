"""Rows: columns and decisions as the tuples that SQLite takes, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

import msgspec

from alcyon.domain.alert import Alert
from alcyon.domain.columns import Batch, ColumnType
from alcyon.domain.decision import Decision
from alcyon.domain.hourly import Cell, Hourly
from alcyon.domain.projected import (
    DecisionRow,
    Projected,
    Stored,
    at_stake,
    column_values,
    decision_of,
)
from alcyon.domain.record import DeadLetter
from alcyon.domain.transaction import COLUMNS

Value = str | int | float | bytes | None

DECISION_COLUMNS = Decision.__struct_fields__
DEAD_LETTER_COLUMNS = DeadLetter.__struct_fields__
ALERT_COLUMNS = (*Alert.__struct_fields__, "amount_base_minor", "expected_loss_base_minor")
WORD_COLUMNS = ("kind", "word", "event_time", "sequence")
CELL_COLUMNS = Cell.__struct_fields__
INT_MAX = 2**63 - 1


def column_rows(
    places: Sequence[tuple[int, ...]], batch: Batch, columns: Mapping[str, ColumnType]
) -> Iterator[tuple[Value, ...]]:
    """For each record its place, then its `columns`; what the batch lacks is null."""
    values = [column_values(batch.columns[c]) if c in batch else repeat(None) for c in columns]
    for place, row in zip(places, zip(*values, strict=False), strict=False):
        yield place + row


def decision_values(decisions: Iterable[DecisionRow]) -> Iterator[tuple[Value, ...]]:
    """For each decision the values of `DECISION_COLUMNS`."""
    # JSON columns hold text, not bytes: SQLite's JSON functions take nothing else.
    for d in decisions:
        yield (
            d.sequence,
            d.transaction_id,
            d.event_time,
            d.action,
            d.score,
            d.probability_ppm,
            str(d.members, "utf-8"),
            str(d.codes, "utf-8"),
            str(d.rule_hits, "utf-8"),
            str(d.shadow_hits, "utf-8"),
            str(d.reasons, "utf-8"),
            d.features,
            str(d.versions, "utf-8"),
            str(d.challenger, "utf-8"),
            d.propensity_ppm,
        )


def stored_of_row(row: Sequence[Any]) -> Stored:
    """From a row of `DECISION_COLUMNS`, then all columns of a transaction."""
    n = len(DECISION_COLUMNS)
    named = zip(COLUMNS, row[n:], strict=True)
    return Stored(decision_of(row[:n]), {k: v for k, v in named if v is not None})


def word_rows(decisions: Iterable[DecisionRow]) -> Iterator[tuple[Value, ...]]:
    """For each word of each decision the values of `WORD_COLUMNS`."""
    return ((*word, d.event_time, d.sequence) for d in decisions for word in d.words())


def alert_rows(new: Projected) -> Iterator[tuple[Value, ...]]:
    """For each alert the values of `ALERT_COLUMNS`; the status is the analysts'."""
    for a, stake in zip(new.alerts, at_stake(new), strict=True):
        yield (
            a.sequence,
            a.transaction_id,
            a.event_time,
            a.action.value,
            a.score,
            a.amount_minor,
            a.currency,
            a.reason,
            stake.amount_base_minor,
            stake.expected_loss_base_minor,
        )


def dead_letter_rows(letters: Iterable[DeadLetter]) -> Iterator[tuple[Value, ...]]:
    """For each dead letter the values of `DEAD_LETTER_COLUMNS`."""
    return (msgspec.structs.astuple(letter) for letter in letters)


def hourly_rows(found: Iterable[Hourly]) -> Iterator[tuple[Value, ...]]:
    """For each the values of `CELL_COLUMNS`, the count and the sum."""
    for h in found:
        amount = h.amount_base_minor_sum
        # Beyond 63 bits SQLite itself goes on in floating point; it takes no larger integer.
        within = amount if abs(amount) <= INT_MAX else float(amount)
        yield (*msgspec.structs.astuple(h.cell), h.decision_count, within)


def hourly_of_row(row: Sequence[Any]) -> Hourly:
    """Inverse of `hourly_rows`, for one row."""
    *cell, count, amount = row
    return Hourly(Cell(*cell), count, int(amount))
