"""Cases: claimed by one, noted on, closed with a finding, in one commit with what follows."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, insert, or_, select, update

from alcyon.domain.errors import ConflictError, InputError
from alcyon.domain.office.access import Caller, Role
from alcyon.domain.office.cases import (
    CaseEvent,
    CaseLine,
    CasePage,
    CaseShown,
    CaseStatus,
    Finding,
    Resolution,
)
from alcyon.domain.office.delivery import LABELS, STATUSES, Message
from alcyon.domain.office.searching import AlertLine, Line
from alcyon.io.office.database import Change
from alcyon.io.office.opening import REVIEW, US
from alcyon.io.office.outbox import is_any_waiting, put, put_status
from alcyon.io.office.tables import CASE_ALERTS, CASE_EVENTS, CASES
from alcyon.io.office.terms import OfficeTerms

_line = msgspec.json.Decoder(Line)
_DUE_AT_ONCE = 200
_AT_ONCE = 500


def page(
    connection: Connection, log: str, found_by: tuple[CaseStatus | None, str | None],
    cursor: str | None, limit: int,
) -> CasePage:  # fmt: skip
    """By expected loss, the largest first. found_by: status, who has it. InputError: no such
    cursor."""
    status, claimed_by = found_by
    loss, case_id = CASES.c.expected_loss_base_minor, CASES.c.case_id
    query = select(CASES).where(CASES.c.log == log)
    query = query.order_by(loss.desc(), case_id.desc()).limit(limit + 1)
    if status is not None:
        query = query.where(CASES.c.status == status)
    if claimed_by is not None:
        query = query.where(CASES.c.claimed_by == claimed_by)
    if cursor is not None:
        at_loss, at_id = _place(cursor)
        query = query.where(or_(loss < at_loss, and_(loss == at_loss, case_id < at_id)))
    lines = [_case(row) for row in connection.execute(query)]
    return CasePage(lines[:limit], _cursor(lines[limit - 1]) if len(lines) > limit else None)


def shown(connection: Connection, log: str, case_id: str) -> CaseShown | None:
    """With its alerts by time, and its history; None: this log has none of that id."""
    row = _row(connection, log, case_id)
    if row is None:
        return None
    case = _case(row)
    alerts = [
        AlertLine(
            replace(_line.decode(alert.line), is_fraud=_IS_FRAUD.get(case.finding or "")),
            case.status, case_id, alert.expected_loss_base_minor,
        )
        for alert in _alerts(connection, case_id)
    ]  # fmt: skip
    events = select(CASE_EVENTS).where(CASE_EVENTS.c.case_id == case_id)
    history = [
        CaseEvent(event.at, event.by, event.what, event.detail)
        for event in connection.execute(events.order_by(CASE_EVENTS.c.number))
    ]
    return CaseShown(case, alerts, history)


def of_alerts(
    connection: Connection, log: str, transaction_ids: Sequence[str]
) -> dict[str, tuple[CaseStatus, str]]:
    """The status and the id of the case that each of these alerts is in, where it is in one."""
    found: dict[str, tuple[CaseStatus, str]] = {}
    for at in range(0, len(transaction_ids), _AT_ONCE):
        some = transaction_ids[at : at + _AT_ONCE]
        query = (
            select(CASE_ALERTS.c.transaction_id, CASES.c.status, CASES.c.case_id)
            .join(CASES, CASES.c.case_id == CASE_ALERTS.c.case_id)
            .where(CASE_ALERTS.c.log == log, CASE_ALERTS.c.transaction_id.in_(some))
        )
        for row in connection.execute(query):
            found[row.transaction_id] = (row.status, row.case_id)
    return found


def newest_told(connection: Connection, log: str) -> tuple[str, CaseStatus] | None:
    """The newest alert whose case is not open, and that status, as the queue was told of it.

    None: there is none, or the queue is still to be told of something.
    """
    if is_any_waiting(connection, log, STATUSES):
        return None
    query = (
        select(CASE_ALERTS.c.transaction_id, CASES.c.status)
        .join(CASES, CASES.c.case_id == CASE_ALERTS.c.case_id)
        .where(CASES.c.log == log, CASES.c.status != "open")
        .order_by(CASE_ALERTS.c.sequence.desc())
    )
    row = connection.execute(query.limit(1)).one_or_none()
    return None if row is None else (row.transaction_id, row.status)


def tell_statuses(change: Change) -> int:
    """Tell the queue once more of every case that is not open; how many."""
    query = select(CASES.c.case_id, CASES.c.status)
    rows = list(
        change.connection.execute(query.where(CASES.c.log == change.log, CASES.c.status != "open"))
    )
    for row in rows:
        ids = [alert.transaction_id for alert in _alerts(change.connection, row.case_id)]
        put_status(change, row.case_id, ids, row.status)
    return len(rows)


def claim(change: Change, by: Caller, case_id: str) -> CaseLine:
    """Take it; a repeat changes nothing. ConflictError: another one has it, or it is closed."""
    row = _open(change, case_id)
    if row.claimed_by is not None:
        _check_holder(row, by)
        return _case(row)
    _move(change, case_id, status="claimed", claimed_by=by.person)
    return _noted(change, by, case_id, "claimed", "", is_audited=True)


def release(change: Change, by: Caller, case_id: str) -> CaseLine:
    """Give it back; a lead may do so for others."""
    row = _open(change, case_id)
    if row.claimed_by is None:
        return _case(row)
    if not by.role.may(Role.LEAD):
        _check_holder(row, by)
    _move(change, case_id, status="open", claimed_by=None)
    return _noted(change, by, case_id, "released", row.claimed_by, is_audited=True)


def note(change: Change, by: Caller, case_id: str, text: str) -> CaseLine:
    """Note something, without card numbers."""
    from alcyon.domain.tokens import mask

    if _row(change.connection, change.log, case_id) is None:
        raise InputError(f"no case {case_id[:40]}")
    return _noted(change, by, case_id, "note", mask(text), is_audited=True)


def close(
    change: Change, by: Caller, case_id: str, wanted: tuple[Finding, Resolution | None, str],
    terms: OfficeTerms,
) -> CaseLine:  # fmt: skip
    """Label its transactions and resolve its reviews. wanted: finding, resolution, note.

    InputError: it has reviews, and nobody said what becomes of them.
    """
    finding, resolution, text = wanted
    connection = change.connection
    row = _open(change, case_id)
    if row.claimed_by is not None:
        _check_holder(row, by)
    alerts = _alerts(connection, case_id)
    if any(_waits(alert) for alert in alerts):
        if resolution is None:
            raise InputError("say what becomes of its reviews: release or cancel")
        resolve(change, by.person, case_id, resolution, terms)
    if text:
        note(change, by, case_id, text)
    if finding in _IS_FRAUD:
        labels = [_label(change, by, case_id, alert, finding) for alert in alerts]
        put(change, LABELS, labels)
        _event(change, by.person, case_id, "labelled", f"{finding}: {len(labels)}")
    _move(
        change, case_id, status="closed", closed_at=change.now, finding=finding,
        resolution=resolution or row.resolution, due_at=None,
    )  # fmt: skip
    change.tell(
        by.name, "case_closed", case_id, finding=finding, resolution=resolution,
        transaction_ids=[alert.transaction_id for alert in alerts],
    )  # fmt: skip
    return _noted(change, by, case_id, "closed", finding, is_audited=False)


def resolve(
    change: Change, by: str, case_id: str, resolution: Resolution, terms: OfficeTerms
) -> int:
    """Resolve the case's reviews that are not yet, once and for all; how many there were."""
    waiting = [a for a in _alerts(change.connection, case_id) if _waits(a)]
    for target in terms.resolution_targets:
        told = [_resolution(change, by, case_id, alert, resolution) for alert in waiting]
        put(change, target, told)
    is_one = (CASE_ALERTS.c.case_id == case_id, CASE_ALERTS.c.resolution.is_(None))
    change.connection.execute(
        update(CASE_ALERTS).where(*is_one, CASE_ALERTS.c.action == REVIEW)
        .values(resolution=resolution)
    )  # fmt: skip
    return len(waiting)


