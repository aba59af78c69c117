"""SqliteStore: the projection in one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from alcyon.domain.decision import Decision
from alcyon.domain.hourly import DAY_MS, Hourly, hourly
from alcyon.domain.label import LABEL_COLUMNS
from alcyon.domain.ports import Store
from alcyon.domain.projected import Projected, Stored, StoreError, decision_of
from alcyon.domain.transaction import COLUMNS
from alcyon.io.sqlite.migrations import migrate
from alcyon.io.sqlite.rows import (
    ALERT_COLUMNS,
    CELL_COLUMNS,
    DEAD_LETTER_COLUMNS,
    DECISION_COLUMNS,
    WORD_COLUMNS,
    alert_rows,
    column_rows,
    dead_letter_rows,
    decision_values,
    hourly_of_row,
    hourly_rows,
    stored_of_row,
    word_rows,
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
            self._insert(projected.new(self._known_ids(projected), self._known_places(projected)))
            self._connection.execute(
                "UPDATE projection_position SET next_index = ?",
                (max(stored, projected.next_index),),
            )

    def decision(self, transaction_id: str) -> Decision | None:
        """The decision on a transaction, None while none is stored."""
        rows = self._rows(_DECISION, (transaction_id,))
        return decision_of(rows[0]) if rows else None

    def decisions_on(self, transaction_ids: Sequence[str]) -> list[Stored]:
        """The decisions on those of these transactions that are stored."""
        encoded = msgspec.json.encode(transaction_ids).decode()
        return list(map(stored_of_row, self._rows(_ON, (encoded,))))

    def decisions_of_card(self, card_id: str, limit: int) -> list[Stored]:
        """A card's newest decisions."""
        return list(map(stored_of_row, self._rows(_OF_CARD, (card_id, limit))))

    def decisions_between(self, first_ms: int, last_ms: int, limit: int) -> list[Stored]:
        """The newest decisions of a span of event time."""
        return list(map(stored_of_row, self._rows(_BETWEEN, (first_ms, last_ms, limit))))

    def hourly(self, first_ms: int, last_ms: int) -> list[Hourly]:
        """All counts of a span of hours."""
        return list(map(hourly_of_row, self._rows(_HOURLY, (first_ms, last_ms))))

    def counts(self) -> dict[str, int]:
        """Rows of each table."""
        return {table: self._rows(f"SELECT count(*) FROM {table}", ())[0][0] for table in TABLES}

    def close(self) -> None:
        """Called once, last."""
        self._connection.close()

    def _insert(self, new: Projected) -> None:
        many = self._connection.executemany
        sequences = [decision.sequence for decision in new.decisions]
        places, at = list(zip(sequences, new.positions.tolist(), strict=True)), 0
        for batch in new.transactions:
            part = places[at : at + len(batch)]
            many(_INSERT_TRANSACTION, column_rows(part, batch, COLUMNS))
            at += len(batch)
        many(_INSERT_DECISION, decision_values(new.decisions))
        many(_INSERT_WORD, word_rows(new.decisions))
        many(_INSERT_ALERT, alert_rows(new))
        labelled = [(sequence,) for sequence in new.label_sequences.tolist()]
        many(_INSERT_LABEL, column_rows(labelled, new.labels, LABEL_COLUMNS))
        many(_INSERT_DEAD_LETTER, dead_letter_rows(new.dead_letters))
        counted = list(hourly_rows(hourly(new)))
        many(_ADD_HOURLY, counted)
        many(_ADD_DAILY, counted)

    def _known_ids(self, projected: Projected) -> set[str]:
        """Those of the batch's ids on which a decision is stored."""
        ids = [decision.transaction_id for decision in projected.decisions]
        encoded = msgspec.json.encode(ids).decode()
        return {row[0] for row in self._connection.execute(_KNOWN_IDS, (encoded,))}

    def _known_places(self, projected: Projected) -> set[int]:
        """Those of the batch's labels and dead letters that are stored, by sequence."""
        places = [letter.sequence for letter in projected.dead_letters]
        places += projected.label_sequences.tolist()
        if not places:
            return set()
        span = (min(places), max(places))
        return {row[0] for row in self._connection.execute(_KNOWN_PLACES, span * 2)}

    def _next_index(self) -> int:
        (index,) = self._connection.execute("SELECT next_index FROM projection_position").fetchone()
        return int(index)

    def _rows(self, query: str, values: tuple[str | int, ...]) -> list[tuple[Any, ...]]:
        with self._translated():
            return self._connection.execute(query, values).fetchall()

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


