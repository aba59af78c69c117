"""Seals: the decisions log's commits, chained by digests that are kept beside it.

A commit's seal is the SHA-256 of each of its decisions; the chain's digest behind it is the
SHA-256, in hex, over the digest before (hex, nothing for the first), the commit's index as decimal
text, and its seal. So a decision may be erased from the log: its digest stays, and the chain holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, insert, select

from alcyon.domain.office.proposals import Walked
from alcyon.io.office.database import Change
from alcyon.io.office.tables import SEALS

DIGEST_BYTES = 32
_AT_ONCE = 500


def add(change: Change, first_index: int, seals: Iterable[bytes]) -> None:
    """Chain commits, from that index on, behind the last."""
    connection = change.connection
    chain = select(SEALS.c.digest).where(SEALS.c.log == change.log)
    last = chain.order_by(SEALS.c.commit_index.desc()).limit(1)
    digest = connection.execute(last).scalar() or ""
    rows = []
    for index, seal in enumerate(seals, first_index):
        digest = digest_of(digest, index, seal)
        rows.append({"log": change.log, "commit_index": index, "digests": seal, "digest": digest})
    if rows:
        connection.execute(insert(SEALS), rows)


def digest_of(before: str, index: int, seal: bytes) -> str:
    """The chain's digest behind a commit."""
    return hashlib.sha256(b"%s%d%s" % (before.encode(), index, seal)).hexdigest()


def walk(connection: Connection, log: str, end: int | None) -> Walked:
    """Check that the seals are chained; stops at the first that is broken.

    end: the index behind the last commit that was sealed.
    """
    count, digest, expected = 0, "", None
    # Not beyond the end: others go on adding.
    while rows := [r for r in _from(connection, log, expected or 0) if r.commit_index < (end or 0)]:
        for row in rows:
            index = row.commit_index
            if expected is not None and index != expected:
                return Walked(count, digest, expected, f"the seal of commit {expected} is missing")
            if digest_of(digest, index, bytes(row.digests)) != row.digest:
                return Walked(count, digest, index, f"the seal of commit {index} was changed")
            count, digest, expected = count + 1, row.digest, index + 1
    if expected != end:
        return Walked(count, digest, expected or 0, f"the seals end before commit {end}")
    return Walked(count, digest)


def sealed(connection: Connection, log: str, first_index: int) -> dict[int, bytes]:
    """The next seals from there on, by index; empty where there is none."""
    return {row.commit_index: bytes(row.digests) for row in _from(connection, log, first_index)}


def _from(connection: Connection, log: str, index: int) -> list[Any]:
    query = select(SEALS).where(SEALS.c.log == log, SEALS.c.commit_index >= index)
    return list(connection.execute(query.order_by(SEALS.c.commit_index).limit(_AT_ONCE)))
