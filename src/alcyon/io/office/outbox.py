"""The outbox: what is to be told, in the same commit as the change it tells of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import msgspec
from sqlalchemy import Connection, delete, func, select, update

from alcyon.domain.office.delivery import (
    ALL_TARGETS,
    LEASE_MS,
    STATUSES,
    Message,
    Parcel,
    Waiting,
)
from alcyon.io.office.database import Change, Database
from alcyon.io.office.tables import OUTBOX, TARGETS

PARCEL_MESSAGES_MAX = 2000
_KEPT_MS = 7 * 86_400_000
"""What was sent is kept for so long, for who looks into what was told."""
WAITING, DONE, DEAD = "waiting", "done", "dead"


def put(change: Change, target: str, messages: Iterable[Message]) -> None:
    """Add messages; one that is there already is left alone."""
    named, now = target_of(change.log, target), change.now
    rows = [
        {
            "target": named, "message_id": m.message_id, "body": m.body.decode(), "at": now,
            "state": WAITING, "attempts": 0, "due_at": now,
        }
        for m in messages
    ]  # fmt: skip
    if rows:
        adding = inserting(change.connection, OUTBOX).on_conflict_do_nothing()
        change.connection.execute(adding, rows)


def target_of(log: str, target: str) -> str:
    """What a target is called in the table: each log's is another one."""
    return f"{log}/{target}"


def put_status(change: Change, case_id: str, transaction_ids: Iterable[str], status: str) -> None:
    """Add what has become of a case's alerts; of two, the later one counts."""
    told = {"transaction_ids": list(transaction_ids), "status": status}
    message = Message(f"{case_id}-{uuid4().hex[:12]}", msgspec.json.encode(told))
    put(change, STATUSES, [message])


def is_any_waiting(connection: Connection, log: str, target: str) -> bool:
    """Whether something is still to be told there, now or later."""
    waiting = (OUTBOX.c.target == target_of(log, target), OUTBOX.c.state == WAITING)
    return connection.execute(select(OUTBOX.c.number).where(*waiting).limit(1)).first() is not None


def inserting(connection: Connection, table: Any) -> Any:
    """An INSERT of the database's own kind, which can say what to do about a conflict."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


class SqlOutbox:
    """Hands over what waits; used by any number of threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, target: str, window_ms: int) -> Parcel | None:
        """A parcel to send now."""
        now, named = self._database.now(), target_of(self._database.log, target)
        with self._database.reading() as connection:  # mostly there is nothing, and no lock needed
            if not _is_any_due(connection, named, now):
                return None
        with self._database.noting() as connection:
            next_at = _locked(connection, named)
            tried = _tried(connection, named)
            if tried is not None and tried.due_at > now:
                return None
            if tried is None:
                if now < next_at:
                    return None
                numbers, parcel_id = _new(connection, named), uuid4().hex
                if not numbers:
                    return None
                later = update(TARGETS).where(TARGETS.c.target == named)
                connection.execute(later.values(next_at=now + window_ms))
                picked = update(OUTBOX).where(OUTBOX.c.number.in_(numbers))
                connection.execute(picked.values(group_id=parcel_id))
            else:
                parcel_id = tried.group_id
            return Parcel(parcel_id, target, *_leased(connection, named, parcel_id, now))

    def sent(self, parcel: Parcel) -> None:
        """It has arrived."""
        now = self._database.now()
        with self._database.noting() as connection:
            connection.execute(
                update(OUTBOX).where(self._in(parcel)).values(state=DONE, problem=None, due_at=now)
            )
            old = (
                OUTBOX.c.target == target_of(self._database.log, parcel.target),
                OUTBOX.c.state == DONE,
                OUTBOX.c.due_at < now - _KEPT_MS,
            )
            connection.execute(delete(OUTBOX).where(*old))

    def failed(self, parcel: Parcel, problem: str, retry_in_ms: int | None) -> None:
        """It did not arrive; dead where it is not to be tried again, which the audit log tells."""
        if retry_in_ms is not None:
            due = {"problem": problem[:500], "due_at": self._database.now() + retry_in_ms}
            with self._database.noting() as connection:
                connection.execute(update(OUTBOX).where(self._in(parcel)).values(**due))
            return
        with self._database.changing() as change:
            dead = {"problem": problem[:500], "state": DEAD, "due_at": change.now}
            change.connection.execute(update(OUTBOX).where(self._in(parcel)).values(**dead))
            change.tell(
                "alcyon", "delivery_given_up", parcel.target,
                parcel_id=parcel.parcel_id, message_count=len(parcel.messages),
            )  # fmt: skip

    def _in(self, parcel: Parcel) -> Any:
        target = target_of(self._database.log, parcel.target)
        is_it = (OUTBOX.c.target == target) & (OUTBOX.c.group_id == parcel.parcel_id)
        return is_it & (OUTBOX.c.state == WAITING)

    def waiting(self) -> Waiting:
        """What is not delivered yet, nor given up. UnreachableError."""
        named = [target_of(self._database.log, name) for name in ALL_TARGETS]
        query = select(func.count(), func.min(OUTBOX.c.at)).where(
            OUTBOX.c.target.in_(named), OUTBOX.c.state == WAITING
        )
        with self._database.reading() as connection:
            return Waiting(*connection.execute(query).one())

    def counts(self) -> dict[str, dict[str, int]]:
        """By target and state: how many messages."""
        query = select(OUTBOX.c.target, OUTBOX.c.state, func.count()).group_by(
            OUTBOX.c.target, OUTBOX.c.state
        )
        found: dict[str, dict[str, int]] = {}
        with self._database.reading() as connection:
            for target, state, count in connection.execute(query):
                log, _, name = target.partition("/")
                if log == self._database.log:
                    found.setdefault(name, {})[state] = count
        return found


