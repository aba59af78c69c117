"""Polled records: split at control records, decoded, the undecodable told apart."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alcyon.codecs.avro import MixedLabelDecoder, MixedTransactionDecoder
from alcyon.codecs.json import Decoded
from alcyon.domain.columns import Batch
from alcyon.domain.record import DeadLetter, Record, Topic
from alcyon.domain.tokens import mask
from alcyon.features.kernel import LabelRows

_MASKED_MAX = 256
"""More bytes than a card number takes, separators and escapes included."""


class Bounds(NamedTuple):
    """How much of a dead letter is kept, and how far an event time may lie ahead of the log's
    clock."""

    dead_letter_bytes_max: int
    future_max_ms: int


class Part(NamedTuple):
    """Transactions and labels in a row, decided in one go, and the control record behind them."""

    records: Sequence[Record]
    first_sequence: int
    control: Record | None

    @property
    def control_sequence(self) -> int:
        """The sequence of `control`."""
        return self.first_sequence + len(self.records)

    def letter(self, sequence: int, reason: str, detail: str, bytes_max: int) -> DeadLetter:
        """The dead letter for one of this part's records."""
        at = sequence - self.first_sequence
        record = self.control if at == len(self.records) else self.records[at]
        assert record is not None
        kept = _kept(record.payload, bytes_max)
        return DeadLetter(sequence, record.topic.name, record.position, reason, mask(detail), kept)


@dataclass(frozen=True, eq=False)
class DecodedPart:
    """A part as columns."""

    part: Part
    transactions: Batch
    sequences: NDArray[np.int64]
    """int64[n]: of each transaction."""
    labels: LabelRows
    latest: NDArray[np.int64] | None
    """int64[n]: of each transaction the newest event time that is not in the future; None where
    the log has no clock."""
    dead: list[DeadLetter]
    """The records that are neither, transactions first."""


def parts(records: Sequence[Record], first_sequence: int) -> Iterator[Part]:
    """Split at control records only; the last part has none behind it."""
    start = 0
    for at, record in enumerate(records):
        if record.topic is Topic.CONTROL:
            yield Part(records[start:at], first_sequence + start, record)
            start = at + 1
    if start < len(records):
        yield Part(records[start:], first_sequence + start, None)


def decode_part(
    part: Part,
    transactions: MixedTransactionDecoder,
    labels: MixedLabelDecoder,
    bounds: Bounds,
    refused: Collection[int] | None,
) -> DecodedPart:
    """Decode a part; what cannot be decoded becomes a dead letter.

    refused: of records that were decided before, the sequences of those that became dead letters
    then; None for new ones. UnreachableError: the schema registry is needed, and away.
    """
    bytes_max = bounds.dead_letter_bytes_max
    of_transactions = [k for k, r in enumerate(part.records) if r.topic is Topic.TRANSACTIONS]
    of_labels = [k for k, r in enumerate(part.records) if r.topic is Topic.LABELS]
    decoded = transactions.decode(
        [part.records[k].payload for k in of_transactions], _among(part, of_transactions, refused)
    )
    decoded_labels = labels.decode(
        [part.records[k].payload for k in of_labels], _among(part, of_labels, refused)
    )
    sequences = np.array(of_transactions, np.int64) + part.first_sequence
    label_sequences = np.array(of_labels, np.int64) + part.first_sequence
    return DecodedPart(
        part,
        decoded.batch,
        sequences[decoded.rows],
        _label_rows(decoded_labels, label_sequences),
        _latest(part.records, of_transactions, decoded.rows, bounds.future_max_ms),
        [
            part.letter(int(places[fault.row]), fault.reason, fault.detail, bytes_max)
            for found, places in ((decoded, sequences), (decoded_labels, label_sequences))
            for fault in found.dead
        ],
    )


def _among(
    part: Part, places: Sequence[int], refused: Collection[int] | None
) -> Collection[int] | None:
    """Which of the records at `places` were refused, by their number among these."""
    if not refused:
        return refused
    return {i for i, k in enumerate(places) if part.first_sequence + k in refused}


def _latest(
    records: Sequence[Record],
    of_transactions: Sequence[int],
    rows: NDArray[np.int64],
    future_max_ms: int,
) -> NDArray[np.int64] | None:
    if not of_transactions or records[of_transactions[0]].time is None:
        return None
    times = [records[k].time for k in of_transactions]
    return np.array(times, np.int64)[rows] + future_max_ms


def _label_rows(decoded: Decoded, sequences: NDArray[np.int64]) -> LabelRows:
    is_fraud = np.asarray(decoded.batch.numbers("is_fraud"), np.int64)
    return LabelRows(decoded.batch.strings("transaction_id"), is_fraud, sequences[decoded.rows])


def _kept(payload: bytes, bytes_max: int) -> bytes:
    """At most `bytes_max` bytes, card numbers masked, one across the cut too."""
    if len(payload) <= bytes_max + _MASKED_MAX:
        return mask(payload)[:bytes_max]
    # Masked with a margin, which then goes: a number cut in two would not be known as one.
    masked = mask(payload[: bytes_max + _MASKED_MAX])
    return masked[: min(bytes_max, len(masked) - _MASKED_MAX)]
