"""Arrow arrays to our columns and back; what does not fit is refused by name, never guessed.

Times may have any unit and zone; without a zone they are UTC. Sub-millisecond parts are cut off.
Where integers are asked for and the file has timestamps, they are milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from alcyon.domain.columns import NULL_INT, Batch, Column, ColumnType, Strings
from alcyon.domain.errors import InputError

TIMES = ("event_time", "labelled_at")
"""Columns that are times: int64 milliseconds in memory, timestamps in files that have them."""

_TIMESTAMP = pa.timestamp("ms", tz="UTC")
_NEEDED = {
    ColumnType.STRING: "strings",
    ColumnType.INT: "integers",
    ColumnType.FLOAT: "numbers",
    ColumnType.BOOLEAN: "booleans",
}


def schema(columns: Mapping[str, ColumnType]) -> pa.Schema:
    """The Arrow schema that files are written with."""
    types = {
        ColumnType.STRING: pa.string(),
        ColumnType.INT: pa.int64(),
        ColumnType.FLOAT: pa.float64(),
        ColumnType.BOOLEAN: pa.bool_(),
    }
    return pa.schema(
        [(name, _TIMESTAMP if name in TIMES else types[kind]) for name, kind in columns.items()]
    )


def to_record_batch(batch: Batch, columns: Mapping[str, ColumnType]) -> pa.RecordBatch:
    """`batch` in the schema of `columns`; a column it lacks is null throughout."""
    wanted = schema(columns)
    arrays = [
        _to_array(batch.columns[field.name], field.type)
        if field.name in batch
        else pa.nulls(len(batch), field.type)
        for field in wanted
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=wanted)


def _to_array(column: Column, wanted: pa.DataType) -> pa.Array:
    if isinstance(column, Strings):
        valid = None
        if column.valid is not None:
            valid = pa.py_buffer(np.packbits(column.valid, bitorder="little"))
        buffers = [
            valid,
            pa.py_buffer(np.ascontiguousarray(column.offsets)),
            pa.py_buffer(np.ascontiguousarray(column.data)),
        ]
        return pa.Array.from_buffers(pa.large_string(), len(column), buffers).cast(wanted)
    null = np.isnan(column) if column.dtype == np.float64 else column == NULL_INT
    if wanted == pa.bool_():
        return pa.array(column == 1, mask=null)
    return pa.array(column, mask=null).cast(wanted)


def to_batch(found: pa.RecordBatch, columns: Mapping[str, ColumnType]) -> Batch:
    """The columns of `found` that are asked for. Raises InputError where a type does not fit."""
    return Batch(
        {
            name: to_column(name, found.column(name), columns[name])
            for name in found.schema.names
            if name in columns
        }
    )


def to_column(name: str, array: pa.Array, kind: ColumnType) -> Column:
    """One column. Raises InputError naming it and the type needed where it does not fit."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    try:
        if kind is ColumnType.STRING:
            return _to_strings(name, array)
        if name in TIMES or (kind is ColumnType.INT and pa.types.is_timestamp(array.type)):
            return _to_times(name, array)
        return _to_numbers(name, array, kind)
    except pa.ArrowInvalid as error:
        raise InputError(f"column {name} cannot be read as {_NEEDED[kind]}: {error}") from error


def _misfit(name: str, array: pa.Array, needed: str) -> InputError:
    hint = "; money is integer minor units, such as cents" if name.endswith("_minor") else ""
    return InputError(f"column {name} holds {array.type}, but {needed} are needed: cast it{hint}")


def _to_strings(name: str, array: pa.Array) -> Strings:
    types = pa.types
    fits = types.is_string(array.type) or types.is_large_string(array.type)
    if not (fits or types.is_null(array.type) or types.is_string_view(array.type)):
        raise _misfit(name, array, "strings")
    # Arrow lets a null have bytes; our nulls have none.
    text = array.cast(pa.large_string()).fill_null("")
    text.validate(full=True)  # or bytes that are no UTF-8 would surface much later
    n, start = len(text), text.offset
    _, offset_bytes, data_bytes = text.buffers()
    offsets = np.zeros(n + 1, np.int64)
    if n:
        offsets = np.frombuffer(offset_bytes, np.int64, n + 1, start * 8)
    data = np.frombuffer(data_bytes or b"", np.uint8)[offsets[0] : offsets[-1]]
    valid = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
    return Strings(offsets - offsets[0], data, valid)


def _to_times(name: str, array: pa.Array) -> Column:
    types = pa.types
    if types.is_string(array.type) or types.is_large_string(array.type):
        array = _parsed_times(name, array)
    if types.is_timestamp(array.type):
        # Nothing accepted is before 1970, so cutting towards zero is rounding down.
        array = array.cast(pa.timestamp("ms", tz=array.type.tz), safe=False).cast(pa.int64())
    if not (types.is_integer(array.type) or types.is_null(array.type)):
        raise _misfit(name, array, "timestamps")
    return _to_numbers(name, array, ColumnType.INT)


def _parsed_times(name: str, array: pa.Array) -> pa.Array:
    """Text as milliseconds, or as ISO 8601 with or without a zone: the same kind in all rows."""
    for wanted in (pa.int64(), pa.timestamp("us", tz="UTC"), pa.timestamp("us")):
        try:
            return array.cast(wanted)
        except pa.ArrowInvalid:  # not this kind; the next is tried
            continue
    raise InputError(
        f"column {name} holds text that is no time: give RFC 3339 or milliseconds since 1970"
    )


def _to_numbers(name: str, array: pa.Array, kind: ColumnType) -> Column:
    types = pa.types
    fits = {
        ColumnType.INT: types.is_integer(array.type),
        ColumnType.FLOAT: types.is_floating(array.type) or types.is_integer(array.type),
        ColumnType.BOOLEAN: types.is_boolean(array.type) or types.is_integer(array.type),
    }[kind]
    if not (fits or types.is_null(array.type)):
        raise _misfit(name, array, _NEEDED[kind])
    if kind is ColumnType.FLOAT:
        filled = pc.fill_null(array.cast(pa.float64()), np.nan)
    else:
        filled = pc.fill_null(array.cast(pa.int64()), NULL_INT)
    column: Column = filled.to_numpy(zero_copy_only=False)
    return column
