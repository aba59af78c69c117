"""Tables that grow at one end and lose what is oldest: columns of bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS_FIRST = 1024
SLACK = 1.25
"""Rows are dropped together, once a quarter more than wanted are there: so each is moved seldom."""


class Table:
    """The newest rows, `rows_max` of them at least once so many were added, in order of arrival.

    columns: dtype and width by name; width 0 is int[n], another int[n, width]. A row keeps its
    number, counted from the first ever added.
    """

    def __init__(self, columns: Mapping[str, tuple[str, int]], rows_max: int) -> None:
        self._rows_max = rows_max
        self._columns: dict[str, NDArray[Any]] = {
            name: np.empty((ROWS_FIRST, width) if width else ROWS_FIRST, dtype)
            for name, (dtype, width) in columns.items()
        }
        self._start, self._stop = 0, 0
        self.first = 0
        """The number of the oldest row there is."""

    def __len__(self) -> int:
        return self._stop - self._start

    @property
    def next(self) -> int:
        """The number of the next row."""
        return self.first + len(self)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column, [n], to be read only, until the next `append`."""
        return self._columns[name][self._start : self._stop]

    def append(self, rows: Mapping[str, NDArray[Any]]) -> int:
        """Add rows, every column given; the number of the first of them."""
        n, number = len(next(iter(rows.values()))), self.next
        self._make_room(n)
        for name, column in self._columns.items():
            column[self._stop : self._stop + n] = rows[name]
        self._stop += n
        if len(self) > self._rows_max * SLACK:
            dropped = len(self) - self._rows_max
            self._start, self.first = self._start + dropped, self.first + dropped
        return number

    def replace(self, name: str, numbers: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Set a column's values in the rows of these numbers, which are there."""
        self[name][numbers - self.first] = values

    def _make_room(self, n: int) -> None:
        size = len(next(iter(self._columns.values())))
        if self._stop + n <= size:
            return
        kept = len(self)
        wanted = size if kept + n <= size // 2 else max(2 * (kept + n), ROWS_FIRST)
        for name, column in self._columns.items():
            grown = np.empty((wanted, *column.shape[1:]), column.dtype)
            grown[:kept] = column[self._start : self._stop]
            self._columns[name] = grown
        self._start, self._stop = 0, kept
