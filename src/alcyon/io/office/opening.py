"""Opening: alerts of the decisions log become cases, one open case per card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import msgspec
from sqlalchemy import Connection, insert, select, update

from alcyon.domain.errors import LogError
from alcyon.domain.office.cases import Raised, Raising
from alcyon.domain.office.delivery import Message
from alcyon.io.office.database import Change
from alcyon.io.office.outbox import inserting, put
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
    for subject, alerts in _by_subject(new).items():
        _extend(change, subject, alerts, terms)
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


def _extend(change: Change, subject: str, alerts: Sequence[Raised], terms: OfficeTerms) -> None:
    """Put alerts into the card's open case, which is made where there is none."""
    connection = change.connection
    is_it = (CASES.c.log == change.log, CASES.c.card_id == subject, CASES.c.status != "closed")
    query = select(CASES).where(*is_it)
    row = connection.execute(query).one_or_none()
    loss = sum(a.expected_loss_base_minor for a in alerts)
    due_at = row.due_at if row else None
    if due_at is None and terms.deadline_ms and any(a.line.action == REVIEW for a in alerts):
        due_at = change.now + terms.deadline_ms
    if row is None:
        case_id = uuid4().hex[:16]
        made = insert(CASES).values(
            case_id=case_id, log=change.log,
            card_id=subject, status="open", opened_at=change.now, due_at=due_at,
            alert_count=len(alerts), expected_loss_base_minor=loss,
        )  # fmt: skip
    else:
        case_id = row.case_id
        made = update(CASES).where(CASES.c.case_id == case_id)
        made = made.values(
            due_at=due_at, alert_count=row.alert_count + len(alerts),
            expected_loss_base_minor=row.expected_loss_base_minor + loss,
        )  # fmt: skip
    connection.execute(made)
    connection.execute(insert(CASE_ALERTS), [_alert_row(change.log, case_id, a) for a in alerts])
    events = ["opened" if row is None and not i else "alert" for i in range(len(alerts))]
    connection.execute(
        insert(CASE_EVENTS),
        [
            {"case_id": case_id, "at": change.now, "by": US, "what": what,
             "detail": a.line.transaction_id}
            for what, a in zip(events, alerts, strict=True)
        ],
    )  # fmt: skip


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
