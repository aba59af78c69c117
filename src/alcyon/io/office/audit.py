"""The audit log: who changed what, each entry chained to the one before.

An entry's digest is the SHA-256, in hex, over the digest before it (hex, nothing for the first)
and its own canonical JSON: {at, by, detail, number, subject, what}, keys in order, no spaces.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, insert, select, update

from alcyon.domain.errors import InputError
from alcyon.domain.office.proposals import AuditEntry, AuditPage, Walked
from alcyon.io.office.tables import AUDIT, AUDIT_HEAD

_canonical = msgspec.json.Encoder(order="deterministic")
_AT_ONCE = 1000


class Told(NamedTuple):
    """The newest entry."""

    number: int
    digest: str


def append(
    connection: Connection, last: Told, entry: tuple[int, str, str, str, dict[str, Any]]
) -> Told:
    """Add an entry (at, by, what, subject, detail) behind the last, whose row is locked."""
    at, by, what, subject, detail = entry
    number = last.number + 1
    fields = {"number": number, "at": at, "by": by, "what": what, "subject": subject}
    digest = digest_of(last.digest, fields | {"detail": detail})
    encoded = _canonical.encode(detail).decode()
    connection.execute(insert(AUDIT).values(**fields, detail=encoded, digest=digest))
    connection.execute(update(AUDIT_HEAD).values(number=number, digest=digest))
    return Told(number, digest)


def digest_of(before: str, fields: dict[str, Any]) -> str:
    """An entry's digest. before: that of the entry before; empty for the first."""
    return hashlib.sha256(before.encode() + _canonical.encode(fields)).hexdigest()


def page(connection: Connection, cursor: str | None, limit: int) -> AuditPage:
    """The newest first. InputError: no such cursor."""
    query = select(AUDIT).order_by(AUDIT.c.number.desc()).limit(limit + 1)
    if cursor is not None:
        if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
            raise InputError("no such cursor: take the one that the page before gave")
        query = query.where(AUDIT.c.number < int(cursor))
    entries = [_entry(row) for row in connection.execute(query)]
    is_more = len(entries) > limit
    return AuditPage(entries[:limit], str(entries[limit - 1].number) if is_more else None)


def walk(connection: Connection) -> Walked:
    """Check every entry, the oldest first; stops at the first that is broken."""
    head = connection.execute(select(AUDIT_HEAD.c.number, AUDIT_HEAD.c.digest)).one()
    number, digest = 0, ""
    # Not beyond the head: others go on adding.
    while entries := _between(connection, number, head.number):
        for entry in entries:
            number += 1
            fields = {n: getattr(entry, n) for n in ("at", "by", "what", "subject", "detail")}
            if entry.number != number:
                return Walked(number - 1, digest, number, f"entry {number} is missing")
            if digest_of(digest, fields | {"number": number}) != entry.digest:
                return Walked(number - 1, digest, number, f"entry {number} was changed")
            digest = entry.digest
    if (number, digest) != tuple(head):
        broken = number + 1
        return Walked(number, digest, broken, f"entries from {broken} to {head.number} are missing")
    return Walked(number, digest)


def _between(connection: Connection, number: int, last: int) -> list[AuditEntry]:
    query = select(AUDIT).where(AUDIT.c.number > number, AUDIT.c.number <= last)
    query = query.order_by(AUDIT.c.number)
    return [_entry(row) for row in connection.execute(query.limit(_AT_ONCE))]


def _entry(row: Any) -> AuditEntry:
    try:
        detail = msgspec.json.decode(row.detail)
    except msgspec.DecodeError:  # changed behind our back: the walk tells
        detail = {"unreadable": row.detail}
    return AuditEntry(row.number, row.at, row.by, row.what, row.subject, detail, row.digest)