def take_deadlines(change: Change, terms: OfficeTerms) -> int:
    """Resolve the reviews of cases that nobody took in time; how many cases. They stay open: what
    they were is still to be found."""
    if terms.deadline_action is None:
        return 0
    due = (CASES.c.log == change.log, CASES.c.status == "open", CASES.c.due_at <= change.now)
    query = select(CASES.c.case_id).where(*due).order_by(CASES.c.due_at).limit(_DUE_AT_ONCE)
    found = [row.case_id for row in change.connection.execute(query)]
    for case_id in found:
        action = terms.deadline_action
        count = resolve(change, US, case_id, action, terms)
        _set(change.connection, case_id, due_at=None, resolution=action)
        _event(change, US, case_id, "resolved", f"{action}: {count}")
        change.tell(US, "case_resolved_by_deadline", case_id, resolution=action)
    return len(found)


_IS_FRAUD = {"fraud": True, "genuine": False}


def _label(change: Change, by: Caller, case_id: str, alert: Any, finding: Finding) -> Message:
    label_id = f"{case_id}-{alert.transaction_id}"
    label = {
        "label_id": label_id, "transaction_id": alert.transaction_id,
        "is_fraud": _IS_FRAUD[finding], "source": "analyst", "author": by.person,
        "labelled_at": max(change.now, alert.event_time),
    }  # fmt: skip
    return Message(label_id, msgspec.json.encode(label))


