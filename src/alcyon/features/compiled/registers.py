"""Columns and features as rows of float64, NaN for null: what programs and models read."""

from __future__ import annotations

import numpy as np

from alcyon.features.compiled.machine import Floats, Vectors, Word, Words, compiled

AS_INTEGER, AS_FLOAT, AS_CODE = 0, 1, 2


@compiled
def from_columns(column: Words, null: Word, out: Floats) -> None:
    """int64[n] to float64[n]."""
    for i in range(len(column)):
        out[i] = np.nan if column[i] == null else np.float64(column[i])


@compiled
def from_values(values: Words, kinds: Words, out: Floats) -> None:
    """The kernel's output int64[F, n] to float64[F, n]."""
    floats = values.view(np.float64)
    for f in range(values.shape[0]):
        if kinds[f] == AS_FLOAT:
            for i in range(values.shape[1]):
                out[f, i] = floats[f, i]
        else:
            null = np.int64(-(2**63)) if kinds[f] == AS_INTEGER else np.int64(0)
            for i in range(values.shape[1]):
                value = values[f, i]
                out[f, i] = np.nan if value == null else np.float64(value)


@compiled
def to_vectors(registers: Floats, rows: Words, out: Vectors) -> None:
    """Rows of float64[R, n] to feature vectors float32[n, len(rows)]."""
    for j in range(len(rows)):
        for i in range(registers.shape[1]):
            out[i, j] = np.float32(registers[rows[j], i])
