"""Statistics: sums over the roll-ups, and the entities of what was not approved.

Whole days are read from the counts by day, the hours before and behind them from those by hour.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import func, select, union_all

from alcyon.domain.errors import InputError
from alcyon.domain.hourly import DAY_MS, HOUR_MS
from alcyon.domain.office.searching import (
    ENTITY_COLUMNS,
    EntityKind,
    Filter,
    Share,
    Statistics,
    TopEntity,
    Trend,
)
from alcyon.io.searching.engines import Database
from alcyon.io.searching.filters import APPROVE, driver
from alcyon.io.searching.tables import DAILY, DECISIONS, HOURLY, LABELS, TRANSACTIONS, joined

BY_HOUR_MS_MAX = 7 * DAY_MS
SPAN_MS_MAX = 366 * DAY_MS
STOPPED_MAX = 10_000
"""Decisions that were not approved, the newest, among which the top entities are found."""
LABELS_MAX = 10_000
"""Labels, the newest, among which frauds are counted."""
_WORDS = ("action", "country", "category", "reason", "model")
SHARES_MAX, TOP_MAX = 100, 10
_NOT_APPROVED = ("STEP_UP", "REVIEW", "DECLINE")
_FIELDS = {"APPROVE": "approve", "STEP_UP": "step_up", "REVIEW": "review", "DECLINE": "decline"}


def statistics(database: Database, first_ms: int, last_ms: int) -> Statistics:
    """Of the hours that the span touches. InputError: it ends before it begins, or is too long."""
    if not 0 <= last_ms - first_ms <= SPAN_MS_MAX:
        raise InputError(
            f"first_ms {first_ms} to last_ms {last_ms}: ask for up to 366 days, from first to last"
        )
    hours = (first_ms - first_ms % HOUR_MS, last_ms)
    tops = _tops(database, first_ms, last_ms)
    frauds = _frauds(database, hours)
    cells = list(_grouped(database, _counted(hours, _WORDS), _WORDS))
    return Statistics(
        first_ms,
        last_ms,
        _trend(database, hours, HOUR_MS if last_ms - first_ms <= BY_HOUR_MS_MAX else DAY_MS),
        countries=_shares(cells, "country", frauds[0]),
        categories=_shares(cells, "category", frauds[1]),
        reasons=_shares(cells, "reason"),
        models=_shares(cells, "model"),
        top_cards=tops["card"],
        top_merchants=tops["merchant"],
        top_devices=tops["device"],
    )


def _trend(database: Database, hours: tuple[int, int], step: int) -> list[Trend]:
    """Each step of the span, those without decisions too."""
    first, last = hours
    begins = range(first - first % step, last + 1, step)
    sums: dict[int, dict[str, int]] = {at: defaultdict(int) for at in begins}
    counts = _hourly(first, last + 1, ("action",))
    if step == DAY_MS:
        counts = _counted(hours, ("action",))
    for (at, action), count, amount in _grouped(database, counts, ("at", "action")):
        one = sums[at - at % step]
        one[_FIELDS[action]] += count
        one["amount_base_minor"] += amount
        if action != APPROVE:
            one["stopped_base_minor"] += amount
    return [Trend(at, **one) for at, one in sums.items()]


def _shares(
    cells: Sequence[tuple[Any, int, int]], name: str, frauds: Counter[str] | None = None
) -> list[Share]:
    """By what was stopped, the most first."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    word = _WORDS.index(name)
    for words, count, amount in cells:
        one, is_stopped = sums[words[word]], words[0] != APPROVE
        one[0] += count
        one[1] += count * is_stopped
        one[2] += amount
        one[3] += amount * is_stopped
    shares = [
        Share(value, one[0], one[1], one[2], one[3], None if frauds is None else frauds[value])
        for value, one in sums.items()
    ]
    shares.sort(key=lambda s: (-s.stopped_base_minor, -s.decision_count, s.word))
    return shares[:SHARES_MAX]


