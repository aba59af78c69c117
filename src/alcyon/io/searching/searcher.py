"""StoreSearcher: `Searcher` over the projection's store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import select

from alcyon.domain.decision import Decision
from alcyon.domain.office.searching import (
    ENTITY_COLUMNS,
    AlertPage,
    DeadLetterShown,
    DecisionShown,
    EntityKind,
    EntityShown,
    Filter,
    LabelShown,
    Line,
    Page,
    Statistics,
)
from alcyon.domain.projected import decision_of
from alcyon.domain.transaction import COLUMNS
from alcyon.io.searching.cursors import cursor_of, position_of
from alcyon.io.searching.engines import Database
from alcyon.io.searching.entities import entity
from alcyon.io.searching.filters import is_findable
from alcyon.io.searching.finding import newest_rows, search
from alcyon.io.searching.lines import LINE_COLUMNS, features_of, label_of, lines_of, reason_of
from alcyon.io.searching.queue import AlertStatus, CasesOf, alerts
from alcyon.io.searching.rule_counts import rule_counts
from alcyon.io.searching.statistics import statistics
from alcyon.io.searching.tables import DEAD_LETTERS, DECISIONS, LABELS, TRANSACTIONS, as_text
from alcyon.io.searching.walking import Driver, walk
from alcyon.scoring.reasons import shown_text

LABELS_MAX = 1_000
_DEAD_LETTER = b"l"
Names = Callable[[str], Sequence[str] | None]
"""A catalog's hash to the names of the model's features, None where it is not at hand."""


def no_names(_: str) -> None:
    """No catalog is at hand."""


def no_cases(_: Sequence[str]) -> Mapping[str, tuple[AlertStatus, str]]:
    """No alert is in a case."""
    return {}


class StoreSearcher:
    """`Searcher` over either store; any number of threads may ask at once.

    rule_names: the names of the rules in force, by reason code: what a rule gives as the reason is
    told by its name.
    """

    def __init__(
        self,
        database: Database,
        names: Names = no_names,
        cases_of: CasesOf = no_cases,
        rule_names: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._database, self._names, self._cases_of = database, names, cases_of
        self._rule_names = rule_names

    def search(self, found_by: Filter, cursor: str | None, limit: int) -> Page:
        """Decisions, the newest event time first; InputError: no such cursor, half an entity."""
        found = search(self._database, found_by, cursor, limit)
        return replace(found, items=self._named(found.items))

    def decision(self, transaction_id: str) -> DecisionShown | None:
        """One decision with all that is recorded of it."""
        if not is_findable(transaction_id):
            return None
        ids = self._database.layout.ids.c
        rows = self._database.rows(select(ids.sequence).where(ids.transaction_id == transaction_id))
        return self._shown(rows[0].sequence) if rows else None

    def newest_of(self, entity_kind: EntityKind, entity_id: str) -> DecisionShown | None:
        """The newest decision of a customer, a card …"""
        if not is_findable(entity_id):
            return None
        column = TRANSACTIONS.c[ENTITY_COLUMNS[entity_kind]]
        rows = newest_rows(self._database, column, entity_id, 1)
        return self._shown(rows[0].sequence) if rows else None

    def entity(self, kind: EntityKind, entity_id: str) -> EntityShown | None:
        """An entity; None where it was never seen. What it counts is bounded, see `entities`."""
        found = entity(self._database, kind, entity_id)
        if found is None:
            return None
        found = replace(found, history=self._named(found.history))
        if kind != "card":
            return found
        newest = self._shown(found.history[0].sequence)
        features = {} if newest is None else newest.features
        return replace(found, features=features, features_at=found.history[0].event_time)

    def alerts(
        self, found_by: Filter, status: str | None, cursor: str | None, limit: int
    ) -> AlertPage:
        """The queue, by expected loss, the largest first."""
        page = alerts(self._database, self._cases_of, found_by, status, cursor, limit)
        lines = self._named([item.line for item in page.items])
        items = [replace(item, line=line) for item, line in zip(page.items, lines, strict=True)]
        return replace(page, items=items)

    def statistics(self, first_ms: int, last_ms: int) -> Statistics:
        """From the roll-ups; by hour up to 7 days, else by day."""
        return statistics(self._database, first_ms, last_ms)

    def labels(self, transaction_id: str) -> list[LabelShown]:
        """The labels of a transaction, the newest first."""
        if not is_findable(transaction_id):
            return []
        found = select(LABELS).where(LABELS.c.transaction_id == transaction_id)
        newest = found.order_by(LABELS.c.sequence.desc()).limit(LABELS_MAX)
        return [label_of(row) for row in self._database.rows(newest)]

    def rule_counts(self, first_ms: int) -> dict[str, dict[str, int]]:
        """By rule id: hits, shadow_hits, labelled, frauds, stopped_base_minor, since then."""
        return rule_counts(self._database, first_ms)

    def dead_letters(
        self, reason: str | None, cursor: str | None, limit: int
    ) -> tuple[list[DeadLetterShown], str | None]:
        """Refused records, the newest first."""
        after = None if cursor is None else position_of(_DEAD_LETTER, cursor)
        if not is_findable(reason):
            return [], None
        letters = DEAD_LETTERS.c
        by_place = Driver([select(letters.sequence.label("rank"), letters.sequence)])

        def rows_at(newest: Any) -> Any:
            here = newest.join(DEAD_LETTERS, letters.sequence == newest.c.sequence)
            query = select(newest.c.rank, DEAD_LETTERS).select_from(here)
            return query if reason is None else query.where(letters.reason == reason)

        rows, reached = walk(self._database, by_place, rows_at, after, limit + 1)
        if len(rows) > limit:
            reached = (rows[limit - 1].rank, rows[limit - 1].sequence)
        following = None if reached is None else cursor_of(_DEAD_LETTER, reached)
        return [_dead_letter(row) for row in rows[:limit]], following

    def close(self) -> None:
        """Called once, last."""
        self._database.close()

    def _named(self, lines: list[Line]) -> list[Line]:
        """The same, with reasons that the model did not give by the names of their rules."""
        names = self._rule_names()
        return [
            replace(line, reason_text=names[line.reason])
            if line.reason in names and line.reason_text == shown_text(line.reason, ())
            else line
            for line in lines
        ]

    def _shown(self, sequence: int) -> DecisionShown | None:
        names = [c for c in DECISIONS.c if c.name not in ("versions", "versions_id")]
        versions = as_text(self._database.layout.versions).label("decided_versions")
        columns = [as_text(c).label(f"decided_{c.name}") for c in names]
        of_transaction = [c.label(f"paid_{c.name}") for c in TRANSACTIONS.c]
        query = select(*columns, versions, *of_transaction, *LINE_COLUMNS)
        here = self._database.layout.decided
        rows = self._database.rows(query.select_from(here).where(DECISIONS.c.sequence == sequence))
        return self._of_row(rows[0]) if rows else None

    def _of_row(self, row: Any) -> DecisionShown:
        d = decision_of([getattr(row, f"decided_{n}") for n in Decision.__struct_fields__])
        paid = {name: getattr(row, f"paid_{name}") for name in COLUMNS}
        (line,) = self._named(lines_of([row], self._database))
        return DecisionShown(
            line, d.probability_ppm, d.members, list(d.codes), list(d.rule_hits),
            list(d.shadow_hits), [reason_of(reason) for reason in d.reasons],
            features_of(d.features, self._names(d.versions.catalog)),
            msgspec.structs.asdict(d.versions),
            None if d.challenger is None else msgspec.structs.asdict(d.challenger),
            d.propensity_ppm, {n: v for n, v in paid.items() if v is not None},
            self.labels(d.transaction_id),
        )  # fmt: skip


def _dead_letter(row: Any) -> DeadLetterShown:
    payload = row.payload.decode("utf-8", "backslashreplace")
    return DeadLetterShown(row.sequence, row.topic, row.reason, row.detail, payload)