def _insert(table: str, columns: Iterable[str], *more: str) -> str:
    names = [*more, *columns]
    marks = ", ".join("?" * len(names))
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"


_INSERT_TRANSACTION = _insert("transactions", COLUMNS, "sequence", "position")
_INSERT_DECISION = _insert("decisions", DECISION_COLUMNS)
_INSERT_WORD = _insert("decision_words", WORD_COLUMNS)
_INSERT_ALERT = _insert("alerts", ALERT_COLUMNS)
_INSERT_LABEL = _insert("labels", LABEL_COLUMNS, "sequence")
_INSERT_DEAD_LETTER = _insert("dead_letters", DEAD_LETTER_COLUMNS)
_SUMS = ("decision_count", "amount_base_minor_sum")
_ADD = "DO UPDATE SET " + ", ".join(f"{name} = {name} + excluded.{name}" for name in _SUMS)
_WORDS = ", ".join(CELL_COLUMNS[1:])
_ADD_HOURLY = (
    f"{_insert('hourly_decisions', (*CELL_COLUMNS, *_SUMS))} "
    f"ON CONFLICT ({', '.join(CELL_COLUMNS)}) {_ADD}"
)
_ADD_DAILY = (
    f"INSERT INTO daily_decisions (day_ms, {_WORDS}, {', '.join(_SUMS)}) "
    f"VALUES (?1 - ?1 % {DAY_MS}, ?2, ?3, ?4, ?5, ?6, ?7, ?8) "
    f"ON CONFLICT (day_ms, {_WORDS}) {_ADD}"
)
"""With the same values."""
_KNOWN_IDS = (
    "SELECT transaction_id FROM transactions "
    "WHERE transaction_id IN (SELECT value FROM json_each(?))"
)
_KNOWN_PLACES = (
    "SELECT sequence FROM labels WHERE sequence BETWEEN ? AND ? "
    "UNION ALL SELECT sequence FROM dead_letters WHERE sequence BETWEEN ? AND ?"
)
_DECISION_NAMES = ", ".join(f"d.{name}" for name in DECISION_COLUMNS)
_STORED = (
    f"SELECT {_DECISION_NAMES}, {', '.join(f't.{name}' for name in COLUMNS)} "
    "FROM transactions AS t JOIN decisions AS d USING (sequence) "
)
_DECISION = (
    f"SELECT {_DECISION_NAMES} FROM transactions AS t JOIN decisions AS d USING (sequence) "
    "WHERE t.transaction_id = ?"
)
_ON = f"{_STORED} WHERE t.transaction_id IN (SELECT value FROM json_each(?))"
_OF_CARD = f"{_STORED} WHERE t.card_id = ? ORDER BY t.event_time DESC, t.sequence DESC LIMIT ?"
_BETWEEN = (
    f"{_STORED} WHERE t.event_time BETWEEN ? AND ? "
    "ORDER BY t.event_time DESC, t.sequence DESC LIMIT ?"
)
_HOURLY = (
    f"SELECT {', '.join((*CELL_COLUMNS, *_SUMS))} FROM hourly_decisions "
    f"WHERE hour_ms BETWEEN ? AND ? ORDER BY {', '.join(CELL_COLUMNS)}"
)
