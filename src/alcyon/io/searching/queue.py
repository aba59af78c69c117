"""The queue: alerts by expected loss, the largest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import func, select

from alcyon.domain.office.searching import AlertLine, AlertPage, Filter
from alcyon.io.searching.cursors import cursor_of, position_of
from alcyon.io.searching.engines import Database
from alcyon.io.searching.filters import checked, conditions, driver
from alcyon.io.searching.lines import LINE_COLUMNS, line_of, verdicts
from alcyon.io.searching.tables import ALERTS, DECISIONS, joined
from alcyon.io.searching.walking import LOOKED_AT_MAX, Driver, end, walk

AlertStatus = Literal["open", "claimed", "closed"]
CasesOf = Callable[[Sequence[str]], Mapping[str, tuple[AlertStatus, str]]]
"""Transaction ids to the status and the id of the case that their alert is in, where it is in one.
The status in the store is what is searched by; this one is shown, and prevails."""
STATUSES: tuple[AlertStatus, ...] = ("open", "claimed", "closed")
COUNTED_MAX = 10_000
_KIND = b"a"


def alerts(
    database: Database,
    cases_of: CasesOf,
    found_by: Filter,
    status: str | None,
    cursor: str | None,
    limit: int,
) -> AlertPage:
    """The queue. See `Searcher.alerts`."""
    after = None if cursor is None else position_of(_KIND, cursor)
    meant = checked(found_by)
    if meant is None or status not in (None, *STATUSES):
        return AlertPage([], None, 0, 0)
    few = _few(meant, database)

    def rows_at(newest: Any) -> Any:
        a = ALERTS.c
        here = newest.join(ALERTS, a.sequence == newest.c.sequence)
        here = here.join(database.layout.decided, DECISIONS.c.sequence == newest.c.sequence)
        shown = (newest.c.rank, *LINE_COLUMNS, a.status, a.expected_loss_base_minor)
        return select(*shown).select_from(here).where(*conditions(meant))

    reading = _driver(STATUSES if status is None else (status,), few)
    rows, reached = walk(database, reading, rows_at, after, limit + 1)
    if len(rows) > limit:
        reached = (rows[limit - 1].rank, rows[limit - 1].sequence)
    items = _items(rows[:limit], database, cases_of)
    following = None if reached is None else cursor_of(_KIND, reached)
    shown = [item for item in items if status in (None, item.status)]
    return AlertPage(shown, following, *_total(database, meant, few))


def _items(rows: Sequence[Any], database: Database, cases_of: CasesOf) -> list[AlertLine]:
    ids = [row.transaction_id for row in rows]
    frauds, cases = verdicts(ids, database), cases_of(ids)
    items = []
    for row in rows:
        status, case_id = cases.get(row.transaction_id, (row.status, None))
        loss = row.expected_loss_base_minor
        items.append(AlertLine(line_of(row, frauds), status, case_id, loss))
    return items


def _few(found_by: Filter, database: Database) -> Any | None:
    """The positions of all that the filter can find, where they are few; else None."""
    reading = driver(found_by, database)
    if not reading.is_selective or end(database, reading, None, LOOKED_AT_MAX) is not None:
        return None
    return reading.newest(None, LOOKED_AT_MAX)


def _driver(statuses: Sequence[str], few: Any | None) -> Driver:
    """By the queue's own order, or from the few."""
    a = ALERTS.c
    positions = select(a.expected_loss_base_minor.label("rank"), a.sequence)
    if few is not None:
        here = few.join(ALERTS, a.sequence == few.c.sequence)
        return Driver([positions.select_from(here).where(a.status.in_(statuses))])
    return Driver([positions.where(a.status == status) for status in statuses])


def _total(database: Database, found_by: Filter, few: Any | None) -> tuple[int, int]:
    """How many open alerts, and their amount; of those that are looked at."""
    a, where = ALERTS.c, conditions(found_by)
    looked_at = LOOKED_AT_MAX if where else COUNTED_MAX
    newest = _driver(("open",), few).newest(None, looked_at)
    here = newest.join(ALERTS, a.sequence == newest.c.sequence)
    if where:
        here = here.join(database.layout.decided, DECISIONS.c.sequence == newest.c.sequence)
    found = select(a.amount_base_minor).select_from(here).where(*where).limit(COUNTED_MAX)
    amounts = found.subquery()
    query = select(func.count(), *database.layout.halves(amounts.c.amount_base_minor))
    ((count, high, low),) = database.rows(query.select_from(amounts))
    return count, joined(high, low)