def _resolution(
    change: Change, by: str, case_id: str, alert: Any, resolution: Resolution
) -> Message:
    resolution_id = f"{case_id}-{alert.transaction_id}"
    told = {
        "type": "review.resolved", "resolution_id": resolution_id,
        "transaction_id": alert.transaction_id, "resolution": resolution, "by": by,
        "at": change.now, "case_id": case_id,
    }  # fmt: skip
    return Message(resolution_id, msgspec.json.encode(told))


def _waits(alert: Any) -> bool:
    return bool(alert.action == REVIEW and alert.resolution is None)


def _open(change: Change, case_id: str) -> Any:
    row = _row(change.connection, change.log, case_id)
    if row is None:
        raise InputError(f"no case {case_id[:40]}")
    if row.status == "closed":
        raise ConflictError("the case is closed")
    return row


def _check_holder(row: Any, by: Caller) -> None:
    if row.claimed_by != by.person:
        raise ConflictError(f"{row.claimed_by} has this case: ask for it, or take another")


def _noted(
    change: Change, by: Caller, case_id: str, what: str, detail: str, *, is_audited: bool
) -> CaseLine:
    _event(change, by.person, case_id, what, detail)
    if is_audited:
        # A note's text stays in the case: the audit log keeps what it is told for ever.
        change.tell(by.name, "case_noted" if what == "note" else f"case_{what}", case_id)
    return _case(_row(change.connection, change.log, case_id))


def _event(change: Change, by: str, case_id: str, what: str, detail: str) -> None:
    event = {"case_id": case_id, "at": change.now, "by": by, "what": what, "detail": detail}
    change.connection.execute(insert(CASE_EVENTS).values(**event))


def _move(change: Change, case_id: str, *, status: CaseStatus, **values: Any) -> None:
    """Another status, for the case and in the queue for its alerts."""
    _set(change.connection, case_id, status=status, **values)
    ids = [alert.transaction_id for alert in _alerts(change.connection, case_id)]
    put_status(change, case_id, ids, status)


def _set(connection: Connection, case_id: str, **values: Any) -> None:
    connection.execute(update(CASES).where(CASES.c.case_id == case_id).values(**values))


def _row(connection: Connection, log: str, case_id: str) -> Any:
    # Whoever knows the id of another log's case would label and resolve in the wrong log.
    is_it = (CASES.c.log == log, CASES.c.case_id == case_id)
    return connection.execute(select(CASES).where(*is_it)).one_or_none()


def _alerts(connection: Connection, case_id: str) -> Sequence[Any]:
    query = select(CASE_ALERTS).where(CASE_ALERTS.c.case_id == case_id)
    return list(connection.execute(query.order_by(CASE_ALERTS.c.sequence)))


def _case(row: Any) -> CaseLine:
    return CaseLine(
        row.case_id, row.card_id, row.status, row.opened_at, row.due_at, row.claimed_by,
        row.closed_at, row.finding, row.resolution, row.alert_count, row.expected_loss_base_minor,
    )  # fmt: skip


def _cursor(case: CaseLine) -> str:
    place = f"{case.expected_loss_base_minor} {case.case_id}"
    return base64.urlsafe_b64encode(place.encode()).decode()


def _place(cursor: str) -> tuple[int, str]:
    try:
        loss, case_id = base64.urlsafe_b64decode(cursor.encode()).decode().split(" ")
        at = int(loss)
        if abs(at) >= 2**63:
            raise ValueError
    except (ValueError, binascii.Error):
        raise InputError("no such cursor: take the one that the page before gave") from None
    return at, case_id
