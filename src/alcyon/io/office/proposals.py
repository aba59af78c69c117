"""Proposals: a change that one person wants and another one approves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar
from uuid import uuid4

import msgspec
from sqlalchemy import Connection, insert, select, update

from alcyon.domain.errors import AccessError, AlcyonError, ConflictError, InputError, reason_of
from alcyon.domain.office.access import OPERATOR, Caller, Role
from alcyon.domain.office.proposals import Proposal, ProposalStatus
from alcyon.io.office.database import Change, Database
from alcyon.io.office.tables import PROPOSALS

Outcome = TypeVar("Outcome")
OPEN: Final = "open"
APPLYING: Final = "applying"
APPROVED: Final = "approved"
REJECTED: Final = "rejected"
WITHDRAWN: Final = "withdrawn"
APPLYING_MS_MAX = 60_000
"""It takes seconds: what is older was broken off, and may be approved again."""
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
    """The newest first, at most 500; to the open ones belong those that are being applied."""
    query = select(PROPOSALS).order_by(PROPOSALS.c.at.desc(), PROPOSALS.c.proposal_id)
    if status is not None:
        wanted = (OPEN, APPLYING) if status == OPEN else (status,)
        query = query.where(PROPOSALS.c.status.in_(wanted))
    return [_proposal(row) for row in connection.execute(query.limit(_SHOWN_MAX))]


def approve(
    database: Database, by: Caller, proposal_id: str, apply: Callable[[Proposal], Outcome]
) -> tuple[Proposal, Outcome]:
    """Let it take effect, alone; open again where `apply` raises. See `domain.office.ports.Office`.

    The store is not locked meanwhile: applying may wait for a broker.
    """
    with database.changing() as change:  # 1 it is its turn, and nobody else's
        begun = _begin(change, by, proposal_id)
    try:
        outcome = apply(begun)  # 2 it takes effect
    except Exception as error:
        from alcyon.domain.tokens import mask

        with suppress(AlcyonError), database.changing() as change:  # else it is, in a minute
            _end(change, begun, OPEN)
            change.tell(by.name, "proposal_not_applied", proposal_id, why=mask(reason_of(error)))
        raise
    with database.changing() as change:  # 3 it is approved
        approved = _end(change, begun, APPROVED)
        told = {"kind": begun.kind, "proposed_by": begun.by}
        change.tell(by.name, "proposal_approved", proposal_id, **told)
    return approved, outcome


def reject(change: Change, by: Caller, proposal_id: str) -> Proposal:
    """Reject it, or where it is one's own withdraw it. AccessError: it is another's, and you are no
    lead."""
    row = _found(change, proposal_id)
    if by.person != row.by:
        _check_lead(by)
    _check_open(change, row)
    status: ProposalStatus = WITHDRAWN if by.person == row.by else REJECTED
    rejected = _marked(change, proposal_id, status, by.person)
    change.tell(by.name, f"proposal_{status}", proposal_id, kind=row.kind, proposed_by=row.by)
    return rejected


def _begin(change: Change, by: Caller, proposal_id: str) -> Proposal:
    row = _found(change, proposal_id)
    _check_open(change, row)
    if by.person == row.by:
        raise AccessError("you proposed it: another person must approve, not you by another key")
    _check_lead(by)
    if by.person.startswith(OPERATOR):
        raise AccessError(
            "nobody knows who made that key: approve as a user who signs in, or by a key that one "
            "made (alcyon users add)"
        )
    applying = select(PROPOSALS).where(PROPOSALS.c.status == APPLYING)
    for other in change.connection.execute(applying):
        if _is_under_way(change, other):
            raise ConflictError(
                f"proposal {other.proposal_id} is taking effect, approved by {other.decided_by}: "
                "look at what is in force then, and approve again"
            )
    return _marked(change, proposal_id, APPLYING, by.person)


def _check_lead(by: Caller) -> None:
    if not by.role.may(Role.LEAD):
        raise AccessError(
            f"a lead decides what somebody else proposed, and your role is {by.role.value}"
        )


def _end(change: Change, begun: Proposal, status: ProposalStatus) -> Proposal:
    """ConflictError: it took so long that somebody else approved it meanwhile."""
    row = _found(change, begun.proposal_id)
    if (row.status, row.decided_by, row.decided_at) != (
        APPLYING, begun.decided_by, begun.decided_at,
    ):  # fmt: skip
        raise ConflictError(f"it is {row.status} meanwhile, by {row.decided_by}")
    return _marked(change, begun.proposal_id, status, None if status == OPEN else row.decided_by)


def _check_open(change: Change, row: Any) -> None:
    if row.status == APPLYING and _is_under_way(change, row):
        raise ConflictError(f"it is taking effect already, approved by {row.decided_by}")
    if row.status not in (OPEN, APPLYING):
        raise ConflictError(f"it is {row.status} already, by {row.decided_by}")


def _is_under_way(change: Change, row: Any) -> bool:
    """Whether what is being applied may still come to its end."""
    return bool(change.now - row.decided_at < APPLYING_MS_MAX)


def _found(change: Change, proposal_id: str) -> Any:
    found = select(PROPOSALS).where(PROPOSALS.c.proposal_id == proposal_id)
    row = change.connection.execute(found).one_or_none()
    if row is None:
        raise InputError(f"no proposal {proposal_id[:40]}")
    return row


def _marked(
    change: Change, proposal_id: str, status: ProposalStatus, decided_by: str | None
) -> Proposal:
    decided_at = None if decided_by is None else change.now
    change.connection.execute(
        update(PROPOSALS).where(PROPOSALS.c.proposal_id == proposal_id)
        .values(status=status, decided_by=decided_by, decided_at=decided_at)
    )  # fmt: skip
    return _proposal(_found(change, proposal_id))


def _proposal(row: Any) -> Proposal:
    return Proposal(
        row.proposal_id, row.kind, msgspec.json.decode(row.change), row.base_version, row.by,
        row.at, row.why, row.status, row.decided_by, row.decided_at, row.diff,
        None if row.evidence is None else msgspec.json.decode(row.evidence),
    )  # fmt: skip
