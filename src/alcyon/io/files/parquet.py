"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from alcyon.domain.columns import Batch, ColumnType
from alcyon.io.files.arrow import schema, to_batch, to_record_batch


def names(path: Path) -> list[str]:
    """The file's columns."""
    with pq.ParquetFile(path) as file:
        return list(file.schema_arrow.names)


def read(
    path: Path, columns: Mapping[str, ColumnType], _required: frozenset[str], rows_max: int
) -> Iterator[Batch]:
    """Slices of at most `rows_max` rows."""
    with pq.ParquetFile(path) as file:
        wanted = [name for name in file.schema_arrow.names if name in columns]
        for found in file.iter_batches(batch_size=rows_max, columns=wanted):
            yield to_batch(found, columns)


def sink(stream: IO[bytes], columns: Mapping[str, ColumnType]) -> ParquetSink:
    """A sink for batches of `columns`."""
    return ParquetSink(stream, columns)


class ParquetSink:
    """Writes Parquet with Zstandard compression, a row group per batch."""

    def __init__(self, stream: IO[bytes], columns: Mapping[str, ColumnType]) -> None:
        self._columns = columns
        self._writer = pq.ParquetWriter(stream, schema(columns), compression="zstd")

    def write(self, batch: Batch) -> None:
        """Append the records."""
        self._writer.write_table(pa.Table.from_batches([to_record_batch(batch, self._columns)]))

    def close(self) -> None:
        """Write the footer; without it the file is none."""
        try:
            self._writer.close()
        finally:  # or its destructor would try again, on a stream that is closed by then
            self._writer.is_open = False
