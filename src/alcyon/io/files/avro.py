"""Avro object container files: times as timestamp-millis, every field but the required nullable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import IO

import fastavro
import fastavro.write
import pyarrow as pa

from alcyon.domain.columns import Batch, ColumnType
from alcyon.domain.errors import InputError
from alcyon.io.files.arrow import TIMES, to_column, to_record_batch

_TYPES = {
    ColumnType.STRING: "string",
    ColumnType.INT: "long",
    ColumnType.FLOAT: "double",
    ColumnType.BOOLEAN: "boolean",
}
_TIME = {"type": "long", "logicalType": "timestamp-millis"}


def names(path: Path) -> list[str]:
    """The file's fields. Raises InputError when its schema is no record."""
    with path.open("rb") as stream:
        written = fastavro.reader(stream).writer_schema
    if not isinstance(written, dict) or written.get("type") != "record":
        raise InputError("its Avro schema is no record")
    return [field["name"] for field in written["fields"]]


def read(
    path: Path, columns: Mapping[str, ColumnType], _required: frozenset[str], rows_max: int
) -> Iterator[Batch]:
    """Slices of at most `rows_max` rows."""
    wanted = [name for name in names(path) if name in columns]
    with path.open("rb") as stream:
        records = fastavro.reader(stream)
        while part := list(islice(records, rows_max)):
            yield Batch(
                {
                    name: to_column(name, pa.array([r[name] for r in part]), columns[name])
                    for name in wanted
                }
            )


def sink(stream: IO[bytes], columns: Mapping[str, ColumnType]) -> AvroSink:
    """A sink for batches of `columns`."""
    return AvroSink(stream, columns)


class AvroSink:
    """Writes an Avro container with deflate compression."""

    def __init__(self, stream: IO[bytes], columns: Mapping[str, ColumnType]) -> None:
        self._columns = columns
        fields = [
            {"name": name, "type": ["null", _TIME if name in TIMES else _TYPES[kind]]}
            for name, kind in columns.items()
        ]
        record = {"type": "record", "name": "Record", "fields": fields}
        self._writer = fastavro.write.Writer(stream, record, codec="deflate")

    def write(self, batch: Batch) -> None:
        """Append the records."""
        for record in to_record_batch(batch, self._columns).to_pylist():
            self._writer.write(record)

    def close(self) -> None:
        """Write the last block."""
        self._writer.flush()
