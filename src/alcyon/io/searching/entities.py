"""Entities: how risky now, what is usual, what it did, and with whom."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import median_low
from typing import Any

from sqlalchemy import func, select

from alcyon.domain.office.searching import (
    ENTITY_COLUMNS,
    EntityKind,
    EntityShown,
    Habit,
    Linked,
)
from alcyon.io.searching.engines import Database
from alcyon.io.searching.filters import APPROVE, is_findable
from alcyon.io.searching.finding import newest_rows
from alcyon.io.searching.lines import label_of, labels_of, line_of, newest_verdicts
from alcyon.io.searching.tables import TRANSACTIONS
from alcyon.io.searching.walking import Driver

DAY_MS = 86_400_000
HABIT_DAYS = 30
ROWS_MAX = 1_000
"""Of its newest transactions, and as many again of those before its newest day where these do not
reach back over the days of its habit. What is counted is counted among these."""
HISTORY_MAX, LABELS_MAX, LINKED_MAX, WORDS_MAX = 200, 200, 10, 5
SHARED = ("account", "customer", "device")
"""Kinds that few cards share where all is well; for the others it says nothing."""
SHARED_ROWS_MAX = 200
"""Transactions of a linked entity that are looked at for other cards."""


def entity(database: Database, kind: EntityKind, entity_id: str) -> EntityShown | None:
    """See `Searcher.entity`; without its features."""
    if not is_findable(entity_id):
        return None
    column = TRANSACTIONS.c[ENTITY_COLUMNS[kind]]
    newest = newest_rows(database, column, entity_id, ROWS_MAX)
    if not newest:
        return None
    day_begin = newest[0].event_time - DAY_MS
    habit_begin = day_begin - HABIT_DAYS * DAY_MS
    known = newest
    if len(newest) == ROWS_MAX and newest[-1].event_time > habit_begin:
        seen = {row.sequence for row in newest}
        before = newest_rows(database, column, entity_id, ROWS_MAX, day_begin + 1)
        known = newest + [row for row in before if row.sequence not in seen]
    labels = labels_of([row.transaction_id for row in known], database)
    frauds = newest_verdicts(labels)
    usual = [row for row in known if habit_begin < row.event_time <= day_begin]
    lately = [row for row in known if row.event_time > habit_begin + DAY_MS]
    is_cut = len(usual) == ROWS_MAX
    days = (day_begin - usual[-1].event_time) / DAY_MS if is_cut else float(HABIT_DAYS)
    return EntityShown(
        kind, entity_id, _risk(lately, frauds),
        score_max=max((r.score for r in known if r.score is not None), default=None),
        transaction_count=len(known),
        not_approved_count=sum(r.action != APPROVE for r in known),
        fraud_count=sum(frauds.get(r.transaction_id, False) for r in known),
        habit=_habit(usual, days),
        today=_habit([r for r in known if r.event_time > day_begin], 1.0),
        features={},
        history=[line_of(row, frauds) for row in known[:HISTORY_MAX]],
        linked=_linked(database, (kind, entity_id), known, frauds),
        labels=[label_of(row) for row in labels[: -LABELS_MAX - 1 : -1]],
    )  # fmt: skip


def _risk(lately: Iterable[Any], frauds: dict[str, bool]) -> Any:
    actions = set()
    for row in lately:
        if row.action == "DECLINE" or frauds.get(row.transaction_id):
            return "high"
        actions.add(row.action)
    return "raised" if "REVIEW" in actions else "low"


def _habit(rows: Sequence[Any], days: float) -> Habit:
    amounts = [r.amount_base_minor for r in rows if r.amount_base_minor is not None]
    return Habit(
        len(rows),
        len(rows) / max(days, 1 / 24),
        median_low(amounts) if amounts else None,
        _frequent(r.country if r.merchant_country is None else r.merchant_country for r in rows),
        _frequent(r.merchant_id for r in rows),
        _frequent(r.device_id for r in rows),
        _frequent(r.category for r in rows),
    )


def _frequent(words: Iterable[str | None]) -> list[str]:
    """The most frequent first; of equals, by the alphabet."""
    counted = Counter(word for word in words if word is not None)
    return sorted(counted, key=lambda word: (-counted[word], word))[:WORDS_MAX]


def _linked(
    database: Database, me: tuple[EntityKind, str], rows: Sequence[Any], frauds: dict[str, bool]
) -> list[Linked]:
    """Of each kind those with the most frauds, then those met most often."""
    found: list[Linked] = []
    for other in ENTITY_COLUMNS:
        if other == me[0]:
            continue
        together: dict[str, list[Any]] = defaultdict(list)
        for row in rows:
            if (name := getattr(row, ENTITY_COLUMNS[other])) is not None:
                together[name].append(row)
        of_kind = [_link(other, name, those, frauds) for name, those in together.items()]  # type: ignore[arg-type]
        of_kind.sort(key=lambda k: (-k.fraud_count, -k.transaction_count, k.id))
        found += of_kind[:LINKED_MAX]
    return [
        replace(link, shared_cards=_shared_cards(database, me, link))
        if link.kind in SHARED
        else link
        for link in found
    ]


def _shared_cards(database: Database, me: tuple[EntityKind, str], link: Linked) -> int:
    """Cards other than this one that were used with it."""
    t = TRANSACTIONS.c
    reading = Driver(
        [
            select(t.event_time.label("rank"), t.sequence).where(
                t[ENTITY_COLUMNS[link.kind]] == link.id
            )
        ]
    )
    newest = reading.newest(None, SHARED_ROWS_MAX)
    here = newest.join(TRANSACTIONS, t.sequence == newest.c.sequence)
    query = select(func.count(t.card_id.distinct())).select_from(here)
    if me[0] == "card":
        query = query.where(t.card_id != me[1])
    ((count,),) = database.rows(query)
    return int(count)


def _link(kind: EntityKind, name: str, rows: Sequence[Any], frauds: dict[str, bool]) -> Linked:
    return Linked(
        kind, name, len(rows), sum(r.action != APPROVE for r in rows),
        sum(frauds.get(r.transaction_id, False) for r in rows), max(r.event_time for r in rows),
    )  # fmt: skip
