"""A batch as the kernel wants it: keys of ids, integers, codes, labels."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import NULL_INT, Batch, Strings
from alcyon.features.aggregation import Entity
from alcyon.features.compiled import hashing, observe
from alcyon.features.layout import Layout

if TYPE_CHECKING:
    from alcyon.features.kernel import LabelRows

_MAGNITUDE = np.int64(2**63 - 1)
_FILLED_AT_INGEST = "amount_base_minor"


@cache
def _salt(name: str) -> int:
    return zlib.crc32(name.encode()) << 20


def ordered(numbers: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.int64]:
    """Float64 as int64 of the same order, NaN as NULL_INT; int64 as it is."""
    if numbers.dtype == np.int64:
        return numbers.view(np.int64)
    floats = numbers.view(np.float64)
    bits = floats.view(np.int64)
    bits = np.where(bits < 0, bits ^ _MAGNITUDE, bits)
    return np.where(np.isnan(floats), NULL_INT, bits)


class Keys:
    """128-bit keys int64[2, n] of a batch's ids; (0, 0) is null."""

    def __init__(self, key: NDArray[np.uint64], entities: Sequence[Entity]) -> None:
        self._key = key
        self._entities = entities
        self._ones = np.ones(0, np.bool_)
        self.payload = np.empty(0, np.int64)
        """int64[n]: what tells two payloads under one id apart, of the last batch."""

    def of_strings(self, column: Strings) -> NDArray[np.int64]:
        """Keys of one string column."""
        return self._hashed(column, 0, np.zeros(len(column), np.int64))

    def of_numbers(self, column: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.int64]:
        """Keys of one integer column."""
        out = np.empty((2, len(column)), np.int64)
        hashing.hash_integers(ordered(column), NULL_INT, out)
        return out

    def _hashed(self, column: Strings, salt: int, payload: NDArray[np.int64]) -> NDArray[np.int64]:
        n = len(payload)
        if column.valid is not None:
            valid = column.valid
        else:  # one array of ones for all columns of a batch
            if len(self._ones) != n:
                self._ones = np.ones(n, np.bool_)
            valid = self._ones
        out = np.empty((2, n), np.int64)
        hashing.hash_strings(column.offsets, column.data, valid, self._key, salt, out, payload)
        return out

    def of_batch(self, batch: Batch) -> dict[str, NDArray[np.int64]]:
        """Keys of every string column; fills `payload` from all columns but derived ones."""
        self.payload = np.zeros(len(batch), np.int64)
        hashed = {}
        floats: dict[str, NDArray[np.float64]] = {}
        for name, column in batch.columns.items():
            if isinstance(column, Strings):
                hashed[name] = self._hashed(column, _salt(name), self.payload)
            elif column.dtype != np.int64:
                floats[name] = column.view(np.float64)
            elif name != _FILLED_AT_INGEST:
                integers = column.view(np.int64)
                hashing.add_to_payload(integers, NULL_INT, _salt(name), self.payload)
        if floats:  # turned to integers in one go: the sum of the payload has no order
            for name, bits in zip(floats, ordered(np.array([*floats.values()])), strict=True):
                hashing.add_to_payload(bits, NULL_INT, _salt(name), self.payload)
        for entity in self._entities:
            for name in entity.columns:
                if name not in hashed and name in batch:
                    hashed[name] = self.of_numbers(batch.numbers(name))
        return hashed

    def of_entity(
        self, entity: Entity, hashed: dict[str, NDArray[np.int64]], n: int
    ) -> NDArray[np.int64]:
        """Keys of an entity, null where any of its columns is."""
        if any(name not in hashed for name in entity.columns):
            return np.zeros((2, n), np.int64)
        if len(entity.columns) == 1:
            return hashed[entity.columns[0]]
        out = np.empty((2, n), np.int64)
        hashing.combine(np.stack([hashed[name] for name in entity.columns]), out)
        return out


def as_integers(batch: Batch, names: Sequence[str]) -> NDArray[np.int64]:
    """Numeric columns as int64[len(names), n] in their own order; absent ones are null."""
    out = np.empty((len(names), len(batch)), np.int64)
    for row, name in enumerate(names):
        if name not in batch:
            out[row] = NULL_INT
        else:
            out[row] = ordered(batch.numbers(name))
    return out


def code_inputs(layout: Layout, also: Sequence[str]) -> tuple[str, ...]:
    """Columns to turn into codes: those windows hold, then strings that programs read."""
    strings = (
        name for name in (*layout.transaction_columns, *also) if name in layout.string_columns
    )
    return tuple(dict.fromkeys((*layout.code_columns, *strings)))


def label_ids(labels: LabelRows, keys: Keys, label_entities: int) -> observe.Labels:
    """Labels as the compiled kernel reads them."""
    k = len(labels.due)
    return observe.Labels(
        ids=keys.of_strings(labels.transaction_ids),
        is_fraud=np.ascontiguousarray(labels.is_fraud, np.int64),
        due=np.ascontiguousarray(labels.due, np.int64),
        sequences=np.zeros(k, np.int64),
        status=np.zeros(k, np.int64),
        flips=np.zeros((k, observe.FLIP_KEYS + 2 * label_entities), np.int64),
    )