def _frauds(database: Database, hours: tuple[int, int]) -> tuple[Counter[str], Counter[str]]:
    """Of the hours' transactions, by country and by category."""
    said, t, ids = LABELS.c, TRANSACTIONS.c, database.layout.ids
    newest = select(said.sequence, said.transaction_id, said.is_fraud)
    newest = newest.where(said.labelled_at >= hours[0])  # none is older than its transaction
    newest = newest.order_by(said.sequence.desc()).limit(LABELS_MAX).subquery()
    here = newest.join(ids, ids.c.transaction_id == newest.c.transaction_id)
    if ids is not TRANSACTIONS:
        here = here.join(TRANSACTIONS, t.sequence == ids.c.sequence)
    query = select(newest.c.transaction_id, newest.c.is_fraud, t.country, t.category)
    query = query.select_from(here).order_by(newest.c.sequence)
    until = hours[1] - hours[1] % HOUR_MS + HOUR_MS
    rows = database.rows(query.where(t.event_time >= hours[0], t.event_time < until))
    frauds = {row.transaction_id: row for row in rows}  # the last of a transaction is its newest
    kept = [row for row in frauds.values() if row.is_fraud]
    return Counter(r.country or "" for r in kept), Counter(r.category or "" for r in kept)


def _counted(hours: tuple[int, int], words: Sequence[str]) -> Any:
    """The counts of these hours, whole days as one."""
    first, end = hours[0], hours[1] - hours[1] % HOUR_MS + HOUR_MS
    days = range(first + -first % DAY_MS, end - end % DAY_MS, DAY_MS)
    if not days:
        return _hourly(first, end, words)
    d = DAILY.c
    daily = select(d.day_ms.label("at"), *(d[word] for word in words), *_sums(d))
    daily = daily.where(d.day_ms.between(days[0], days[-1]))
    return union_all(daily, _hourly(first, days[0], words), _hourly(days[-1] + DAY_MS, end, words))


def _hourly(first: int, end: int, words: Sequence[str]) -> Any:
    """The counts of the hours that begin in [first, end)."""
    h = HOURLY.c
    counts = select(h.hour_ms.label("at"), *(h[word] for word in words), *_sums(h))
    return counts.where(h.hour_ms >= first, h.hour_ms < end)


def _sums(columns: Any) -> tuple[Any, Any]:
    return columns.decision_count, columns.amount_base_minor_sum


def _grouped(
    database: Database, counts: Any, names: Sequence[str]
) -> Iterator[tuple[Any, int, int]]:
    """(values, decisions, amount) of these counts, grouped by these columns."""
    c = counts.subquery().c
    by = [c[name] for name in names]
    sums = (func.sum(c.decision_count), *database.layout.halves(c.amount_base_minor_sum))
    for *values, count, high, low in database.rows(select(*by, *sums).group_by(*by)):
        yield values, int(count), joined(high, low)


def _tops(database: Database, first_ms: int, last_ms: int) -> dict[EntityKind, list[TopEntity]]:
    stopped = Filter(first_ms=first_ms, last_ms=last_ms, actions=_NOT_APPROVED)
    newest = driver(stopped, database).newest(None, STOPPED_MAX)
    t, d = TRANSACTIONS, DECISIONS
    here = newest.join(t, t.c.sequence == newest.c.sequence)
    here = here.join(d, d.c.sequence == newest.c.sequence)
    columns = [t.c[ENTITY_COLUMNS[kind]] for kind in _KINDS]
    query = select(*columns, t.c.amount_base_minor, d.c.score, newest.c.rank).select_from(here)
    rows = [tuple(row) for row in database.rows(query)]
    return {
        kind: _top(kind, ((row[i], *row[-3:]) for row in rows)) for i, kind in enumerate(_KINDS)
    }


def _top(
    kind: EntityKind, rows: Iterable[tuple[str | None, int | None, int | None, int]]
) -> list[TopEntity]:
    """By what was stopped, the most first."""
    found: dict[str, TopEntity] = {}
    for name, amount, score, at in rows:
        if name is None:
            continue
        had = found.get(name, TopEntity(kind, name, 0, 0, None, at))
        scores = [s for s in (had.score_max, score) if s is not None]
        found[name] = TopEntity(
            kind, name, had.decision_count + 1, had.stopped_base_minor + (amount or 0),
            max(scores, default=None), max(had.last_at, at),
        )  # fmt: skip
    ordered = sorted(found.values(), key=lambda e: (-e.stopped_base_minor, -e.decision_count, e.id))
    return ordered[:TOP_MAX]


_KINDS: tuple[EntityKind, ...] = ("card", "merchant", "device")
