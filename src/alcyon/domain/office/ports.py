"""Ports of the office: what the API asks of stores and runners.

Methods without `async` may block and are called in threads, several at once: implementers are
thread-safe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from alcyon.domain.office.access import Caller, Key, Role, User
from alcyon.domain.office.asking import Answer
from alcyon.domain.office.cases import (
    CaseLine,
    CasePage,
    CaseShown,
    CaseStatus,
    Finding,
    Resolution,
)
from alcyon.domain.office.explanation import Explanation
from alcyon.domain.office.proposals import AuditPage, Proposal, ProposalKind
from alcyon.domain.office.searching import (
    AlertPage,
    DeadLetterShown,
    DecisionShown,
    EntityKind,
    EntityShown,
    Filter,
    LabelShown,
    Page,
    Statistics,
)


class Asking(Protocol):
    """Asks the log for decisions."""

    async def ask(self, payloads: Sequence[bytes]) -> list[Answer]:
        """The answers, in order; each payload is one transaction as JSON.

        What the log has not decided within `decision_timeout_ms` is answered provisionally.
        InputError naming the first payload that is no transaction: none was written.
        ConflictError: an id was used before with another payload. UnreachableError: the log takes
        nothing now.
        """
        ...


class Searcher(Protocol):
    """Reads the projection's store."""

    def search(self, found_by: Filter, cursor: str | None, limit: int) -> Page:
        """Decisions, the newest first. InputError: no such cursor."""
        ...

    def decision(self, transaction_id: str) -> DecisionShown | None:
        """One decision with all that is recorded of it."""
        ...

    def newest_of(self, entity_kind: EntityKind, entity_id: str) -> DecisionShown | None:
        """The newest decision of a customer, a card …"""
        ...

    def entity(self, kind: EntityKind, entity_id: str) -> EntityShown | None:
        """An entity; None where it was never seen."""
        ...

    def alerts(
        self, found_by: Filter, status: str | None, cursor: str | None, limit: int
    ) -> AlertPage:
        """The queue, by expected loss, the largest first."""
        ...

    def statistics(self, first_ms: int, last_ms: int) -> Statistics:
        """From the roll-ups; by hour up to 7 days, else by day."""
        ...

    def labels(self, transaction_id: str) -> list[LabelShown]:
        """All labels of a transaction, the newest first."""
        ...

    def rule_counts(self, first_ms: int) -> dict[str, dict[str, int]]:
        """By rule id: hits, shadow_hits, labelled, frauds, stopped_base_minor, since then."""
        ...

    def dead_letters(
        self, reason: str | None, cursor: str | None, limit: int
    ) -> tuple[list[DeadLetterShown], str | None]:
        """Refused records, the newest first."""
        ...


class Office(Protocol):
    """The office's own store: accounts, keys, cases, proposals, the audit log, the outbox.

    Every change appends to the audit log in the same commit. InputError: it cannot be, says why;
    ConflictError: somebody else was first; AccessError: not this person.
    """

    def caller_of_key(self, secret: str) -> Caller | None: ...
    def create_key(
        self, by: Caller, role: Role, note: str, expires_at: int | None
    ) -> tuple[str, Key]:
        """(the secret, shown once; the key)."""
        ...

    def keys(self) -> list[Key]: ...
    def revoke_key(self, by: Caller, key_id: str) -> None: ...
    def log_in(self, name: str, password: str, address: str) -> str | None:
        """A session's secret; None: name or password is wrong, or too many tries."""
        ...

    def caller_of_session(self, secret: str) -> Caller | None: ...
    def log_out(self, secret: str) -> None: ...
    def users(self) -> list[User]: ...
    def add_user(self, by: Caller, name: str, password: str, role: Role) -> User: ...
    def change_user(
        self, by: Caller, name: str, *, role: Role | None, is_disabled: bool | None
    ) -> User: ...
    def cases(
        self, status: CaseStatus | None, claimed_by: str | None, cursor: str | None, limit: int
    ) -> CasePage: ...
    def case(self, case_id: str) -> CaseShown | None: ...
    def claim(self, by: Caller, case_id: str) -> CaseLine:
        """ConflictError: another one has it."""
        ...

    def release(self, by: Caller, case_id: str) -> CaseLine: ...
    def note(self, by: Caller, case_id: str, text: str) -> CaseLine: ...
    def close_case(
        self, by: Caller, case_id: str, finding: Finding, resolution: Resolution | None, note: str
    ) -> CaseLine:
        """Writes labels and resolutions to the outbox in the same commit."""
        ...

    def propose(
        self,
        by: Caller,
        kind: ProposalKind,
        change: dict[str, Any],
        why: str,
        *,
        base_version: str,
        diff: str = "",
        evidence: dict[str, Any] | None = None,
    ) -> Proposal: ...
    def proposals(self, status: str | None) -> list[Proposal]:
        """The newest first; to the open ones belong those that are about to take effect."""
        ...

    def approve(
        self, by: Caller, proposal_id: str, apply: Callable[[Proposal], dict[str, Any]]
    ) -> tuple[Proposal, dict[str, Any]]:
        """Let it take effect, by `apply`; (it, what came of it).

        One proposal at a time, whoever approves in whatever process: `apply` may compare what is in
        force with what the proposal is based on. Where it raises, the proposal is open again, the
        audit log has the reason, and the error is raised. AccessError: the proposer cannot
        approve, by whatever key or role, nor can who is no lead. ConflictError: another one is
        taking effect.
        """
        ...

    def reject(self, by: Caller, proposal_id: str) -> Proposal:
        """Reject it, or where it is one's own withdraw it. AccessError: it is another's, and `by`
        is no lead."""
        ...

    def audit(self, cursor: str | None, limit: int) -> AuditPage: ...


class Explaining(Protocol):
    """Explains decisions."""

    def explain(self, transaction_id: str, *, with_counterfactual: bool) -> Explanation | None:
        """None: there is no such decision."""
        ...
