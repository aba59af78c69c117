"""Rule counts: what each rule has hit, and what came of it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import case, func, select

from alcyon.io.searching.engines import Database
from alcyon.io.searching.filters import APPROVE
from alcyon.io.searching.tables import DECISIONS, LABELS, TRANSACTIONS, WORDS, joined
from alcyon.io.searching.walking import Driver

HITS_MAX = 10_000
"""Hits of a rule that are counted, the newest."""
RULES_MAX = 500
_KINDS = {"rule": "hits", "shadow": "shadow_hits"}


def rule_counts(database: Database, first_ms: int) -> dict[str, dict[str, int]]:
    """See `Searcher.rule_counts`; `labelled` and `frauds` are of hits and shadow hits."""
    counts: dict[str, dict[str, int]] = defaultdict(
        lambda: dict.fromkeys(
            ("hits", "shadow_hits", "labelled", "frauds", "stopped_base_minor"), 0
        )
    )
    for kind, counted in _KINDS.items():
        for rule in _rules(database, kind):
            hits, labelled, frauds, stopped = _count(database, kind, rule, first_ms)
            if hits:
                one = counts[rule]
                one[counted] += hits
                one["labelled"] += labelled
                one["frauds"] += frauds
                one["stopped_base_minor"] += stopped if kind == "rule" else 0
    return dict(counts)


def _rules(database: Database, kind: str) -> list[str]:
    """All that ever hit: from one to the next along the index, not from row to row."""
    w = WORDS.c
    first = select(func.min(w.word).label("word")).where(w.kind == kind).cte(recursive=True)
    following = (
        select(func.min(w.word)).where(w.kind == kind, w.word > first.c.word).scalar_subquery()
    )
    rules = first.union_all(select(following).where(first.c.word.is_not(None)))
    query = select(rules.c.word).where(rules.c.word.is_not(None)).limit(RULES_MAX)
    return [row.word for row in database.rows(query)]


def _count(database: Database, kind: str, rule: str, first_ms: int) -> tuple[int, int, int, int]:
    """(hits, labelled, frauds, what was stopped)."""
    w, d, t = WORDS.c, DECISIONS.c, TRANSACTIONS.c
    positions = select(w.event_time.label("rank"), w.sequence)
    positions = positions.where(w.kind == kind, w.word == rule, w.event_time >= first_ms)
    newest = Driver([positions]).newest(None, HITS_MAX)
    here = newest.join(DECISIONS, d.sequence == newest.c.sequence)
    here = here.join(TRANSACTIONS, t.sequence == newest.c.sequence)
    said = _newest_label(t.transaction_id)
    stopped = case((d.action != APPROVE, t.amount_base_minor), else_=0).label("stopped")
    hits = select(said.label("said"), stopped).select_from(here).subquery()
    is_fraud = case((hits.c.said, 1), else_=0)
    query = select(
        func.count(), func.count(hits.c.said), func.sum(is_fraud),
        *database.layout.halves(hits.c.stopped),
    ).select_from(hits)  # fmt: skip
    ((count, labelled, frauds, high, low),) = database.rows(query)
    return int(count), int(labelled), int(frauds or 0), joined(high, low)


def _newest_label(transaction_id: Any) -> Any:
    said = select(LABELS.c.is_fraud).where(LABELS.c.transaction_id == transaction_id)
    return said.order_by(LABELS.c.sequence.desc()).limit(1).scalar_subquery()
