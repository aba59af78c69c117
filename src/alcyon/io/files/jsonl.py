"""JSON lines: one object per line, read by the same decoder as the topic's payloads."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import IO, cast

from alcyon.codecs.json import PAYLOAD_BYTES_MAX, encode
from alcyon.codecs.json_rows import RowDecoder
from alcyon.domain.columns import Batch, ColumnType
from alcyon.domain.errors import InputError

_ROWS_MAX = 2048
"""More at once only falls out of the processor's caches."""


def names(_path: Path) -> None:
    """None: every line has fields of its own."""


def read(
    path: Path, columns: Mapping[str, ColumnType], required: frozenset[str], rows_max: int
) -> Iterator[Batch]:
    """Slices of at most `rows_max` rows. Raises InputError naming the first line that is bad."""
    decoder = RowDecoder(columns, required, PAYLOAD_BYTES_MAX)
    opener = gzip.open if path.suffix == ".gz" else open
    with cast(IO[bytes], opener(path, "rb")) as stream:
        lines = ((number, line) for number, line in _lines(stream) if not line.isspace())
        while part := list(islice(lines, min(rows_max, _ROWS_MAX))):
            batch, _, faults = decoder.decode([line for _, line in part])
            if faults:
                fault = faults[0]
                raise InputError(f"line {part[fault.row][0]}: {fault.reason}, {fault.detail}")
            yield batch


def _lines(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines by number from 1; one beyond the bound is cut behind it, and refused when decoded."""
    number = 0
    while line := stream.readline(PAYLOAD_BYTES_MAX + 2):
        number += 1
        yield number, line
        if len(line) == PAYLOAD_BYTES_MAX + 2:
            return


def sink(stream: IO[bytes], columns: Mapping[str, ColumnType]) -> JsonLinesSink:
    """A sink for batches of `columns`."""
    return JsonLinesSink(stream, columns)


class JsonLinesSink:
    """Writes one object per record, nulls left out, times as milliseconds."""

    def __init__(self, stream: IO[bytes], columns: Mapping[str, ColumnType]) -> None:
        self._stream = stream
        self._names = tuple(columns)
        self._flags = {n for n, kind in columns.items() if kind is ColumnType.BOOLEAN}

    def write(self, batch: Batch) -> None:
        """Append the records."""
        known = Batch({n: batch.columns[n] for n in self._names if n in batch})
        self._stream.writelines(
            line + b"\n" for line in encode(known, self._flags & known.columns.keys())
        )

    def close(self) -> None:
        """Nothing is buffered here, and the format has no end."""
