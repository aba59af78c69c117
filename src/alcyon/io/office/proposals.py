"""Proposals: a change that one person wants and another one approves."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import msgspec
from sqlalchemy import Connection, insert, select, update

from alcyon.domain.errors import AccessError, ConflictError, InputError
from alcyon.domain.office.access import OPERATOR, Caller
from alcyon.domain.office.proposals import Proposal
from alcyon.io.office.database import Change
from alcyon.io.office.tables import PROPOSALS

_SHOWN_MAX = 500
_encode = msgspec.json.Encoder(order="deterministic").encode


def propose(change: Change, by: Caller, wanted: Proposal) -> Proposal:
    """Keep a proposal; what is in `wanted` of who and when is made here.

    InputError: a card number is in it.
    """
    from alcyon.domain.tokens import mask

    encoded = _encode(wanted.change).decode()
    for given in (encoded, wanted.diff):
        if mask(given) != given:
            raise InputError("there is a card number in it: name the card by its token")
    made = Proposal(
        uuid4().hex[:16], wanted.kind, wanted.change, wanted.base_version, by.person, change.now,
        mask(wanted.why), "open", diff=wanted.diff, evidence=wanted.evidence,
    )  # fmt: skip
    change.connection.execute(
        insert(PROPOSALS).values(
            proposal_id=made.proposal_id, kind=made.kind, change=encoded,
            base_version=made.base_version, by=made.by, at=made.at, why=made.why,
            status=made.status, diff=made.diff,
            evidence=None if made.evidence is None else _encode(made.evidence).decode(),
        )
    )  # fmt: skip
    change.tell(
        by.name, "proposal_made", made.proposal_id, kind=made.kind, base_version=made.base_version
    )
    return made


def page(connection: Connection, status: str | None) -> list[Proposal]:
    """The newest first, at most 500."""
    query = select(PROPOSALS).order_by(PROPOSALS.c.at.desc(), PROPOSALS.c.proposal_id)
    if status is not None:
        query = query.where(PROPOSALS.c.status == status)
    return [_proposal(row) for row in connection.execute(query.limit(_SHOWN_MAX))]


def decide(change: Change, by: Caller, proposal_id: str, is_approved: bool) -> Proposal:
    """Approve it, reject it, or where it is one's own withdraw it.

    AccessError: the proposer approves, whoever that is; or somebody of whom nothing is known.
    """
    found = select(PROPOSALS).where(PROPOSALS.c.proposal_id == proposal_id)
    row = change.connection.execute(found).one_or_none()
    if row is None:
        raise InputError(f"no proposal {proposal_id[:40]}")
    if row.status != "open":
        raise ConflictError(f"it is {row.status} already, by {row.decided_by}")
    is_own = by.person == row.by
    if is_approved and is_own:
        raise AccessError("you proposed it: another person must approve, not you by another key")
    if is_approved and by.person.startswith(OPERATOR):
        raise AccessError(
            "nobody knows who made that key: approve as a user who signs in, or by a key that one "
            "made (alcyon users add)"
        )
    status = "approved" if is_approved else "withdrawn" if is_own else "rejected"
    change.connection.execute(
        update(PROPOSALS).where(PROPOSALS.c.proposal_id == proposal_id)
        .values(status=status, decided_by=by.person, decided_at=change.now)
    )  # fmt: skip
    change.tell(by.name, f"proposal_{status}", proposal_id, kind=row.kind, proposed_by=row.by)
    return _proposal(change.connection.execute(found).one())


def _proposal(row: Any) -> Proposal:
    return Proposal(
        row.proposal_id, row.kind, msgspec.json.decode(row.change), row.base_version, row.by,
        row.at, row.why, row.status, row.decided_by, row.decided_at, row.diff,
        None if row.evidence is None else msgspec.json.decode(row.evidence),
    )  # fmt: skip
