"""Reading files slice by slice, so that memory does not grow with the file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

import numpy as np

from alcyon.domain.columns import NULL_INT, Batch, Column, ColumnType, Strings, concatenate
from alcyon.domain.errors import InputError
from alcyon.domain.label import LABEL_COLUMNS
from alcyon.domain.transaction import COLUMNS, HOLDERS, REQUIRED
from alcyon.domain.validation import LABEL_REQUIRED
from alcyon.io.files.failures import reading
from alcyon.io.files.formats import format_of

ROWS_MAX = 65_536
"""Rows of one slice."""
_EMPTY = "is empty: give a file with at least one row"


def read_transactions(
    path: Path, extra: Mapping[str, ColumnType] | None = None, rows_max: int = ROWS_MAX
) -> Iterator[Batch]:
    """Slices of canonical transactions, not yet admitted; unknown columns are left out.

    extra: columns to read beside the canonical ones, such as a detector's or `sequence`.
    Raises InputError when the file or one of its columns cannot be used.
    """
    columns = {**COLUMNS, **(extra or {})}
    return read(path, columns, frozenset(REQUIRED), one_of=HOLDERS, rows_max=rows_max)


def read_labels(
    path: Path, extra: Mapping[str, ColumnType] | None = None, rows_max: int = ROWS_MAX
) -> Iterator[Batch]:
    """Slices of labels, not yet admitted."""
    columns = {**LABEL_COLUMNS, **(extra or {})}
    return read(path, columns, frozenset(LABEL_REQUIRED), rows_max=rows_max)


def read(
    path: Path,
    columns: Mapping[str, ColumnType],
    required: frozenset[str] = frozenset(),
    one_of: Collection[str] = (),
    rows_max: int = ROWS_MAX,
) -> Iterator[Batch]:
    """Slices of at most `rows_max` rows with those of `columns` that the file has.

    Raises InputError, in one line with a remedy, when the file is missing, empty, damaged, of
    another format than its suffix, lacks a required column or all of `one_of`, or has a column
    of another type.
    """
    with reading(path):
        form, _ = format_of(path)
        if path.stat().st_size == 0:
            raise InputError(_EMPTY)
        _check_names(form.names(path), required, one_of)
        yield from _not_empty(form.read(path, columns, required, rows_max))


def read_lenient(
    path: Path,
    columns: Mapping[str, ColumnType],
    required: frozenset[str],
    rows_max: int = ROWS_MAX,
) -> Iterator[Batch]:
    """As `read`, but a value of a csv file that is not of its column's type is null."""
    if ".csv" not in [suffix.lower() for suffix in path.suffixes[-2:]]:
        yield from read(path, columns, required, rows_max=rows_max)
        return
    with reading(path):
        form, _ = format_of(path)
        if path.stat().st_size == 0:
            raise InputError(_EMPTY)
        _check_names(form.names(path), required, ())
        from alcyon.io.files.csv import read_lenient as lenient

        yield from _not_empty(lenient(path, columns, rows_max))


def _not_empty(slices: Iterator[Batch]) -> Iterator[Batch]:
    first = next(slices, None)
    if first is None:
        raise InputError("has no rows: give a file with at least one")
    yield from chain((first,), slices)


def read_all(slices: Iterable[Batch], columns: Mapping[str, ColumnType]) -> Batch:
    """All slices as one batch; a column that only some have is null in the others."""
    parts = list(slices)
    names = [name for name in columns if any(name in part for part in parts)]
    return concatenate(
        Batch({n: p.columns[n] if n in p else _nulls(columns[n], len(p)) for n in names})
        for p in parts
    )


def _nulls(kind: ColumnType, n: int) -> Column:
    if kind is ColumnType.STRING:
        return Strings.nulls(n)
    return np.full(n, np.nan) if kind is ColumnType.FLOAT else np.full(n, NULL_INT, np.int64)


def _check_names(
    names: list[str] | None, required: frozenset[str], one_of: Collection[str]
) -> None:
    if names is None:
        return
    absent = sorted(required - set(names))
    if absent:
        raise InputError(f"has no column {', '.join(absent)}: every row needs it")
    if one_of and not set(one_of) & set(names):
        raise InputError(f"has no column {' or '.join(one_of)}: one of them is needed")
