"""Columns: how a batch of records is held in memory.

A numeric column is a NumPy array; a string column is `Strings`, Arrow's layout (offsets into one
buffer of UTF-8 bytes), so that hashing and encoding never make a Python object per value.

Null: `NULL_INT` in int64 columns, NaN in float64 columns, `valid[i] == False` in strings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

NULL_INT = -(2**63)
"""The int64 that stands for null; validation refuses it as a value."""


class ColumnType(Enum):
    """The types a transaction's column can have; `INT` is int64, times are `INT` UTC ms."""

    STRING = "string"
    INT = "int"
    FLOAT = "float"
    BOOLEAN = "boolean"  # held as int64 0, 1 or NULL_INT


@dataclass(frozen=True, eq=False)
class Strings:
    """n strings: `data[offsets[i]:offsets[i + 1]]` is the UTF-8 of string i.

    offsets: int64[n + 1], not decreasing; data: uint8[offsets[n]]; valid: bool[n], or None when
    no value is null. A null has length 0. texts: the same values as Python strings, where
    whoever made the column had them and none is null.
    """

    offsets: NDArray[np.int64]
    data: NDArray[np.uint8]
    valid: NDArray[np.bool_] | None = None
    texts: tuple[str, ...] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def is_valid(self) -> NDArray[np.bool_]:
        """bool[n]: False where the value is null."""
        return np.ones(len(self), np.bool_) if self.valid is None else self.valid

    @classmethod
    def from_list(cls, values: Sequence[str | None]) -> Strings:
        """Encode Python strings; None is null.

        >>> Strings.from_list(["a", None, "é"]).to_list()
        ['a', None, 'é']
        """
        encoded = [b"" if v is None else v.encode() for v in values]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=offsets[1:])
        valid = None if None not in values else np.array([v is not None for v in values], np.bool_)
        return cls(offsets, np.frombuffer(b"".join(encoded), np.uint8), valid)

    @classmethod
    def nulls(cls, n: int) -> Strings:
        """n nulls."""
        return cls(np.zeros(n + 1, np.int64), np.empty(0, np.uint8), np.zeros(n, np.bool_))

    def to_list(self) -> list[str | None]:
        """The values as Python strings, null as None."""
        if self.texts is not None:
            return list(self.texts)
        raw, at = self.data.tobytes(), self.offsets.tolist()
        values = [raw[a:b].decode() for a, b in pairwise(at)]
        if self.valid is None:
            return list(values)
        return [v if ok else None for v, ok in zip(values, self.valid.tolist(), strict=True)]

    def take(self, rows: NDArray[np.integer]) -> Strings:
        """The values at `rows` (int[m]), in that order."""
        start, length = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(length, out=offsets[1:])
        source = np.arange(offsets[-1]) + np.repeat(start - offsets[:-1], length)
        valid = None if self.valid is None else self.valid[rows]
        return Strings(offsets, self.data[source], valid)

    def slice(self, start: int, stop: int) -> Strings:
        """Values [start, stop), without copying the bytes."""
        offsets = self.offsets[start : stop + 1]
        valid = None if self.valid is None else self.valid[start:stop]
        return Strings(offsets - offsets[0], self.data[offsets[0] : offsets[-1]], valid)


Column = NDArray[np.int64] | NDArray[np.float64] | Strings


@dataclass(frozen=True, eq=False)
class Batch:
    """Records held as columns of one length, by name."""

    columns: Mapping[str, Column]

    def __post_init__(self) -> None:
        if len({len(c) for c in self.columns.values()}) > 1:
            raise ValueError(
                f"columns differ in length: { {k: len(c) for k, c in self.columns.items()} }"
            )

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def numbers(self, name: str) -> NDArray[np.int64] | NDArray[np.float64]:
        """A numeric column; TypeError if it holds strings."""
        column = self.columns[name]
        if isinstance(column, Strings):
            raise TypeError(f"column {name} holds strings")
        return column

    def strings(self, name: str) -> Strings:
        """A string column; TypeError if it holds numbers."""
        column = self.columns[name]
        if not isinstance(column, Strings):
            raise TypeError(f"column {name} holds numbers")
        return column

    def take(self, rows: NDArray[np.integer]) -> Batch:
        """The records at `rows` (int[m]), in that order."""
        return Batch(
            {
                k: c.take(rows) if isinstance(c, Strings) else c[rows]
                for k, c in self.columns.items()
            }
        )

    def slice(self, start: int, stop: int) -> Batch:
        """Records [start, stop)."""
        stop = min(stop, len(self))
        return Batch(
            {
                k: c.slice(start, stop) if isinstance(c, Strings) else c[start:stop]
                for k, c in self.columns.items()
            }
        )


def concatenate(batches: Iterable[Batch]) -> Batch:
    """One batch of all records, in order; all batches must have the same columns."""
    parts = list(batches)
    names = parts[0].columns.keys()
    return Batch({name: _joined([b.columns[name] for b in parts]) for name in names})


def _joined(parts: list[Column]) -> Column:
    strings = [p for p in parts if isinstance(p, Strings)]
    if not strings:
        return np.concatenate([p for p in parts if not isinstance(p, Strings)])
    ends = np.cumsum([0, *(len(s.data) for s in strings)])
    offsets = [s.offsets[1:] + end for s, end in zip(strings, ends, strict=False)]
    valid = None
    if any(s.valid is not None for s in strings):
        valid = np.concatenate([s.is_valid for s in strings])
    return Strings(
        np.concatenate([np.zeros(1, np.int64), *offsets]),
        np.concatenate([s.data for s in strings]),
        valid,
    )
