"""Writing files batch by batch, whole or not at all.

A file is written beside its place and renamed when it is whole and on the disk: whoever looks
sees the old file or the new one.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from alcyon.domain.columns import Batch, ColumnType
from alcyon.io.files.failures import reading, writing
from alcyon.io.files.formats import Sink, format_of


class BatchWriter:
    """A file of `columns` in the format of its suffix; a column a batch lacks is null there.

    To be used in a `with` statement: the file appears at its end, and not at all when an error
    leaves it. Raises InputError for an unknown suffix, AlcyonError when the disk refuses.
    """

    def __init__(self, path: Path, columns: Mapping[str, ColumnType]) -> None:
        self._path = path
        self._columns = columns
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._open = ExitStack()
        self._sink: Sink | None = None

    def __enter__(self) -> Self:
        with reading(self._path):
            form, compressed = format_of(self._path)
        with writing(self._path), ExitStack() as undoing:
            undoing.callback(self._discard)
            self._stream = self._open.enter_context(self._part.open("wb"))
            target: IO[bytes] = self._stream
            if compressed:  # no name and no time inside, so equal content gives equal bytes
                packed = gzip.GzipFile("", "wb", fileobj=target, mtime=0)
                target = cast(IO[bytes], self._open.enter_context(packed))
            self._sink = form.sink(target, self._columns)
            undoing.pop_all()
        return self

    def write(self, batch: Batch) -> None:
        """Append the records."""
        if self._sink is None:
            raise ValueError("a BatchWriter is used in a with statement")
        with writing(self._path):
            self._sink.write(batch)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with writing(self._path):
            try:
                if error is None:
                    self._finish()
            finally:
                self._discard()

    def _finish(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.close()
        self._stream.flush()
        descriptor = os.dup(self._stream.fileno())
        try:
            self._open.close()
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._part.replace(self._path)

    def _discard(self) -> None:
        """Close what is open and remove what was not renamed."""
        try:
            if self._sink is not None:  # an error is on its way already: this one adds nothing
                with suppress(OSError):
                    self._sink.close()
            self._open.close()
        finally:
            self._part.unlink(missing_ok=True)
