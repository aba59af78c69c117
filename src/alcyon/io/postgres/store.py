"""PostgresStore: the projection in a Postgres database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from alcyon.domain.decision import Decision
from alcyon.domain.hourly import Cell, Hourly
from alcyon.domain.ports import Store
from alcyon.domain.projected import JSON_COLUMNS, Projected, Stored, StoreError, decision_of
from alcyon.domain.transaction import COLUMNS
from alcyon.io.postgres.partitions import TABLES
from alcyon.io.postgres.session import Session
from alcyon.io.postgres.writing import insert


class PostgresStore(Store):
    """The tables in the database at `dsn`, made if absent, in the first schema of its search path.

    It is reached when first needed, and again after an outage. Any number may read, and several
    may write: each write waits for the row that holds the position, so they write in turn.
    """

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn)

    def next_index(self) -> int:
        """The index of the first commit not stored yet."""
        return int(self._rows("SELECT next_index FROM projection_position", ())[0][0])

    def write(self, projected: Projected) -> None:
        """Store commits and the index behind them, all or nothing."""
        is_committing = False
        try:
            with self._session.connected() as connection, connection.transaction():
                self._write(connection, projected)
                is_committing = True
        except StoreError as error:
            outcome = "the write is in doubt" if is_committing else "nothing was stored"
            raise StoreError(f"{error}; {outcome}") from error

    def decision(self, transaction_id: str) -> Decision | None:
        """The decision on a transaction, None while none is stored."""
        rows = self._rows(_DECISION, (transaction_id,))
        return decision_of(rows[0]) if rows else None

    def decisions_on(self, transaction_ids: Sequence[str]) -> list[Stored]:
        """The decisions on those of these transactions that are stored."""
        return list(map(_stored, self._rows(_ON, (list(transaction_ids),))))

    def decisions_of_card(self, card_id: str, limit: int) -> list[Stored]:
        """A card's newest decisions."""
        return list(map(_stored, self._rows(_OF_CARD, (card_id, limit))))

    def decisions_between(self, first_ms: int, last_ms: int, limit: int) -> list[Stored]:
        """The newest decisions of a span of event time."""
        return list(map(_stored, self._rows(_BETWEEN, (first_ms, last_ms, limit))))

    def hourly(self, first_ms: int, last_ms: int) -> list[Hourly]:
        """All counts of a span of hours."""
        rows = self._rows(_HOURLY, (first_ms, last_ms))
        return [Hourly(Cell(*cell), count, int(amount)) for *cell, count, amount in rows]

    def counts(self) -> dict[str, int]:
        """Rows of each table."""
        return {t: int(self._rows(f"SELECT count(*) FROM {t}", ())[0][0]) for t in TABLES}

    def close(self) -> None:
        """Called once, last."""
        self._session.close()

    def _write(self, connection: psycopg.Connection, projected: Projected) -> None:
        # The lock of the one that writes; the others wait here, then see what it has written.
        row = connection.execute("SELECT next_index FROM projection_position FOR UPDATE").fetchone()
        stored = int(row[0]) if row else 0
        if projected.first_index > stored:
            raise StoreError(f"commits from {projected.first_index} cannot follow {stored}")
        insert(self._session, connection, projected)
        connection.execute(
            "UPDATE projection_position SET next_index = %s",
            (max(stored, projected.next_index),),
        )

    def _rows(self, query: str, values: tuple[str | int | list[str], ...]) -> list[tuple[Any, ...]]:
        with self._session.connected() as connection:
            return connection.execute(query.encode(), values).fetchall()


def _stored(row: Sequence[Any]) -> Stored:
    n = len(Decision.__struct_fields__)
    named = zip(COLUMNS, row[n:], strict=True)
    return Stored(decision_of(row[:n]), {k: v for k, v in named if v is not None})


# JSON as text: it is decoded into what it is, not into what psycopg would make of it.
_DECISION_NAMES = ", ".join(
    "v.versions::text" if name == "versions" else f"d.{name}" + "::text" * (name in JSON_COLUMNS)
    for name in Decision.__struct_fields__
)
_DECISION = (
    f"SELECT {_DECISION_NAMES} FROM transaction_ids AS i JOIN decisions AS d USING (sequence) "
    "JOIN versions AS v USING (versions_id) WHERE i.transaction_id = %s"
)
# The newest are found first, then joined: so their order is an index's, whatever is planned.
_STORED = (
    f"SELECT {_DECISION_NAMES}, {', '.join(f't.{name}' for name in COLUMNS)} "
    f"FROM {{newest}} JOIN decisions AS d USING (sequence) JOIN transactions AS t USING (sequence) "
    "JOIN versions AS v USING (versions_id) ORDER BY {order}"
)
_ON = _STORED.format(
    newest="(SELECT sequence FROM transaction_ids WHERE transaction_id = ANY(%s)) AS n",
    order="sequence",
)
_OF_CARD = _STORED.format(
    newest="(SELECT sequence FROM transactions WHERE card_id = %s "
    "ORDER BY event_time DESC, sequence DESC LIMIT %s) AS n",
    order="d.event_time DESC, sequence DESC",
)
_BETWEEN = _STORED.format(
    newest="(SELECT sequence FROM decisions WHERE event_time BETWEEN %s AND %s "
    "ORDER BY event_time DESC, sequence DESC LIMIT %s) AS n",
    order="d.event_time DESC, sequence DESC",
)
_HOURLY = (
    f"SELECT {', '.join(Cell.__struct_fields__)}, decision_count, amount_base_minor_sum "
    "FROM hourly_decisions WHERE hour_ms BETWEEN %s AND %s "
    f"ORDER BY {', '.join(Cell.__struct_fields__)}"
)
