"""Rows: columns and decisions as the tuples that SQLite takes, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

import msgspec
import numpy as np

from alcyon.domain.alert import Alert
from alcyon.domain.columns import NULL_INT, Batch, Column, ColumnType, Strings
from alcyon.domain.decision import Decision
from alcyon.domain.record import DeadLetter

Value = str | int | float | bytes | None

DECISION_COLUMNS = Decision.__struct_fields__
DEAD_LETTER_COLUMNS = DeadLetter.__struct_fields__
ALERT_COLUMNS = Alert.__struct_fields__
_AS_JSON = ("members", "codes", "rule_hits", "shadow_hits", "reasons", "versions")
_encode = msgspec.json.Encoder().encode


def column_rows(
    places: Sequence[tuple[int, ...]], batch: Batch, columns: Mapping[str, ColumnType]
) -> Iterator[tuple[Value, ...]]:
    """For each record its place, then its `columns`; what the batch lacks is null."""
    values = [_values(batch.columns[c]) if c in batch else repeat(None) for c in columns]
    for place, row in zip(places, zip(*values, strict=False), strict=False):
        yield place + row


def _values(column: Column) -> Sequence[Value]:
    """Python values, null as None."""
    if isinstance(column, Strings):
        return column.to_list()
    null = np.isnan(column) if column.dtype == np.float64 else column == NULL_INT
    values: list[Value] = column.tolist()
    for row in np.flatnonzero(null).tolist():
        values[row] = None
    return values


def decision_rows(decisions: Iterable[Decision]) -> Iterator[tuple[Value, ...]]:
    """For each decision the values of `DECISION_COLUMNS`."""
    for d in decisions:
        yield (
            d.sequence,
            d.transaction_id,
            d.event_time,
            d.action,
            d.score,
            d.probability_ppm,
            _json(d.members),
            _json(d.codes),
            _json(d.rule_hits),
            _json(d.shadow_hits),
            _json(d.reasons),
            d.features,
            _json(d.versions),
        )


def decision_of_row(row: Sequence[Any]) -> Decision:
    """The decision of a row of `DECISION_COLUMNS`."""
    values = dict(zip(DECISION_COLUMNS, row, strict=True))
    for name in _AS_JSON:
        values[name] = msgspec.json.decode(values[name])
    return msgspec.convert(values, Decision)


def alert_rows(alerts: Iterable[Alert]) -> Iterator[tuple[Value, ...]]:
    """For each alert the values of `ALERT_COLUMNS`; the status is the analysts'."""
    for a in alerts:
        yield (
            a.sequence,
            a.transaction_id,
            a.event_time,
            a.action.value,
            a.score,
            a.amount_minor,
            a.currency,
            a.reason,
        )


def dead_letter_rows(letters: Iterable[DeadLetter]) -> Iterator[tuple[Value, ...]]:
    """For each dead letter the values of `DEAD_LETTER_COLUMNS`."""
    return (msgspec.structs.astuple(letter) for letter in letters)


def _json(value: object) -> str:
    # JSON columns hold text, not bytes: SQLite's JSON functions take nothing else.
    return _encode(value).decode()
