"""The formats, each a module with the same three functions, found by a file's suffix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import IO, Protocol, cast

from alcyon.domain.columns import Batch, ColumnType
from alcyon.domain.errors import InputError

SUFFIXES = ("parquet", "csv", "csv.gz", "jsonl", "jsonl.gz", "avro")
"""The suffixes that are understood."""


class Sink(Protocol):
    """Writes one format to an open stream, which it does not close."""

    def write(self, batch: Batch) -> None:
        """Append the records."""

    def close(self) -> None:
        """Write what is buffered, and the format's own end."""


class Format(Protocol):
    """One format; its module is imported when a file needs it, and with it the library."""

    def names(self, path: Path) -> list[str] | None:
        """The file's columns, or None where each row has its own."""

    def read(
        self,
        path: Path,
        columns: Mapping[str, ColumnType],
        required: frozenset[str],
        rows_max: int,
    ) -> Iterator[Batch]:
        """Slices of at most `rows_max` rows with those of `columns` that the file has."""

    def sink(self, stream: IO[bytes], columns: Mapping[str, ColumnType]) -> Sink:
        """A sink for batches of `columns`; one that a batch lacks is null there."""


def format_of(path: Path) -> tuple[Format, bool]:
    """(format, whether gzip is around it). Raises InputError for an unknown suffix.

    Also where the library that the format needs is not installed.
    """
    suffixes = [suffix.lower().lstrip(".") for suffix in path.suffixes[-2:]]
    compressed = bool(suffixes) and suffixes[-1] == "gz"
    plain = suffixes[:-1] if compressed else suffixes
    known = ("csv", "jsonl") if compressed else ("parquet", "csv", "jsonl", "avro")
    if not plain or plain[-1] not in known:
        raise InputError(f"unknown suffix: name it .{', .'.join(SUFFIXES)}")
    try:
        return cast(Format, import_module(f"alcyon.io.files.{plain[-1]}")), compressed
    except ImportError as error:
        extra = "avro" if error.name == "fastavro" else "files"
        raise InputError(f"{plain[-1]} needs an extra: install alcyon[{extra}]") from error
