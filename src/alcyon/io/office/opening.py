"""Opening: alerts of the decisions log become cases, one open case per card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import msgspec
from sqlalchemy import Connection, bindparam, insert, select, update

from alcyon.domain.errors import LogError
from alcyon.domain.office.cases import Raised, Raising
from alcyon.domain.office.delivery import Message
from alcyon.io.office.database import Change
from alcyon.io.office.outbox import inserting, put, put_status
from alcyon.io.office.seals import add as add_seals
from alcyon.io.office.tables import CASE_ALERTS, CASE_EVENTS, CASES, POSITIONS
from alcyon.io.office.terms import OfficeTerms

US = "alcyon"
"""Who opens cases, and acts where nobody did."""
REVIEW = "REVIEW"
_AT_ONCE = 500
"""Values in one query; SQLite takes 32,766."""


def next_index(connection: Connection, log: str) -> int | None:
    """The first commit that has not been looked at; None: none ever was."""
    query = select(POSITIONS.c.next_index).where(POSITIONS.c.log == log)
    found: int | None = connection.execute(query).scalar()
    return found


def take(change: Change, raising: Raising, terms: OfficeTerms) -> int:
    """Open and extend cases, seal the commits, and go on behind them; how many alerts were new.

    Another process may have been quicker: then nothing is done. LogError: commits were left out.
    """
    connection = change.connection
    stored = next_index(connection, change.log)
    if stored is not None and raising.first_index < stored:
        return 0
    if stored is not None and raising.first_index > stored:
        raise LogError(
            f"commits from {raising.first_index} cannot follow {stored} in the office's store"
        )
    new = _new(change, raising.alerts)
    _extend(change, new, terms)
    for target in terms.alert_targets:
        put(change, target, map(_message, new))
    add_seals(change, raising.first_index, raising.seals)
    _move(change, raising.next_index)
    return len(new)


def _new(change: Change, alerts: Sequence[Raised]) -> list[Raised]:
    """Those in no case yet; of several on one transaction, the first."""
    first = {a.line.transaction_id: a for a in reversed(alerts)}
    known: set[str] = set()
    for some in _parts(list(first)):
        query = select(CASE_ALERTS.c.transaction_id).where(
            CASE_ALERTS.c.log == change.log, CASE_ALERTS.c.transaction_id.in_(some)
        )
        known.update(row.transaction_id for row in change.connection.execute(query))
    return sorted(
        (a for name, a in first.items() if name not in known), key=lambda a: a.line.sequence
    )


def _extend(change: Change, alerts: Sequence[Raised], terms: OfficeTerms) -> None:
    """Put alerts into their cards' open cases, which are made where there are none."""
    by_subject = _by_subject(alerts)
    opened = _open_ones(change, list(by_subject))
    rows = [_case_row(change, opened.get(s), some, terms) for s, some in by_subject.items()]
    new = [row for row in rows if row["card_id"] not in opened]
    known = [row for row in rows if row["card_id"] in opened]
    connection = change.connection
    if new:
        connection.execute(insert(CASES), new)
    if known:
        extended = update(CASES).where(CASES.c.case_id == bindparam("of_case"))
        names = ("due_at", "alert_count", "expected_loss_base_minor")
        values = [{n: row[n] for n in names} | {"of_case": row["case_id"]} for row in known]
        connection.execute(extended.values({n: bindparam(n) for n in names}), values)
    for subject, before in opened.items():
        if before.status != "open":  # in the queue its alerts have been moved on already
            ids = [a.line.transaction_id for a in by_subject[subject]]
            put_status(change, before.case_id, ids, before.status)
    case_ids = {row["card_id"]: row["case_id"] for row in rows}
    if alerts:
        connection.execute(
            insert(CASE_ALERTS), [_alert_row(change.log, case_ids[a.subject], a) for a in alerts]
        )
        connection.execute(
            insert(CASE_EVENTS),
            [
                {"case_id": case_ids[subject], "at": change.now, "by": US,
                 "what": "alert" if i or subject in opened else "opened",
                 "detail": a.line.transaction_id}
                for subject, some in by_subject.items() for i, a in enumerate(some)
            ],
        )  # fmt: skip


def _open_ones(change: Change, subjects: list[str]) -> dict[str, Any]:
    """The open cases of these, by card."""
    found: dict[str, Any] = {}
    for some in _parts(subjects):
        is_it = (CASES.c.log == change.log, CASES.c.card_id.in_(some), CASES.c.status != "closed")
        for row in change.connection.execute(select(CASES).where(*is_it)):
            found[row.card_id] = row
    return found


def _case_row(
    change: Change, before: Any, alerts: Sequence[Raised], terms: OfficeTerms
) -> dict[str, Any]:
    """A card's case with more alerts; before: its row, None where it is opened."""
    due_at = before.due_at if before else None
    if due_at is None and terms.deadline_ms and any(a.line.action == REVIEW for a in alerts):
        due_at = change.now + terms.deadline_ms
    loss = sum(a.expected_loss_base_minor for a in alerts)
    return {
        "case_id": before.case_id if before else uuid4().hex[:16],
        "log": change.log, "card_id": alerts[0].subject, "status": "open",
        "opened_at": change.now, "due_at": due_at,
        "alert_count": (before.alert_count if before else 0) + len(alerts),
        "expected_loss_base_minor": (before.expected_loss_base_minor if before else 0) + loss,
    }  # fmt: skip


def _alert_row(log: str, case_id: str, alert: Raised) -> dict[str, Any]:
    line = alert.line
    return {
        "log": log,
        "transaction_id": line.transaction_id, "case_id": case_id, "sequence": line.sequence,
        "action": line.action, "event_time": line.event_time,
        "expected_loss_base_minor": alert.expected_loss_base_minor,
        "line": msgspec.json.encode(line).decode(),
    }  # fmt: skip


def _message(alert: Raised) -> Message:
    """What is told outside: tokens and codes, never what a payer wrote beyond the merchant's id."""
    line = alert.line
    told = {
        "type": "alert.raised",
        "alert": {
            name: getattr(line, name)
            for name in (
                "transaction_id", "event_time", "action", "score", "reason", "reason_text",
                "amount_minor", "currency", "card_id", "merchant_id", "merchant_country",
                "category",
            )
        } | {"expected_loss_base_minor": alert.expected_loss_base_minor},
    }  # fmt: skip
    return Message(line.transaction_id, msgspec.json.encode(told))


def _by_subject(alerts: Sequence[Raised]) -> dict[str, list[Raised]]:
    found: dict[str, list[Raised]] = {}
    for alert in alerts:
        found.setdefault(alert.subject, []).append(alert)
    return found


def _move(change: Change, index: int) -> None:
    moved = inserting(change.connection, POSITIONS).values(log=change.log, next_index=index)
    moved = moved.on_conflict_do_update(index_elements=["log"], set_={"next_index": index})
    change.connection.execute(moved)


def _parts(values: list[str]) -> Iterator[list[str]]:
    for at in range(0, len(values), _AT_ONCE):
        yield values[at : at + _AT_ONCE]
