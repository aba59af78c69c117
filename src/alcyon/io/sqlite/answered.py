"""What was answered provisionally: kept beside the record, which holds what was decided."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

from alcyon.domain.office.asking import Answer
from alcyon.domain.projected import StoreError

ANSWERS_MAX = 1_000_000
"""The oldest are forgotten beyond, half a kilobyte each."""
_TRIM_EVERY = 10_000
_MAKE = (
    "CREATE TABLE IF NOT EXISTS answered ("
    "number INTEGER PRIMARY KEY, transaction_id TEXT NOT NULL UNIQUE, answer TEXT NOT NULL)"
)


class SqliteAnswered:
    """In the file at `path`, made if absent. For several threads."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock, self._kept = path, Lock(), 0
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute(_MAKE)
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}") from error

    def keep(self, answers: Sequence[Answer]) -> None:
        """Keep them, the first of each transaction. StoreError: none of them is kept."""
        rows = [(a.transaction_id, msgspec.json.encode(a).decode()) for a in answers]
        if not rows:
            return
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(
                    "INSERT OR IGNORE INTO answered (transaction_id, answer) VALUES (?, ?)", rows
                )
                self._trim(len(rows))
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise StoreError(f"{self._path}: {error}") from error

    def answered(self, transaction_id: str) -> dict[str, Any] | None:
        """The answer that was given; None: none was provisional."""
        with self._lock:
            try:
                found = self._connection.execute(
                    "SELECT answer FROM answered WHERE transaction_id = ?", (transaction_id,)
                ).fetchone()
            except sqlite3.Error as error:
                raise StoreError(f"{self._path}: {error}") from error
        if found is None:
            return None
        answer: dict[str, Any] = msgspec.json.decode(found[0])
        return answer

    def forget(self, transaction_ids: Sequence[str]) -> None:
        """Remove the answers on these, from the file's bytes too."""
        with self._lock:
            try:
                self._connection.execute("PRAGMA secure_delete = ON")
                self._connection.executemany(
                    "DELETE FROM answered WHERE transaction_id = ?", [(i,) for i in transaction_ids]
                )
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as error:
                raise StoreError(f"{self._path}: {error}") from error

    def close(self) -> None:
        """Called once, last."""
        self._connection.close()

    def _trim(self, added: int) -> None:
        self._kept += added
        if self._kept >= _TRIM_EVERY:
            self._kept = 0
            self._connection.execute(
                "DELETE FROM answered WHERE number <= "
                "(SELECT max(number) FROM answered) - ?", (ANSWERS_MAX,)
            )  # fmt: skip
