"""Keeping in SQLite: rows are deleted, and after an erasure the file is written anew."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alcyon.domain.keeping import ENTITY_COLUMNS, Keeping, Removal
from alcyon.domain.projected import StoreError
from alcyon.io.sqlite.store import BUSY_TIMEOUT_S

_BY_SEQUENCE = ("transactions", "decisions", "decision_words", "labels", "alerts", "dead_letters")


class SqliteKeeping(Keeping):
    """On the store in the file at `path`, which is there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._translated():
            self._connection = sqlite3.connect(
                f"file:{path}?mode=rw", timeout=BUSY_TIMEOUT_S, isolation_level=None, uri=True
            )
            # What is deleted is overwritten; and what a deletion is noted in is on no disk.
            self._connection.execute("PRAGMA secure_delete = ON")
            self._connection.execute("PRAGMA temp_store = MEMORY")

    def old(self, before_ms: int) -> Removal:
        """What comes before the first payment or label that is not old."""
        with self._translated():
            return self._old(before_ms)

    def drop_old(self, before_ms: int) -> Removal:
        """Delete it."""
        with self._changing():
            found = self._old(before_ms)
            for table in _BY_SEQUENCE:
                self._connection.execute(
                    f"DELETE FROM {table} WHERE sequence < ?", (found.before_sequence,)
                )
        return found

    def next_sequence(self) -> int:
        """Behind the last that is stored."""
        with self._translated():
            newest = [
                self._one(f"SELECT max(sequence) FROM {table}")
                for table in ("transactions", "labels", "dead_letters")
            ]
        return max((sequence + 1 for sequence in newest if sequence is not None), default=0)

    def ids(self) -> Iterator[str]:
        """Every value of the entities' columns, once per column."""
        with self._translated():
            for column in ENTITY_COLUMNS:
                query = f"SELECT DISTINCT {column} FROM transactions WHERE {column} IS NOT NULL"
                for (value,) in self._connection.execute(query):
                    yield value

    def about(self, value: str, before_sequence: int) -> Removal:
        """What is stored about it."""
        with self._changing():
            return self._selected(value, before_sequence)

    def erase(self, value: str, before_sequence: int) -> Removal:
        """Delete it, then write the file anew: an earlier change of a page may have left a copy of
        a row in what the page does not use."""
        with self._changing():
            found = self._selected(value, before_sequence)
            for statement in _DELETE:
                self._connection.execute(statement)
        if not found.is_empty:
            with self._translated():
                self._connection.execute("VACUUM")
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return found

    def close(self) -> None:
        """Called once, last."""
        self._connection.close()

    def _old(self, before_ms: int) -> Removal:
        firsts = [
            self._one(f"SELECT min(sequence) FROM {table} WHERE {column} >= ?", before_ms)
            for table, column in (("transactions", "event_time"), ("labels", "labelled_at"))
        ]
        before = min((f for f in firsts if f is not None), default=self.next_sequence())
        rows = {
            table: self._one(f"SELECT count(*) FROM {table} WHERE sequence < ?", before) or 0
            for table in _BY_SEQUENCE
        }
        return Removal(before, rows)

    def _selected(self, value: str, before_sequence: int) -> Removal:
        for table in ("erased", "erased_letters"):
            self._connection.execute(f"DROP TABLE IF EXISTS temp.{table}")
        named = {"value": value, "before": before_sequence}
        for statement in _SELECT:
            self._connection.execute(statement, named)
        rows = {
            table: self._one(f"SELECT count(*) FROM {table} WHERE {is_of}") or 0
            for table, is_of in _OF_ERASED.items()
        }
        ids = self._connection.execute("SELECT transaction_id FROM erased ORDER BY sequence")
        return Removal(before_sequence, rows, tuple(row[0] for row in ids))

    def _one(self, query: str, *values: int) -> int | None:
        (found,) = self._connection.execute(query, values).fetchone()
        return None if found is None else int(found)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._translated():
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
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error


_SELECT = (
    "CREATE TEMPORARY TABLE erased AS SELECT sequence, transaction_id FROM transactions "
    "WHERE sequence < :before AND ("
    + " OR ".join(f"{column} = :value" for column in ENTITY_COLUMNS)
    + ")",
    "CREATE TEMPORARY TABLE erased_letters AS SELECT sequence FROM dead_letters "
    "WHERE sequence < :before AND (instr(payload, CAST(:value AS BLOB)) > 0 "
    "OR instr(detail, :value) > 0)",
)
_OF_PAYMENT = "sequence IN (SELECT sequence FROM erased)"
_OF_ERASED = {
    "transactions": _OF_PAYMENT,
    "decisions": _OF_PAYMENT,
    "decision_words": _OF_PAYMENT,
    "alerts": _OF_PAYMENT,
    "labels": "transaction_id IN (SELECT transaction_id FROM erased)",
    "dead_letters": "sequence IN (SELECT sequence FROM erased_letters)",
}
_DELETE = [f"DELETE FROM {table} WHERE {is_of}" for table, is_of in _OF_ERASED.items()]
