"""Walking: along an index, step by step, until a page is full or enough was looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, or_, select, union

from alcyon.io.searching.cursors import Position
from alcyon.io.searching.engines import Database

_STEPS = (1_000, 9_000)
"""Positions looked at, after as many as the page has; then the next page goes on."""


@dataclass(frozen=True)
class Driver:
    """An index in its order: positions (`rank`, `sequence`), the largest first."""

    parts: Sequence[Any]
    """SELECTs of these two, not ordered yet; what any of them has is a position."""
    covers: frozenset[str] = frozenset()
    """The criteria (see `filters`) that all of its positions fulfil."""
    is_selective: bool = False
    """Whether it may hold few, so that looking at all of them is an idea."""

    def newest(self, after: Position | None, limit: int) -> Any:
        """The `limit` first after a position, as a subquery."""
        parts = [_ordered(_after(part, after)).limit(limit) for part in self.parts]
        if len(parts) == 1:
            return parts[0].subquery()
        both = union(*(select(part.subquery()) for part in parts)).subquery()
        return _ordered(select(both.c.rank, both.c.sequence)).limit(limit).subquery()


def walk(
    database: Database,
    reading: Driver,
    rows_at: Callable[[Any], Any],
    after: Position | None,
    wanted: int,
) -> tuple[list[Any], Position | None]:
    """The first rows after a position, at most `wanted`, and how far was looked; None: to the end.

    rows_at: the query for the rows at these positions, a subquery; it selects `rank` too.
    """
    found: list[Any] = []
    for step in (wanted, *_STEPS):
        rows = _ordered(rows_at(reading.newest(after, step))).limit(wanted - len(found))
        found += database.rows(rows)
        if len(found) == wanted:
            return found, after
        after = end(database, reading, after, step)
        if after is None:
            break
    return found, after


def end(database: Database, reading: Driver, after: Position | None, step: int) -> Position | None:
    """The position `step` further on; None: there are fewer."""
    newest = reading.newest(after, step)
    query = _ordered(select(newest.c.rank, newest.c.sequence)).offset(step - 1).limit(1)
    row = next(iter(database.rows(query)), None)
    return None if row is None else (row.rank, row.sequence)


def _after(part: Any, after: Position | None) -> Any:
    if after is None:
        return part
    rank, sequence = part.selected_columns.rank, part.selected_columns.sequence
    return part.where(
        rank <= after[0], or_(rank < after[0], and_(rank == after[0], sequence < after[1]))
    )


def _ordered(query: Any) -> Any:
    columns = query.selected_columns
    return query.order_by(columns.rank.desc(), columns.sequence.desc())
