"""What `Kernel.observe` returns: each transaction's place and its features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import Column, ColumnType
from alcyon.features.compiled.registers import to_vectors
from alcyon.features.layout import Layout

if TYPE_CHECKING:
    from alcyon.features.kernel import Kernel


@dataclass(frozen=True, eq=False)
class Observed:
    """n transactions. `status` is one of compiled.observe's ACCEPTED, LATE, FUTURE, …"""

    kernel_layout: Layout
    names: tuple[str, ...]
    status: NDArray[np.int64]
    sequences: NDArray[np.int64]
    first: NDArray[np.int64]
    """Sequence of the transaction a duplicate repeats, else -1."""
    fronts: NDArray[np.int64]
    values: NDArray[np.int64]
    """int64[F, n]: windowed features, exact; `Layout.nulls` stands for null."""
    registers: NDArray[np.float64]
    """float64[R, n]: columns and features by `names`, NaN is null, strings are codes."""
    labels_used: int
    label_status: NDArray[np.int64]
    codes: NDArray[np.int64]

    def vectors(self) -> NDArray[np.float32]:
        """float32[n, M]: the model's features in catalog order, NaN is null."""
        out = np.empty((len(self.status), len(self.kernel_layout.model_rows)), np.float32)
        to_vectors(self.registers, self.kernel_layout.model_rows, out)
        return out

    def column(self, name: str, kernel: Kernel) -> Column:
        """One feature, exact, as a column of its own type; before the next batch."""
        layout = self.kernel_layout
        kind = layout.catalog.types[name]
        if name in layout.catalog.expressions:
            register: NDArray[np.float64] = self.registers[self.names.index(name)]
            if kind is ColumnType.FLOAT:
                return register
            codes = np.nan_to_num(register, nan=_null_of(kind)).astype(np.int64)
            return codes if kind is ColumnType.BOOLEAN else kernel.texts(codes)
        values: NDArray[np.int64] = self.values[[f.name for f in layout.windowed].index(name)]
        if kind is ColumnType.STRING:
            return kernel.texts(values)
        return values.view(np.float64) if kind is ColumnType.FLOAT else values


def _null_of(kind: ColumnType) -> float:
    return 0.0 if kind is ColumnType.STRING else -(2.0**63)
