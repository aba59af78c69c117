"""SqliteStore: the projection in one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from alcyon.domain.columns import ColumnType
from alcyon.domain.decision import Decision
from alcyon.domain.label import LABEL_COLUMNS
from alcyon.domain.ports import Store
from alcyon.domain.projected import Projected, StoreError
from alcyon.domain.transaction import COLUMNS
from alcyon.io.sqlite.migrations import migrate
from alcyon.io.sqlite.rows import (
    ALERT_COLUMNS,
    DEAD_LETTER_COLUMNS,
    DECISION_COLUMNS,
    alert_rows,
    column_rows,
    dead_letter_rows,
    decision_of_row,
    decision_rows,
)

BUSY_TIMEOUT_S = 10.0
_CACHE_KIB = 65_536
_CHECKPOINT_PAGES = 8_192
TABLES = ("transactions", "decisions", "labels", "alerts", "dead_letters")


class SqliteStore(Store):
    """The tables in the SQLite file at `path`, made if absent.

    WAL, so that any number may read while this one writes. A commit is not forced to the disk one
    by one (`synchronous=NORMAL`): the loss of power can take the newest ones, rows and position
    together, and reading on brings them back.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._translated(), ExitStack() as undo:
            self._connection = sqlite3.connect(
                path,
                timeout=BUSY_TIMEOUT_S,
                isolation_level=None,  # commits are begun and ended here, nowhere else
                check_same_thread=False,  # one thread at a time, not always the same
            )
            undo.callback(self._connection.close)
            for pragma in (
                "journal_mode = WAL",
                "synchronous = NORMAL",
                f"cache_size = -{_CACHE_KIB}",
                f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
            ):
                self._connection.execute(f"PRAGMA {pragma}")
            migrate(self._connection)
            undo.pop_all()

    def next_index(self) -> int:
        """The index of the first commit not stored yet."""
        with self._translated():
            return self._next_index()

    def write(self, projected: Projected) -> None:
        """Store commits and the index behind them, all or nothing."""
        with self._translated(), self._committed():
            stored = self._next_index()
            if projected.first_index > stored:
                raise StoreError(
                    f"{self._path}: commits from {projected.first_index} cannot follow {stored}"
                )
            self._insert(projected)
            self._connection.execute(
                "UPDATE projection_position SET next_index = ?",
                (max(stored, projected.next_index),),
            )

    def decision(self, transaction_id: str) -> Decision | None:
        """The decision on a transaction, None while none is stored."""
        query = f"SELECT {', '.join(DECISION_COLUMNS)} FROM decisions WHERE transaction_id = ?"
        with self._translated():
            row = self._connection.execute(query, (transaction_id,)).fetchone()
        return decision_of_row(row) if row else None

    def counts(self) -> dict[str, int]:
        """Rows of each table."""
        with self._translated():
            return {
                table: int(self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
                for table in TABLES
            }

    def close(self) -> None:
        """Called once, last."""
        self._connection.close()

    def _insert(self, projected: Projected) -> None:
        many = self._connection.executemany
        sequences = [decision.sequence for decision in projected.decisions]
        places, at = list(zip(sequences, projected.positions.tolist(), strict=True)), 0
        for batch in projected.transactions:
            part = places[at : at + len(batch)]
            many(_INSERT_TRANSACTION, column_rows(part, batch, COLUMNS))
            at += len(batch)
        many(_INSERT_DECISION, decision_rows(projected.decisions))
        # After the decisions: a repeat's alert would belong to a decision that was not kept.
        many(_INSERT_ALERT, alert_rows(projected.alerts))
        labelled = [(sequence,) for sequence in projected.label_sequences.tolist()]
        many(_INSERT_LABEL, column_rows(labelled, projected.labels, LABEL_COLUMNS))
        many(_INSERT_DEAD_LETTER, dead_letter_rows(projected.dead_letters))

    def _next_index(self) -> int:
        (index,) = self._connection.execute("SELECT next_index FROM projection_position").fetchone()
        return int(index)

    @contextmanager
    def _committed(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self._path}: {error}; nothing was stored") from error


def _insert(table: str, columns: Mapping[str, ColumnType] | tuple[str, ...], *more: str) -> str:
    names = [*more, *columns]
    marks = ", ".join("?" * len(names))
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks}) ON CONFLICT DO NOTHING"


_INSERT_TRANSACTION = _insert("transactions", COLUMNS, "sequence", "position")
_INSERT_DECISION = _insert("decisions", DECISION_COLUMNS)
_INSERT_LABEL = _insert("labels", LABEL_COLUMNS, "sequence")
_INSERT_DEAD_LETTER = _insert("dead_letters", DEAD_LETTER_COLUMNS)
_INSERT_ALERT = (
    f"INSERT INTO alerts ({', '.join(ALERT_COLUMNS)}) "
    f"SELECT {', '.join(f'?{i}' for i in range(1, len(ALERT_COLUMNS) + 1))} "
    "WHERE EXISTS (SELECT 1 FROM decisions WHERE sequence = ?1) ON CONFLICT DO NOTHING"
)
