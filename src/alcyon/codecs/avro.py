"""JSON and Avro payloads, mixed in any way, to columns; and columns to Avro.

A payload that begins with byte 0 is Avro in the wire format of a schema registry (byte 0, four
bytes of schema id, the body), everything else is JSON. Both are admitted by the same rules.

A writer's schema may be any record; its fields are taken by name. Unknown fields are passed over,
absent ones are null. Integers take int, long and floats without a fraction; times also
timestamp-millis, -micros, -nanos and RFC 3339 text; texts take string, bytes in UTF-8 and enum. A
union counts as what it holds. Decimals and local times are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from alcyon.codecs.avro_rows import AvroRows, Part
from alcyon.codecs.avro_writing import Plan, encoded, own_schema
from alcyon.codecs.json import PAYLOAD_BYTES_MAX, Decoded
from alcyon.codecs.json_rows import RowDecoder
from alcyon.domain.admission import Admitted, admit, admit_labels
from alcyon.domain.columns import NULL_INT, Batch, Column, ColumnType, Strings, concatenate
from alcyon.domain.currency import Rates
from alcyon.domain.label import LABEL_COLUMNS
from alcyon.domain.schemas import Schemas
from alcyon.domain.tokens import TokenKeys
from alcyon.domain.transaction import COLUMNS, REQUIRED
from alcyon.domain.validation import LABEL_REQUIRED, Fault

_LABELS = Plan(LABEL_COLUMNS, frozenset(LABEL_REQUIRED))


def _transactions(extra: Mapping[str, ColumnType] | None) -> Plan:
    return Plan({**COLUMNS, **(extra or {})}, frozenset(REQUIRED))


class MixedTransactionDecoder:
    """Decodes and admits transactions; made once, then used for every batch.

    extra: a detector's own columns, all optional. schemas: None where there is no registry; then
    every Avro record is a dead letter `unknown_schema`.
    """

    def __init__(
        self,
        keys: TokenKeys,
        rates: Rates,
        extra: Mapping[str, ColumnType] | None = None,
        payload_bytes_max: int = PAYLOAD_BYTES_MAX,
        schemas: Schemas | None = None,
    ) -> None:
        self._rows = _MixedRows(_transactions(extra), payload_bytes_max, schemas)
        self._keys, self._rates = keys, rates

    def decode(self, payloads: Sequence[bytes], refused: Collection[int] | None = None) -> Decoded:
        """Decode payloads; no bytes make it raise.

        refused: for payloads decided before, the places in `payloads` of those that became dead
        letters then; the Avro ones are refused again, though their schema be registered meanwhile.
        None for new payloads. UnreachableError: a schema cannot be had now, or one that payloads
        were decided with is gone; nothing was decoded, and a later call may succeed.
        """
        return self._rows.decode(
            payloads, refused, lambda batch: admit(batch, self._keys, self._rates)
        )


class MixedLabelDecoder:
    """Decodes and admits labels by the same rules."""

    def __init__(
        self,
        keys: TokenKeys,
        payload_bytes_max: int = PAYLOAD_BYTES_MAX,
        schemas: Schemas | None = None,
    ) -> None:
        self._rows = _MixedRows(_LABELS, payload_bytes_max, schemas)
        self._keys = keys

    def decode(self, payloads: Sequence[bytes], refused: Collection[int] | None = None) -> Decoded:
        """Decode payloads, as `MixedTransactionDecoder` does."""
        return self._rows.decode(payloads, refused, lambda batch: admit_labels(batch, self._keys))


class _MixedRows:
    def __init__(self, plan: Plan, payload_bytes_max: int, schemas: Schemas | None) -> None:
        self._plan = plan
        self._json = RowDecoder(plan.columns, plan.required, payload_bytes_max)
        self._avro = AvroRows(plan, payload_bytes_max, schemas)

    def decode(
        self,
        payloads: Sequence[bytes],
        refused: Collection[int] | None,
        admission: Callable[[Batch], Admitted],
    ) -> Decoded:
        if _has_avro(payloads):
            batch, rows, dead = self._mixed(payloads, refused)
        else:
            batch, rows, dead = self._json.decode(payloads)
        if not len(batch):
            return Decoded(batch, rows, dead)
        admitted = admission(batch)
        if not admitted.faults:
            return Decoded(admitted.batch, rows, dead)
        moved = [fault._replace(row=int(rows[fault.row])) for fault in admitted.faults]
        return Decoded(admitted.batch, rows[admitted.rows], sorted([*dead, *moved]))

    def _mixed(
        self, payloads: Sequence[bytes], refused: Collection[int] | None
    ) -> tuple[Batch, NDArray[np.int64], list[Fault]]:
        avro = {row: p for row, p in enumerate(payloads) if p[:1] == b"\0"}
        parts, dead = self._avro.decode(avro, refused)
        if len(avro) < len(payloads):
            places = [row for row in range(len(payloads)) if row not in avro]
            batch, rows, faults = self._json.decode([payloads[row] for row in places])
            parts.append(Part(batch, np.array(places, np.int64)[rows]))
            dead = sorted([*dead, *(f._replace(row=places[f.row]) for f in faults)])
        parts = [part for part in parts if len(part.batch)]
        if not parts:
            return self._json.decode([])[0], np.empty(0, np.int64), dead
        if len(parts) == 1:
            return parts[0].batch, parts[0].rows, dead
        rows = np.concatenate([part.rows for part in parts])
        order = np.argsort(rows)
        batch = concatenate(self._aligned([part.batch for part in parts])).take(order)
        return batch, rows[order], dead

    def _aligned(self, batches: Sequence[Batch]) -> list[Batch]:
        """The batches with the same columns, those that any of them has, in canonical order."""
        kept = {
            name: kind
            for name, kind in self._plan.columns.items()
            if any(name in batch for batch in batches)
        }
        return [
            Batch(
                {
                    name: batch.columns[name] if name in batch else _nulls(kind, len(batch))
                    for name, kind in kept.items()
                }
            )
            for batch in batches
        ]


def _has_avro(payloads: Sequence[bytes]) -> bool:
    """Whether any payload begins with byte 0: then the smallest does, or an empty one."""
    if not payloads:
        return False
    smallest = min(payloads)
    return smallest[:1] == b"\0" or (not smallest and any(p[:1] == b"\0" for p in payloads))


def _nulls(kind: ColumnType, n: int) -> Column:
    if kind is ColumnType.STRING:
        return Strings.nulls(n)
    return np.full(n, np.nan) if kind is ColumnType.FLOAT else np.full(n, NULL_INT, np.int64)


def transaction_schema(extra: Mapping[str, ColumnType] | None = None) -> str:
    """The Avro schema that `encode_avro` writes with, as JSON, to be registered."""
    return own_schema("Transaction", _transactions(extra))


def label_schema() -> str:
    """The Avro schema that `encode_labels_avro` writes with, as JSON, to be registered."""
    return own_schema("Label", _LABELS)


def encode_avro(
    batch: Batch, schema_id: int, extra: Mapping[str, ColumnType] | None = None
) -> list[bytes]:
    """One payload per transaction, written with `transaction_schema(extra)` as `schema_id`."""
    return encoded(batch, schema_id, _transactions(extra))


def encode_labels_avro(batch: Batch, schema_id: int) -> list[bytes]:
    """One payload per label, written with `label_schema()` as `schema_id`."""
    return encoded(batch, schema_id, _LABELS)
