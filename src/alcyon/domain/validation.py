"""Validation: what a transaction or label must satisfy, wherever it comes from.

A check looks at whole columns; only where one finds a fault are single rows looked at. The first
fault of a row counts, in the order of the checks here, so that the reason never depends on the
batch a record came in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import NamedTuple

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from alcyon.domain import currency
from alcyon.domain.columns import NULL_INT, Batch, Strings
from alcyon.domain.errors import InputError
from alcyon.domain.label import SOURCES
from alcyon.domain.tokens import mask
from alcyon.domain.transaction import (
    AMOUNT_MINOR_MAX,
    EVENT_TIME_MAX,
    EVENT_TIME_MIN,
    HOLDERS,
    ID_COLUMNS,
    REQUIRED,
)

TEXT_BYTES_MAX = 256
"""The longest string accepted in any column, in bytes of UTF-8."""
UTC_OFFSET_MINUTES_MAX = 14 * 60
"""The furthest any place is from UTC, either way."""

LABEL_REQUIRED = ("label_id", "transaction_id", "is_fraud", "source", "labelled_at")
"""Columns every label has."""
_TIMES = ("event_time", "labelled_at")
_AMOUNTS = ("amount_minor", "amount_base_minor", "loss_minor")
_DEGREES = {"latitude": 90, "longitude": 180, "merchant_latitude": 90, "merchant_longitude": 180}


class Fault(NamedTuple):
    """Why one record is refused."""

    row: int
    reason: str
    """A stable code, such as `amount_out_of_range`."""
    detail: str
    """One line for a person, with the value where that helps; card numbers masked."""


class Verdict(NamedTuple):
    """What validation found."""

    accepted: NDArray[np.bool_]
    """bool[n]: the rows without a fault."""
    faults: list[Fault]
    """One for each other row, by row."""


def validate(batch: Batch) -> Verdict:
    """Check transactions, from whatever source.

    Raises InputError when a required column is absent from the whole batch.
    """
    _require_columns(batch, tuple(REQUIRED))
    return _verdict(
        len(batch),
        chain(
            _missing(batch, tuple(REQUIRED)),
            _text_faults(batch),
            _empty_ids(batch, ("transaction_id",)),
            _holder_faults(batch),
            _currency_faults(batch),
            _number_faults(batch),
        ),
    )


def validate_labels(batch: Batch) -> Verdict:
    """Check labels. Raises InputError when a required column is absent from the whole batch."""
    _require_columns(batch, LABEL_REQUIRED)
    return _verdict(
        len(batch),
        chain(
            _missing(batch, LABEL_REQUIRED),
            _text_faults(batch),
            _empty_ids(batch, ("label_id", "transaction_id")),
            _source_faults(batch),
            _number_faults(batch),
        ),
    )


def _require_columns(batch: Batch, names: Sequence[str]) -> None:
    absent = [name for name in names if name not in batch]
    if absent:
        raise InputError(f"missing column {', '.join(absent)}: every record needs it")


def _verdict(n: int, faults: Iterator[Fault]) -> Verdict:
    first: dict[int, Fault] = {}
    for fault in faults:
        first.setdefault(fault.row, fault._replace(detail=mask(fault.detail)))
    accepted = np.ones(n, np.bool_)
    if first:
        accepted[list(first)] = False
    return Verdict(accepted, [first[row] for row in sorted(first)])


def _missing(batch: Batch, names: Sequence[str]) -> Iterator[Fault]:
    for name in names:
        column = batch.columns[name]
        if isinstance(column, Strings):
            if column.valid is None:
                continue
            null = ~column.valid
        elif column.dtype == np.float64:
            null = np.isnan(column)
        elif all_within(column, NULL_INT + 1, 2**63 - 1):
            continue
        else:
            null = column == NULL_INT
        yield from (Fault(row, "missing_field", f"{name} is missing") for row in _rows(null))


def _text_faults(batch: Batch) -> Iterator[Fault]:
    for name, column in batch.columns.items():
        if not isinstance(column, Strings) or _is_plain(column.offsets, column.data):
            continue
        lengths = np.diff(column.offsets)
        for row in _rows(lengths > TEXT_BYTES_MAX):
            reason = "id_too_long" if name in (*ID_COLUMNS, "label_id") else "text_too_long"
            detail = f"{name} has {lengths[row]} bytes, more than {TEXT_BYTES_MAX}"
            yield Fault(row, reason, detail)
        for at in _rows((column.data < 0x20) | (column.data == 0x7F)):
            row = int(np.searchsorted(column.offsets, at, side="right")) - 1
            detail = f"{name} has control character U+{column.data[at]:04X}"
            yield Fault(row, "control_character", detail)


def _empty_ids(batch: Batch, names: Sequence[str]) -> Iterator[Fault]:
    for name in names:
        column = batch.strings(name)
        if not _has_empty(column.offsets):
            continue
        empty = np.diff(column.offsets) == 0
        yield from (Fault(row, "empty_id", f"{name} is empty") for row in _rows(empty))


def _holder_faults(batch: Batch) -> Iterator[Fault]:
    holders = [batch.strings(name) for name in HOLDERS if name in batch]
    if not all(_has_empty(column.offsets) for column in holders):
        return
    some = np.zeros(len(batch), np.bool_)
    given = np.zeros(len(batch), np.bool_)
    for column in holders:
        some |= np.diff(column.offsets) > 0
        given |= column.is_valid
    names = ", ".join(HOLDERS)
    for row in _rows(~some):
        if given[row]:
            yield Fault(row, "empty_id", f"the holder is empty: one of {names} must have a value")
        else:
            yield Fault(row, "no_holder", f"one of {names} is needed")


def _currency_faults(batch: Batch) -> Iterator[Fault]:
    column = batch.strings("currency")
    if currency.all_known(column):
        return
    for row in _rows(~currency.is_known(column)):
        value = column.slice(row, row + 1).to_list()[0]
        yield Fault(row, "unknown_currency", f"currency {value!r} is no ISO 4217 code in capitals")


def _source_faults(batch: Batch) -> Iterator[Fault]:
    for row, value in enumerate(batch.strings("source").to_list()):
        if value not in SOURCES:
            detail = f"source {value!r} is none of {', '.join(SOURCES)}"
            yield Fault(row, "unknown_source", detail)


def _number_faults(batch: Batch) -> Iterator[Fault]:
    for name, column in batch.columns.items():
        if isinstance(column, Strings):
            continue
        if name in _TIMES:
            yield from _time_faults(name, column)
        elif name in _AMOUNTS:
            yield from _amount_faults(name, column)
        elif name in _DEGREES:
            yield from _outside(name, column, _DEGREES[name])
        elif name == "utc_offset_minutes":
            yield from _outside(name, column, UTC_OFFSET_MINUTES_MAX)
        elif name == "is_fraud":
            yield from _flag_faults(name, column)
        elif column.dtype == np.float64:
            yield from _outside(name, column, np.finfo(np.float64).max)
        else:  # a detector's own integers: sums of their squares must stay within 128 bits
            yield from _outside(name, column, AMOUNT_MINOR_MAX)


_Numbers = NDArray[np.int64] | NDArray[np.float64]


def _time_faults(name: str, column: _Numbers) -> Iterator[Fault]:
    if all_within(column, EVENT_TIME_MIN, EVENT_TIME_MAX - 1):
        return
    outside = ((column < EVENT_TIME_MIN) | (column >= EVENT_TIME_MAX)) & (column != NULL_INT)
    for row in _rows(outside):
        detail = _time_detail(name, int(column[row]))
        yield Fault(row, f"{name}_out_of_range", detail)


def _time_detail(name: str, value: int) -> str:
    units = {"seconds": 1000.0, "microseconds": 1e-3, "nanoseconds": 1e-6}
    for unit, factor in units.items():
        if EVENT_TIME_MIN <= value * factor < EVENT_TIME_MAX:
            return f"{name} {value} looks like {unit}: give milliseconds since 1970, UTC"
    year = ""
    if abs(value) < 250_000_000_000_000:
        year = f" (year {1970 + value // 31_556_952_000})"
    low, high = (
        datetime.fromtimestamp(t / 1000, UTC).year for t in (EVENT_TIME_MIN, EVENT_TIME_MAX)
    )
    return f"{name} {value}{year} is outside {low} to {high}: give milliseconds since 1970, UTC"


def _amount_faults(name: str, column: _Numbers) -> Iterator[Fault]:
    if all_within(column, 0, AMOUNT_MINOR_MAX):
        return
    for row in _rows((column < 0) & (column != NULL_INT)):
        yield Fault(row, "negative_amount", f"{name} {column[row]} is negative")
    for row in _rows(column > AMOUNT_MINOR_MAX):
        detail = f"{name} {column[row]} is above {AMOUNT_MINOR_MAX}"
        yield Fault(row, "amount_out_of_range", detail)


def _outside(name: str, column: _Numbers, limit: float) -> Iterator[Fault]:
    """Values beyond ±limit; null is none of them."""
    if _all_near(column, limit):
        return
    null = np.isnan(column) if column.dtype == np.float64 else column == NULL_INT
    for row in _rows((np.abs(column) > limit) & ~null):
        detail = f"{name} {column[row]} is beyond ±{limit:g}"
        yield Fault(row, f"{name}_out_of_range", detail)


def _flag_faults(name: str, column: _Numbers) -> Iterator[Fault]:
    odd = (column != 0) & (column != 1) & (column != NULL_INT)
    yield from (Fault(row, "wrong_type", f"{name} is neither 0 nor 1") for row in _rows(odd))


def _rows(found: NDArray[np.bool_]) -> list[int]:
    return np.flatnonzero(found).tolist()


_Offsets = types.Array(types.int64, 1, "C", readonly=True)
_Bytes = types.Array(types.uint8, 1, "C", readonly=True)
_Doubles = types.Array(types.float64, 1, "C", readonly=True)


@njit(types.boolean(_Offsets, types.int64, types.int64), cache=True)
def all_within(values: NDArray[np.int64], low: int, high: int) -> bool:  # pragma: no cover
    """Whether every value lies in [low, high]; a null lies outside."""
    outside = 0
    for value in values:
        outside += (value < low) | (value > high)
    return outside == 0


@njit([types.boolean(_Offsets, types.int64), types.boolean(_Doubles, types.float64)], cache=True)
def _all_near(values: _Numbers, limit: float) -> bool:  # pragma: no cover
    """Whether every value lies within ±limit; NaN does, an integer null does not."""
    beyond = 0
    for value in values:
        beyond += (value < -limit) | (value > limit)
    return beyond == 0


@njit(types.boolean(_Offsets), cache=True)
def _has_empty(offsets: NDArray[np.int64]) -> bool:  # pragma: no cover
    """Whether a string is empty or null."""
    empty = 0
    for row in range(len(offsets) - 1):
        empty += offsets[row + 1] == offsets[row]
    return empty > 0


@njit(types.boolean(_Offsets, _Bytes), cache=True)
def _is_plain(offsets: NDArray[np.int64], data: NDArray[np.uint8]) -> bool:  # pragma: no cover
    """Whether no string is too long and none has a control character."""
    faults = 0
    for row in range(len(offsets) - 1):
        faults += offsets[row + 1] - offsets[row] > TEXT_BYTES_MAX
    for c in data:
        faults += (c < 0x20) | (c == 0x7F)
    return faults == 0
