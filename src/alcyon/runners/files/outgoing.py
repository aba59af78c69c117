"""What is sent: rows of a file or of simulated traffic as payloads, and the labels among them.

A label stands before the first transaction whose front reaches its labelled_at, as for
`alcyon features`. A row that its format cannot hold is refused, with a reason.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.codecs.avro import encode_avro, encode_labels_avro
from alcyon.codecs.json import PAYLOAD_BYTES_MAX, encode, encode_labels
from alcyon.codecs.json_rows import RowDecoder
from alcyon.domain.columns import NULL_INT, Batch, ColumnType, Strings, concatenate
from alcyon.domain.errors import InputError
from alcyon.domain.label import LABEL_COLUMNS
from alcyon.domain.tokens import TokenKeys, tokenise, tokenise_ids
from alcyon.domain.transaction import COLUMNS, HOLDERS, REQUIRED
from alcyon.domain.validation import LABEL_REQUIRED, validate
from alcyon.io.files import read_all, read_labels, read_transactions
from alcyon.io.files.failures import reading
from alcyon.simulation import Reporting, Slice, labels_of

ROWS_MAX = 128
"""Rows of a block: encoding them takes half a millisecond."""
SLICE_ROWS = 1024
"""Rows that are read, or labelled, at once."""
_LINE_BYTES_MAX = 16 * 2**20
_BLOCK_BYTES_MAX = 2**20


class SentLabel(NamedTuple):
    """A label, and the row of its block that it stands before."""

    row: int
    payload: bytes
    key: str | None


class Block(NamedTuple):
    """Some transactions in order."""

    payloads: Sequence[bytes]
    keys: Sequence[str | None]
    labels: Sequence[SentLabel]
    refused: Sequence[str]
    """Why other rows of the file are not among them, a line each."""


@dataclass(frozen=True)
class Encoding:
    """A format: how rows become payloads, and the columns that none of them may lack."""

    transactions: Callable[[Batch], list[bytes]]
    labels: Callable[[Batch], list[bytes]]
    is_strict: bool

    @classmethod
    def json(cls) -> Encoding:
        """JSON holds any row."""
        return cls(encode, encode_labels, is_strict=False)

    @classmethod
    def avro(
        cls, transactions_id: int, labels_id: int, extra: Mapping[str, ColumnType]
    ) -> Encoding:
        """Avro in the wire format; the ids are those of our own schemas in the registry."""
        return cls(
            lambda batch: encode_avro(batch, transactions_id, extra),
            lambda batch: encode_labels_avro(batch, labels_id),
            is_strict=True,
        )

    def encodable(
        self, batch: Batch, required: Sequence[str]
    ) -> tuple[NDArray[np.int64], list[str]]:
        """(the rows that can be encoded, why each other cannot)."""
        absent = {name: _is_null(batch, name) for name in required} if self.is_strict else {}
        lacking = np.zeros(len(batch), np.bool_)
        for null in absent.values():
            lacking |= null
        refused = [
            f"{next(name for name, null in absent.items() if null[row])} is missing"
            for row in np.flatnonzero(lacking)
        ]
        return np.flatnonzero(~lacking), refused


@dataclass
class LabelQueue:
    """Labels that wait for the transactions to reach their time."""

    encoding: Encoding
    refused: list[str] = field(default_factory=list)
    added: int = 0
    """All labels that could be encoded, sent or not."""
    _waiting: Batch | None = None
    _front: int = NULL_INT

    def __len__(self) -> int:
        return 0 if self._waiting is None else len(self._waiting)

    def add(self, labels: Batch) -> None:
        """Labels in any order; ties in time stay as they come."""
        rows, refused = self.encoding.encodable(labels, LABEL_REQUIRED)
        self.refused += [f"a label: {why}" for why in refused]
        every = labels.take(rows)
        self.added += len(every)
        if self._waiting is not None:
            every = concatenate([self._waiting, every])
        due = every.numbers("labelled_at")
        self._waiting = every.take(np.argsort(due, kind="stable"))

    def before(self, times: NDArray[np.int64]) -> list[SentLabel]:
        """The labels that stand before one of these transactions, which are not asked for again.

        times: event times, NULL_INT where a transaction moves no front.
        """
        if self._waiting is None or not len(times):
            return []
        fronts = np.maximum(np.maximum.accumulate(times), self._front)
        self._front = int(fronts[-1])
        due = np.asarray(self._waiting.numbers("labelled_at"), np.int64)
        n = int(np.searchsorted(due, self._front, side="right"))
        if not n:
            return []
        labels, self._waiting = self._waiting.slice(0, n), self._waiting.slice(n, len(due))
        rows = np.searchsorted(fronts, due[:n], side="left").tolist()
        keys = labels.strings("transaction_id").to_list()
        return list(map(SentLabel, rows, self.encoding.labels(labels), keys))


@dataclass
class Outgoing:
    """Makes blocks; one pass, one method of `from_…`."""

    encoding: Encoding
    keys: TokenKeys
    extra: Mapping[str, ColumnType] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.labels = LabelQueue(self.encoding)

    def add_labels(self, path: Path) -> None:
        """A file of labels. Raises InputError."""
        labels = read_all(read_labels(path), LABEL_COLUMNS)
        names = ("label_id", "transaction_id")
        ids = {name: tokenise_ids(labels.strings(name), self.keys) for name in names}
        self.labels.add(Batch({**labels.columns, **ids}))

    def from_file(self, path: Path) -> Iterator[Block]:
        """Its rows, valid or not, but for card numbers, which leave as tokens.

        The lines of a .jsonl file are sent as they are, whatever they hold, unless Avro is wanted.
        Raises InputError where the file cannot be read (on).
        """
        if ".jsonl" in path.suffixes[-2:]:
            yield from self._from_lines(path)
            return
        first = 1
        for batch in read_transactions(path, self.extra, SLICE_ROWS):
            yield from self._blocks(tokenise(batch, self.keys), range(first, first + len(batch)))
            first += len(batch)

    def from_simulation(
        self,
        slices: Iterable[Slice],
        reporting: Reporting | None,
        stamps: Callable[[int, int], NDArray[np.int64]] | None,
    ) -> Iterator[Block]:
        """Simulated traffic, with labels if `reporting` says how they come.

        stamps: event times (UTC ms, not falling) of n transactions from number i on, instead of the
        simulation's own.
        """
        first = 0
        for part in slices:
            stamped = part.transactions
            if stamps is not None:
                times = stamps(first, len(part))
                stamped = Batch({**stamped.columns, "event_time": times})
            if reporting is not None:
                self.labels.add(labels_of([Slice(stamped, part.truth)], reporting))
            yield from self._blocks(stamped, range(first, first + len(part)))
            first += len(part)

    def _blocks(self, batch: Batch, places: Sequence[int], what: str = "row") -> Iterator[Block]:
        """places: the number of each row in its file."""
        times = self._times(batch)
        for at in range(0, len(batch), ROWS_MAX):
            part = batch.slice(at, at + ROWS_MAX)
            rows, refused = self.encoding.encodable(part, tuple(REQUIRED))
            lines = list[str]()
            if refused:
                others = np.setdiff1d(np.arange(len(part)), rows).tolist()
                lines = [
                    f"{what} {places[at + row]}: {why}"
                    for row, why in zip(others, refused, strict=True)
                ]
                part = part.take(rows)
            yield self._block(part, times[at : at + ROWS_MAX][rows], lines)

    def _block(self, part: Batch, times: NDArray[np.int64], refused: list[str]) -> Block:
        payloads = self.encoding.transactions(part) if len(part) else []
        return Block(payloads, _holders(part), *self._labels_and(times, refused))

    def _labels_and(
        self, times: NDArray[np.int64], refused: list[str]
    ) -> tuple[list[SentLabel], list[str]]:
        told, self.labels.refused = [*self.labels.refused, *refused], []
        return self.labels.before(times), told

    def _times(self, batch: Batch) -> NDArray[np.int64]:
        """Event times; those of rows that will be dead letters move no front."""
        if not len(self.labels) or any(name not in batch for name in REQUIRED):
            return np.full(len(batch), NULL_INT)
        times = np.asarray(batch.numbers("event_time"), np.int64)
        return np.where(validate(batch).accepted, times, NULL_INT)

    def _from_lines(self, path: Path) -> Iterator[Block]:
        columns = {**COLUMNS, **self.extra}
        decoder = RowDecoder(columns, frozenset(REQUIRED), PAYLOAD_BYTES_MAX)
        for numbers, lines in _lines(path):
            if self.encoding.is_strict:
                batch, rows, faults = decoder.decode(lines)
                refused = [f"line {numbers[f.row]}: {f.reason}, {f.detail}" for f in faults]
                yield Block([], [], [], refused)
                yield from self._blocks(
                    tokenise(batch, self.keys), [numbers[row] for row in rows], "line"
                )
                continue
            times = np.full(len(lines), NULL_INT)
            if len(self.labels):
                batch, rows, _ = decoder.decode(lines)
                times[rows] = self._times(batch)
            keys = tokenise_ids(Strings.from_list(_holders_of(lines)), self.keys).to_list()
            yield Block(lines, keys, *self._labels_and(times, []))


def _lines(path: Path) -> Iterator[tuple[list[int], list[bytes]]]:
    """(their numbers, lines without their ends); empty ones are passed over."""
    opener = gzip.open if path.suffix == ".gz" else open
    with reading(path), cast(IO[bytes], opener(path, "rb")) as stream:
        numbers, lines, size, number = list[int](), list[bytes](), 0, 0
        while line := stream.readline(_LINE_BYTES_MAX + 1):
            number += 1
            if len(line) > _LINE_BYTES_MAX:
                raise InputError(f"line {number} has more than {_LINE_BYTES_MAX} bytes")
            if line.isspace():
                continue
            numbers.append(number)
            lines.append(line.removesuffix(b"\n"))
            size += len(line)
            if len(lines) == ROWS_MAX or size > _BLOCK_BYTES_MAX:
                yield numbers, lines
                numbers, lines, size = [], [], 0
        if number == 0:
            raise InputError("is empty: give a file with at least one row")
        if lines:
            yield numbers, lines


def _holders(batch: Batch) -> list[str | None]:
    """Per row the first of card, account and customer that it has, which is its key."""
    keys: list[str | None] = [None] * len(batch)
    for name in HOLDERS:
        if name in batch:
            keys = [
                key or value for key, value in zip(keys, batch.strings(name).to_list(), strict=True)
            ]
        if None not in keys:
            break
    return keys


class _Holders(msgspec.Struct):
    card_id: str | None = None
    account_id: str | None = None
    customer_id: str | None = None


_holders_in = msgspec.json.Decoder(_Holders)


def _holders_of(lines: Sequence[bytes]) -> list[str | None]:
    """As `_holders`; a line that is no transaction has none."""
    found: list[str | None] = []
    for line in lines:
        try:
            holders = _holders_in.decode(line)
        except (ValueError, RecursionError):
            found.append(None)
        else:
            found.append(holders.card_id or holders.account_id or holders.customer_id)
    return found


def _is_null(batch: Batch, name: str) -> NDArray[np.bool_]:
    if name not in batch:
        return np.ones(len(batch), np.bool_)
    column = batch.columns[name]
    if isinstance(column, Strings):
        return ~column.is_valid
    null: NDArray[np.bool_] = column == NULL_INT
    return null
