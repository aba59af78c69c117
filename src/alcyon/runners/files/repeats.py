"""Repeats: a transaction that comes again gets the features of the first time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import NULL_INT, Batch, Column, ColumnType, Strings, concatenate
from alcyon.features.compiled.observe import CONFLICTING, DUPLICATE
from alcyon.features.observed import Observed


@dataclass(frozen=True, eq=False)
class _Kept:
    """Rows of the past with their features; sequences: int64[m], rising."""

    features: Batch
    sequences: NDArray[np.int64]
    front: int


class Repeats:
    """Keeps features as long as their transactions can be repeated.

    Memory: the rows of `horizon_ms` of event time × 8 bytes per feature, less than the kernel's
    own state.
    """

    def __init__(self, horizon_ms: int, types: Mapping[str, ColumnType]) -> None:
        self._horizon_ms = horizon_ms
        self._nulls = Batch({name: _null(kind) for name, kind in types.items()})
        self._kept: deque[_Kept] = deque()

    def spread(self, features: Batch, observed: Observed, rows: NDArray[np.int64], n: int) -> Batch:
        """n rows: those of `features` at `rows` int64[m], nulls elsewhere and for conflicts."""
        m = len(rows)
        at, recalled = self._sources(observed)
        self._keep(features, observed)
        if m == n and recalled is None and (at == np.arange(m)).all():
            return features
        pool = [features, self._nulls] if recalled is None else [features, recalled, self._nulls]
        everything = concatenate(pool)
        index = np.full(n, len(everything) - 1)
        index[rows] = np.where(at < 0, len(everything) - 1, at)
        return everything.take(index)

    def _sources(self, observed: Observed) -> tuple[NDArray[np.int64], Batch | None]:
        """Where each record's features are: its own place, or that of the one it repeats (from m
        on: in the batch returned); -1 for none."""
        m = len(observed.status)
        at = np.arange(m)
        at[observed.status == CONFLICTING] = -1
        repeats = np.flatnonzero(observed.status == DUPLICATE)
        if not len(repeats):
            return at, None
        first = observed.first[repeats]
        is_here = first >= observed.sequences[0]
        at[repeats[is_here]] = np.searchsorted(observed.sequences, first[is_here])
        earlier = repeats[~is_here]
        if not len(earlier):
            return at, None
        at[earlier] = m + np.arange(len(earlier))
        return at, self._recalled(first[~is_here])

    def _recalled(self, sequences: NDArray[np.int64]) -> Batch:
        """The kept features of these transactions, in this order."""
        parts, places = [], []
        for kept in self._kept:
            low, high = kept.sequences[0], kept.sequences[-1]
            inside = np.flatnonzero((sequences >= low) & (sequences <= high))
            if len(inside):
                rows = np.searchsorted(kept.sequences, sequences[inside])
                parts.append(kept.features.take(rows))
                places.append(inside)
        order = np.argsort(np.concatenate(places), kind="stable")
        return concatenate(parts).take(order)

    def _keep(self, features: Batch, observed: Observed) -> None:
        if not len(features):
            return
        front = int(observed.fronts[-1])
        while self._kept and front - self._kept[0].front > self._horizon_ms:
            self._kept.popleft()
        self._kept.append(_Kept(features, observed.sequences, front))


def _null(kind: ColumnType) -> Column:
    if kind is ColumnType.STRING:
        return Strings.nulls(1)
    return np.full(1, np.nan) if kind is ColumnType.FLOAT else np.full(1, NULL_INT, np.int64)
