"""Finding: decisions, page by page."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from alcyon.domain.office.searching import ENTITY_COLUMNS, Filter, Page
from alcyon.io.searching.cursors import cursor_of, position_of
from alcyon.io.searching.engines import Database
from alcyon.io.searching.filters import checked, driver, narrowed
from alcyon.io.searching.lines import LINE_COLUMNS, lines_at
from alcyon.io.searching.tables import DECISIONS, TRANSACTIONS
from alcyon.io.searching.walking import Driver, walk

_KIND = b"d"


def search(database: Database, found_by: Filter, cursor: str | None, limit: int) -> Page:
    """Decisions, the newest first. See `Searcher.search`."""
    after = None if cursor is None else position_of(_KIND, cursor)
    meant = checked(found_by)
    if meant is None:
        return Page([], None)

    reading = driver(meant, database)

    def rows_at(newest: Any) -> Any:
        here, where = narrowed(newest, meant, reading.covers, DECISIONS)
        return select(newest.c.rank, newest.c.sequence).select_from(here).where(*where)

    rows, reached = walk(database, reading, rows_at, after, limit + 1)
    if len(rows) > limit:
        reached = (rows[limit - 1].rank, rows[limit - 1].sequence)
    following = None if reached is None else cursor_of(_KIND, reached)
    return Page(lines_at([row.sequence for row in rows[:limit]], database), following)


def newest_rows(
    database: Database, column: Any, value: str, limit: int, before_ms: int | None = None
) -> list[Any]:
    """An entity's newest rows of `LINE_COLUMNS`, at most `limit`; before_ms: exclusive."""
    t = TRANSACTIONS.c
    where = [column == value] + ([] if before_ms is None else [t.event_time < before_ms])
    reading = Driver([select(t.event_time.label("rank"), t.sequence).where(*where)])
    newest = reading.newest(None, limit)
    here = newest.join(database.layout.decided, DECISIONS.c.sequence == newest.c.sequence)
    query = select(*LINE_COLUMNS, *ENTITY_IDS).select_from(here)
    return database.rows(query.order_by(newest.c.rank.desc(), newest.c.sequence.desc()))


ENTITY_IDS = tuple(
    TRANSACTIONS.c[name]
    for name in ENTITY_COLUMNS.values()
    if name not in {column.name for column in LINE_COLUMNS}
)
