"""Partitions: ranges of the sequence, made before they are needed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

PARTITION_ROWS = 10_000_000
"""Sequences in one partition: a few GB of transactions, which one `DROP TABLE` lets go."""
TABLES = ("transactions", "decisions", "labels", "alerts", "dead_letters")
PARTITIONED = (*TABLES, "decision_words")


class Partitions:
    """The partitions known to be there. One for each connection; made anew after a failed write."""

    def __init__(self) -> None:
        self._known: set[int] = set()

    def make(self, connection: psycopg.Connection, sequences: NDArray[np.int64]) -> None:
        """Have the partitions of these sequences, and the one after each.

        Called inside a write, under its lock: nobody else makes any. Attaching lets readers go on,
        which creating a partition in place would not.
        """
        numbers = np.unique(sequences // PARTITION_ROWS)
        wanted = np.union1d(numbers, numbers + 1).tolist()
        if self._known.issuperset(wanted):
            return
        for table in PARTITIONED:
            self._attach(connection, table, wanted)
        self._known.update(wanted)

    def _attach(self, connection: psycopg.Connection, table: str, wanted: Iterable[int]) -> None:
        attached = {row[0] for row in connection.execute(_ATTACHED, (table,))}
        for number in wanted:
            name = f"{table}_{number}"
            if name in attached:
                continue
            for statement in (_CREATE, _ATTACH):
                connection.execute(
                    sql.SQL(statement).format(
                        table=sql.Identifier(table),
                        partition=sql.Identifier(name),
                        first=number * PARTITION_ROWS,
                        end=(number + 1) * PARTITION_ROWS,
                    )
                )


_ATTACHED = (
    "SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid "
    "WHERE i.inhparent = %s::regclass"
)
_CREATE = "CREATE TABLE {partition} (LIKE {table} INCLUDING ALL)"
_ATTACH = "ALTER TABLE {table} ATTACH PARTITION {partition} FOR VALUES FROM ({first}) TO ({end})"
