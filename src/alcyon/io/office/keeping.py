"""Keeping: what leaves the office by age, and what leaves it because somebody asks.

The audit log keeps what it was told: the ids of closed cases' payments, never a card's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

from sqlalchemy import Connection, delete, func, or_, select, update

from alcyon.io.office.database import Change
from alcyon.io.office.tables import CASE_ALERTS, CASE_EVENTS, CASES, OUTBOX, PROPOSALS

ERASED = "erased"
"""What stands where an id stood in a text that stays."""
_AT_ONCE = 500
T = TypeVar("T")
_TEXT = re.compile(r'"([^"\\]*)"')
_PROPOSAL_TEXTS = ("change", "why", "diff", "evidence")


def card_ids(connection: Connection) -> list[str]:
    """What cases are about."""
    return list(connection.execute(select(CASES.c.card_id).distinct()).scalars())


def closed_before(connection: Connection, before_ms: int) -> int:
    """How many cases were closed earlier."""
    is_old = (CASES.c.status == "closed", CASES.c.closed_at < before_ms)
    query = select(func.count()).select_from(CASES).where(*is_old)
    return int(connection.execute(query).scalar_one())


def drop_closed(change: Change, before_ms: int) -> int:
    """Remove the cases that were closed earlier, with their alerts and their history; how many."""
    is_old = (CASES.c.status == "closed", CASES.c.closed_at < before_ms)
    ids = list(change.connection.execute(select(CASES.c.case_id).where(*is_old)).scalars())
    _drop_cases(change, ids)
    return len(ids)


def erase(change: Change, value: str, transaction_ids: Sequence[str], before_sequence: int) -> int:
    """Remove what is known of an id and its payments; how many alerts in cases that was.

    value: as the store holds it. Cases that have no other alert go with their history; others
    lose these alerts. In texts that people wrote, `ERASED` takes its place.
    """
    gone = _alerts(change.connection, value, transaction_ids, before_sequence)
    for some in _parts(list(gone)):
        is_one = CASE_ALERTS.c.transaction_id.in_(some)
        change.connection.execute(delete(CASE_ALERTS).where(is_one))
        change.connection.execute(
            delete(CASE_EVENTS).where(CASE_EVENTS.c.detail.in_(some), CASE_EVENTS.c.what.in_(
                ("opened", "alert")))
        )  # fmt: skip
    _settle(change, set(gone.values()))
    _drop_messages(change.connection, {value, *transaction_ids, *gone})
    _replace(change.connection, value)
    return len(gone)


def _alerts(
    connection: Connection, value: str, ids: Sequence[str], before_sequence: int
) -> dict[str, str]:
    """The case of each alert that goes, by transaction."""
    columns = select(CASE_ALERTS.c.transaction_id, CASE_ALERTS.c.case_id)
    of_value = select(CASES.c.case_id).where(CASES.c.card_id == value)
    found = {
        row.transaction_id: row.case_id
        for row in connection.execute(
            columns.where(
                CASE_ALERTS.c.case_id.in_(of_value), CASE_ALERTS.c.sequence < before_sequence
            )
        )
    }
    for some in _parts(ids):
        for row in connection.execute(columns.where(CASE_ALERTS.c.transaction_id.in_(some))):
            found[row.transaction_id] = row.case_id
    return found


def _settle(change: Change, case_ids: set[str]) -> None:
    """Count these cases anew; those without alerts go."""
    connection = change.connection
    empty = []
    for case_id in sorted(case_ids):
        count, loss = connection.execute(
            select(
                func.count(), func.coalesce(func.sum(CASE_ALERTS.c.expected_loss_base_minor), 0)
            ).where(CASE_ALERTS.c.case_id == case_id)
        ).one()
        if count == 0:
            empty.append(case_id)
            continue
        counted = {"alert_count": count, "expected_loss_base_minor": int(loss)}
        connection.execute(update(CASES).where(CASES.c.case_id == case_id).values(**counted))
    _drop_cases(change, empty)


def _drop_cases(change: Change, case_ids: Sequence[str]) -> None:
    for some in _parts(case_ids):
        for table in (CASE_ALERTS, CASE_EVENTS, CASES):
            change.connection.execute(delete(table).where(table.c.case_id.in_(some)))


def _drop_messages(connection: Connection, names: set[str]) -> None:
    """Messages that name any of these, sent or not."""
    query = select(OUTBOX.c.number, OUTBOX.c.message_id, OUTBOX.c.body)
    numbers = [
        row.number
        for row in connection.execute(query)
        if row.message_id in names or not names.isdisjoint(_TEXT.findall(row.body))
    ]
    for some in _parts(numbers):
        connection.execute(delete(OUTBOX).where(OUTBOX.c.number.in_(some)))


def _replace(connection: Connection, value: str) -> None:
    columns = [CASE_EVENTS.c.detail, *(PROPOSALS.c[name] for name in _PROPOSAL_TEXTS)]
    for column in columns:
        replaced = {column.name: func.replace(column, value, ERASED)}
        has_it = or_(column == value, column.contains(value, autoescape=True))
        connection.execute(update(column.table).where(has_it).values(**replaced))


def _parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for at in range(0, len(values), _AT_ONCE):
        yield values[at : at + _AT_ONCE]
