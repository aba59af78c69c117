"""Admitting: what comes in by the API, checked and tokenised before it is written anywhere.

What is written is made anew from the columns: so neither a card number nor a field that we do not
know gets into the log.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from alcyon.codecs.json import encode
from alcyon.codecs.json_rows import RowDecoder
from alcyon.domain.admission import Admitted, admit
from alcyon.domain.columns import Batch, Column, Strings
from alcyon.domain.tokens import mask
from alcyon.domain.transaction import COLUMNS, ID_COLUMNS, REQUIRED
from alcyon.domain.validation import Fault
from alcyon.runners.stream.deciding import Means
from alcyon.runners.stream.in_force import InForce

_DERIVED = "amount_base_minor"
"""Filled in where it is decided, by the rates in force there, and no part of what a caller says."""
_COMPARED = tuple(name for name in COLUMNS if name != _DERIVED)
_DIGITS = re.compile(rb"[0-9](?:[ -]?[0-9]){11}")
_encode = msgspec.json.Encoder().encode


class Row(msgspec.Struct, frozen=True, gc=False):
    """A transaction that may be written."""

    transaction_id: str
    payload: bytes
    """As it is written: JSON of the columns that it has."""
    mark: int
    """Tells it from another payload under the same id, within this process."""


class Admitting:
    """Checks payloads as the worker will. For several threads.

    future_max_ms: how far an event time may lie ahead of our clock; None where the log itself has
    one, and the worker looks.
    """

    def __init__(
        self,
        means: Means,
        in_force: Callable[[], InForce],
        now_ms: Callable[[], int],
        future_max_ms: int | None,
    ) -> None:
        columns = {**COLUMNS, **means.columns}
        self._rows = RowDecoder(columns, frozenset(REQUIRED), means.payload_bytes_max)
        self._order = tuple(columns)
        self._keys, self._in_force = means.keys, in_force
        self._now_ms, self._future_max_ms = now_ms, future_max_ms

    def admit(self, payloads: Sequence[bytes]) -> tuple[dict[int, Row], list[Fault]]:
        """(by its place the row of each payload that may be written, why each other may not)."""
        given, places, faults = self._rows.decode(payloads)
        if not len(given):
            return {}, faults
        admitted = admit(given, self._keys, self._in_force().rates)
        batch = self._as_written(given, admitted)
        rows = _rows(batch)
        at = places[admitted.rows].tolist()
        faults = [*faults, *(f._replace(row=int(places[f.row])) for f in admitted.faults)]
        found = dict(zip(at, rows, strict=True))
        for fault in self._ahead(batch, at):
            del found[fault.row]
            faults.append(fault)
        return found, sorted(faults)

    def _as_written(self, given: Batch, admitted: Admitted) -> Batch:
        columns: dict[str, Column] = {}
        for name in self._order:
            if name == _DERIVED:
                if name in given:
                    columns[name] = given.numbers(name)[admitted.rows]
            elif name in admitted.batch:
                column = admitted.batch.columns[name]
                is_text = isinstance(column, Strings) and name not in ID_COLUMNS
                columns[name] = _masked(column) if is_text else column
        return Batch(columns)

    def _ahead(self, batch: Batch, at: Sequence[int]) -> list[Fault]:
        """Who sends a time far in the future would make all that comes after it late."""
        if self._future_max_ms is None:
            return []
        latest = self._now_ms() + self._future_max_ms
        times = np.asarray(batch.numbers("event_time"), np.int64)
        return [
            Fault(
                at[row], "event_time_in_the_future",
                f"event_time is {(int(times[row]) - latest + self._future_max_ms) / 1000:.0f} s "
                "ahead of our clock: correct yours",
            )
            for row in np.flatnonzero(times > latest).tolist()
        ]  # fmt: skip


def mark_of(transaction: Mapping[str, object]) -> int:
    """The mark of a transaction as stores keep it: its canonical columns that are not null."""
    return hash(_encode({name: transaction[name] for name in _COMPARED if name in transaction}))


def _rows(batch: Batch) -> list[Row]:
    payloads = encode(batch)
    compared = payloads
    if not batch.columns.keys() <= set(_COMPARED):
        compared = encode(Batch({n: c for n, c in batch.columns.items() if n in _COMPARED}))
    ids = [name or "" for name in batch.strings("transaction_id").to_list()]
    return list(map(Row, ids, payloads, map(hash, compared)))


def _masked(column: Column) -> Column:
    """A text that no id is may hold a card number among other things."""
    assert isinstance(column, Strings)
    if _DIGITS.search(column.data.tobytes()) is None:
        return column
    return Strings.from_list([None if v is None else mask(v) for v in column.to_list()])
