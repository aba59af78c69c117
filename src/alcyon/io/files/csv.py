"""CSV files with a header: an empty field is null, a quoted empty one is `''`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from alcyon.domain.columns import Batch, ColumnType
from alcyon.io.files.arrow import TIMES, schema, to_batch, to_record_batch

_PARSE = pacsv.ParseOptions(newlines_in_values=True)


def names(path: Path) -> list[str]:
    """The file's columns."""
    with pa.input_stream(str(path)) as stream:
        return list(pacsv.open_csv(stream, parse_options=_PARSE).schema.names)


def read(
    path: Path, columns: Mapping[str, ColumnType], _required: frozenset[str], rows_max: int
) -> Iterator[Batch]:
    """Slices of at most `rows_max` rows."""
    convert = pacsv.ConvertOptions(
        include_columns=[name for name in names(path) if name in columns],
        column_types=_types(columns),
        # Arrow's own list of nulls has NA, which is Namibia.
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        true_values=["true", "True", "TRUE", "1"],
        false_values=["false", "False", "FALSE", "0"],
    )
    with pa.input_stream(str(path)) as stream:
        for found in pacsv.open_csv(stream, parse_options=_PARSE, convert_options=convert):
            for start in range(0, len(found), rows_max):
                yield to_batch(found.slice(start, rows_max), columns)


def read_lenient(path: Path, columns: Mapping[str, ColumnType], rows_max: int) -> Iterator[Batch]:
    """As `read`, but a value that is not of its column's type is null."""
    convert = pacsv.ConvertOptions(
        include_columns=[name for name in names(path) if name in columns],
        column_types=dict.fromkeys(columns, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    with pa.input_stream(str(path)) as stream:
        for text in pacsv.open_csv(stream, parse_options=_PARSE, convert_options=convert):
            arrays = [_lenient(text[name], columns[name]) for name in text.schema.names]
            found = pa.RecordBatch.from_arrays(arrays, text.schema.names)
            for start in range(0, len(found), rows_max):
                yield to_batch(found.slice(start, rows_max), columns)


_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_WHOLE = r"^[+-]?\d{1,18}$"


def _lenient(text: pa.Array, kind: ColumnType) -> pa.Array:
    """Text as numbers; where integers are wanted, times become milliseconds."""
    if kind is ColumnType.STRING:
        return text
    pattern, wanted = (_NUMBER, pa.float64()) if kind is ColumnType.FLOAT else (_WHOLE, pa.int64())
    fits = pc.match_substring_regex(text, pattern)
    numbers = pc.if_else(fits, text, None).cast(wanted)
    if kind is ColumnType.FLOAT or pc.all(pc.fill_null(fits, True)).as_py():
        return numbers
    spaced = pc.replace_substring(text, "T", " ")
    times = pc.strptime(spaced, format="%Y-%m-%d %H:%M:%S", unit="ms", error_is_null=True)
    return pc.coalesce(numbers, times.cast(pa.int64()))


def _types(columns: Mapping[str, ColumnType]) -> dict[str, pa.DataType]:
    """What Arrow is to parse; times are text here, since their form is not known yet."""
    return {
        field.name: pa.string() if field.name in TIMES else field.type for field in schema(columns)
    }


def sink(stream: IO[bytes], columns: Mapping[str, ColumnType]) -> CsvSink:
    """A sink for batches of `columns`."""
    return CsvSink(stream, columns)


class CsvSink:
    """Writes CSV with a header; times in ISO 8601 with their zone."""

    def __init__(self, stream: IO[bytes], columns: Mapping[str, ColumnType]) -> None:
        self._columns = columns
        self._writer = pacsv.CSVWriter(stream, schema(columns))

    def write(self, batch: Batch) -> None:
        """Append the records."""
        self._writer.write_batch(to_record_batch(batch, self._columns))

    def close(self) -> None:
        """Write what is buffered."""
        self._writer.close()