def _is_any_due(connection: Connection, target: str, now: int) -> bool:
    due = (OUTBOX.c.target == target, OUTBOX.c.state == WAITING, OUTBOX.c.due_at <= now)
    return connection.execute(select(OUTBOX.c.number).where(*due).limit(1)).first() is not None


def _locked(connection: Connection, target: str) -> int:
    """When the target may be sent the next parcel; nobody else takes one until we are done."""
    first = {"target": target, "next_at": 0}
    connection.execute(inserting(connection, TARGETS).on_conflict_do_nothing(), [first])
    query = select(TARGETS.c.next_at).where(TARGETS.c.target == target).with_for_update()
    return int(connection.execute(query).scalar_one())


def _tried(connection: Connection, target: str) -> Any:
    """A parcel that was made already."""
    made = (OUTBOX.c.target == target, OUTBOX.c.state == WAITING, OUTBOX.c.group_id.is_not(None))
    query = select(OUTBOX.c.group_id, OUTBOX.c.due_at).where(*made)
    return connection.execute(query.order_by(OUTBOX.c.number).limit(1)).one_or_none()


def _new(connection: Connection, target: str) -> list[int]:
    waiting = (OUTBOX.c.target == target, OUTBOX.c.state == WAITING, OUTBOX.c.group_id.is_(None))
    query = select(OUTBOX.c.number).where(*waiting).order_by(OUTBOX.c.number)
    return [row.number for row in connection.execute(query.limit(PARCEL_MESSAGES_MAX))]


def _leased(
    connection: Connection, target: str, parcel_id: str, now: int
) -> tuple[list[Message], int]:
    """(its messages, the attempts with this one)."""
    mine = (OUTBOX.c.target == target, OUTBOX.c.group_id == parcel_id, OUTBOX.c.state == WAITING)
    later = {"attempts": OUTBOX.c.attempts + 1, "due_at": now + LEASE_MS}
    connection.execute(update(OUTBOX).where(*mine).values(**later))
    query = select(OUTBOX.c.message_id, OUTBOX.c.body, OUTBOX.c.attempts).where(*mine)
    rows = connection.execute(query.order_by(OUTBOX.c.number)).all()
    return [Message(row.message_id, row.body.encode()) for row in rows], rows[0].attempts
