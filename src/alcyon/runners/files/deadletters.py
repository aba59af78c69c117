"""Dead letters of a file: the rows that could not be used, each with its reason."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from alcyon.domain.columns import Batch, ColumnType, Strings
from alcyon.domain.validation import Fault
from alcyon.io.files import BatchWriter
from alcyon.io.files.failures import writing

COLUMNS = {
    "topic": ColumnType.STRING,
    "row": ColumnType.INT,
    "reason": ColumnType.STRING,
    "detail": ColumnType.STRING,
}
"""`row` counts from 1 in the file of that topic; the record itself stays where it is."""


class DeadLetters:
    """`<output>.dead-letters.jsonl`, which is there only if there are any.

    To be used in a `with` statement, like BatchWriter. Without an output they are only counted.
    """

    def __init__(self, output: Path | None) -> None:
        self.path = (
            None if output is None else output.with_name(f"{output.name}.dead-letters.jsonl")
        )
        self.count = 0
        self._open = ExitStack()
        self._writer: BatchWriter | None = None

    def add(self, topic: str, first_row: int, faults: list[Fault]) -> None:
        """Faults of a slice whose first row is number `first_row`, from 0."""
        self.count += len(faults)
        if not faults or self.path is None:
            return
        if self._writer is None:
            self._writer = self._open.enter_context(BatchWriter(self.path, COLUMNS))
        self._writer.write(
            Batch(
                {
                    "topic": Strings.from_list([topic] * len(faults)),
                    "row": np.array([first_row + fault.row + 1 for fault in faults], np.int64),
                    "reason": Strings.from_list([fault.reason for fault in faults]),
                    "detail": Strings.from_list([fault.detail for fault in faults]),
                }
            )
        )

    def __enter__(self) -> Self:
        if self.path is not None:  # those of an earlier run would be taken for this one's
            with writing(self.path):
                self.path.unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)
