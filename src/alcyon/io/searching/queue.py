"""The queue: alerts by expected loss, the largest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import func, select

from alcyon.domain.office.searching import AlertLine, AlertPage, Filter
from alcyon.io.searching.cursors import Position, cursor_of, position_of
from alcyon.io.searching.engines import Database
from alcyon.io.searching.filters import checked, driver, narrowed
from alcyon.io.searching.lines import lines_at
from alcyon.io.searching.tables import ALERTS, joined
from alcyon.io.searching.walking import Driver, end, walk

AlertStatus = Literal["open", "claimed", "closed"]
CasesOf = Callable[[Sequence[str]], Mapping[str, tuple[AlertStatus, str]]]
"""Transaction ids to the status and the id of the case that their alert is in, where it is in one.
The status in the store is what is searched by; this one is shown, and prevails."""
STATUSES: tuple[AlertStatus, ...] = ("open", "claimed", "closed")
_OPEN = STATUSES[:1]
COUNTED_MAX = 10_000
"""Open alerts that are looked at to say how many are found, those with the largest loss."""
FEW_MAX = 10_000
"""Decisions that are looked at whether they are alerts, before the queue is gone along instead."""
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
    statuses = STATUSES if status is None else (status,)
    known = _few(meant, database)
    if known is None and (statuses, after) == (_OPEN, None) and meant != Filter():
        known = _head(meant, database)
    if known is None:
        found, reached = _walked(database, meant, statuses, after, limit + 1)
        total = _total(database, meant)
    else:
        rows, reached = known
        found = [row for row in rows if row.status in statuses and _is_after(row, after)]
        found = found[: limit + 1]
        amounts = [row.amount_base_minor or 0 for row in rows if row.status in _OPEN]
        total = len(amounts), sum(amounts)
    if len(found) > limit:
        reached = (found[limit - 1].rank, found[limit - 1].sequence)
    following = None if reached is None else cursor_of(_KIND, reached)
    items = _items(found[:limit], database, cases_of)
    return AlertPage([i for i in items if i.status in statuses], following, *total)


def _items(rows: Sequence[Any], database: Database, cases_of: CasesOf) -> list[AlertLine]:
    lines = lines_at([row.sequence for row in rows], database)
    cases = cases_of([line.transaction_id for line in lines]) if lines else {}
    items = []
    for row, line in zip(rows, lines, strict=True):
        status, case_id = cases.get(line.transaction_id, (row.status, None))
        items.append(AlertLine(line, status, case_id, row.rank))
    return items


_Known = tuple[list[Any], Position | None]
"""Alerts that a filter finds, in order, and how far was looked; None: to the end."""


def _few(found_by: Filter, database: Database) -> _Known | None:
    """All of them, where few decisions have to be looked at; else None."""
    reading = driver(found_by, database)
    if not reading.is_selective or end(database, reading, None, FEW_MAX) is not None:
        return None
    newest = reading.newest(None, FEW_MAX)
    return _among(newest, found_by, reading.covers, database), None


def _head(found_by: Filter, database: Database) -> _Known:
    """Those among the open ones with the largest loss: the first page and the sums in one look."""
    reading = _in_order(_OPEN)
    newest = reading.newest(None, COUNTED_MAX)
    rows = _among(newest, found_by, frozenset(), database)
    return rows, end(database, reading, None, COUNTED_MAX)


def _among(newest: Any, found_by: Filter, covered: frozenset[str], database: Database) -> list[Any]:
    here, where = narrowed(newest, found_by, covered, ALERTS)
    rows = database.rows(select(*_SHOWN).select_from(here).where(*where))
    return sorted(rows, key=lambda row: (row.rank, row.sequence), reverse=True)


def _is_after(row: Any, after: Position | None) -> bool:
    return after is None or (row.rank, row.sequence) < after


def _walked(
    database: Database,
    found_by: Filter,
    statuses: Sequence[str],
    after: Position | None,
    wanted: int,
) -> tuple[list[Any], Position | None]:
    """Along the queue's own order."""

    def rows_at(newest: Any) -> Any:
        here, where = narrowed(newest, found_by, frozenset(), ALERTS)
        return select(*_SHOWN).select_from(here).where(*where)

    return walk(database, _in_order(statuses), rows_at, after, wanted)


def _in_order(statuses: Sequence[str]) -> Driver:
    a = ALERTS.c
    positions = select(a.expected_loss_base_minor.label("rank"), a.sequence)
    return Driver([positions.where(a.status == status) for status in statuses])


def _total(database: Database, found_by: Filter) -> tuple[int, int]:
    """How many of the open alerts at the queue's head, and their amount."""
    newest = _in_order(_OPEN).newest(None, COUNTED_MAX)
    here, where = narrowed(newest, found_by, frozenset(), ALERTS)
    amounts = select(ALERTS.c.amount_base_minor).select_from(here).where(*where).subquery()
    query = select(func.count(), *database.layout.halves(amounts.c.amount_base_minor))
    ((count, high, low),) = database.rows(query.select_from(amounts))
    return count, joined(high, low)


_SHOWN = (
    ALERTS.c.sequence, ALERTS.c.status, ALERTS.c.amount_base_minor,
    ALERTS.c.expected_loss_base_minor.label("rank"),
)  # fmt: skip
