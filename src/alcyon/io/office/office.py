"""The office over a database: each of its words, in one place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from alcyon.domain.office.access import Caller, Key, Role, User
from alcyon.domain.office.cases import (
    CaseLine,
    CasePage,
    CaseShown,
    CaseStatus,
    Finding,
    Raising,
    Resolution,
)
from alcyon.domain.office.ports import Office
from alcyon.domain.office.proposals import AuditPage, Proposal, ProposalKind, Walked
from alcyon.io.office import accounts, audit, cases, keeping, keys, opening, proposals, seals
from alcyon.io.office.database import Database, Place
from alcyon.io.office.outbox import SqlOutbox
from alcyon.io.office.terms import OfficeTerms


class SqlOffice(Office):
    """The office's store; opened by any number of processes, used by any number of threads.

    clock: UTC ms, the system's if not given. UnreachableError from any method: the database does
    not answer, nothing was changed.
    """

    def __init__(
        self, place: Place, terms: OfficeTerms | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None:  # fmt: skip
        self._database = Database(place, clock)
        self._terms = terms or OfficeTerms()
        self._ring = keys.KeyRing(self._database)
        self.outbox = SqlOutbox(self._database)

    def caller_of_key(self, secret: str) -> Caller | None:
        """Who shows this key; one that was revoked elsewhere is known for `keys.CACHED_S` more."""
        return self._ring.caller_of(secret)

    def create_key(
        self, by: Caller, role: Role, note: str, expires_at: int | None
    ) -> tuple[str, Key]:
        """(the secret, shown once; the key)."""
        with self._database.changing() as change:
            return keys.create(change, by, role, note, expires_at)

    def keys(self) -> list[Key]:
        """All keys, the newest first."""
        with self._database.reading() as connection:
            return keys.all_keys(connection)

    def revoke_key(self, by: Caller, key_id: str) -> None:
        """End a key: in this process at once."""
        with self._database.changing() as change:
            keys.revoke(change, by, key_id)
        self._ring.forget()

    def log_in(self, name: str, password: str, address: str) -> str | None:
        """A session's secret."""
        return accounts.log_in(self._database, name, password, address)

    def begin_session(self, name: str) -> str:
        """A session without a password: of the demo's own analyst. There must be such a user."""
        with self._database.changing() as change:
            change.tell(name, "logged_in", name, address="demo")
            return accounts.begin(change, name)

    def caller_of_session(self, secret: str) -> Caller | None:
        """Who is signed in."""
        return accounts.caller_of(self._database, secret)

    def log_out(self, secret: str) -> None:
        """End a session."""
        with self._database.changing() as change:
            accounts.log_out(change, secret)

    def users(self) -> list[User]:
        """All accounts, by name."""
        with self._database.reading() as connection:
            return accounts.all_users(connection)

    def add_user(self, by: Caller, name: str, password: str, role: Role) -> User:
        """Make an account."""
        hashed = accounts.hash_password(name, password)
        with self._database.changing() as change:
            return accounts.add(change, by, name, hashed, role)

    def change_user(
        self, by: Caller, name: str, *, role: Role | None, is_disabled: bool | None
    ) -> User:
        """Change an account; its sessions end where it is disabled."""
        with self._database.changing() as change:
            return accounts.change_user(change, by, name, role, is_disabled)

    def next_index(self) -> int | None:
        """The first commit whose alerts are in no case yet; None: none was looked at."""
        with self._database.reading() as connection:
            return opening.next_index(connection, self._database.log)

    def open_cases(self, raising: Raising) -> int:
        """Open and extend cases; how many alerts were new. A repeat changes nothing."""
        with self._database.changing() as change:
            return opening.take(change, raising, self._terms)

    def take_deadlines(self) -> int:
        """Resolve the reviews that nobody took in time; how many cases."""
        if self._terms.deadline_action is None:
            return 0
        with self._database.changing() as change:
            return cases.take_deadlines(change, self._terms)

    def cases(
        self, status: CaseStatus | None, claimed_by: str | None, cursor: str | None, limit: int
    ) -> CasePage:
        """By expected loss, the largest first."""
        with self._database.reading() as connection:
            found_by = (status, claimed_by)
            return cases.page(connection, self._database.log, found_by, cursor, limit)

    def case(self, case_id: str) -> CaseShown | None:
        """With its alerts and its history."""
        with self._database.reading() as connection:
            return cases.shown(connection, self._database.log, case_id)

    def cases_of(self, transaction_ids: Sequence[str]) -> dict[str, tuple[CaseStatus, str]]:
        """The status and the id of the case that each of these alerts is in, where it is in one."""
        with self._database.reading() as connection:
            return cases.of_alerts(connection, self._database.log, transaction_ids)

    def newest_told(self) -> tuple[str, CaseStatus] | None:
        """The newest alert whose case is not open, and that status; None: there is none, or the
        queue is still to be told of something."""
        with self._database.reading() as connection:
            return cases.newest_told(connection, self._database.log)

    def tell_statuses(self) -> int:
        """Tell the queue of all cases that are not open, once more: where a projection's store was
        filled anew, its alerts are open again. How many cases."""
        with self._database.changing() as change:
            return cases.tell_statuses(change)

    def claim(self, by: Caller, case_id: str) -> CaseLine:
        """Take it."""
        with self._database.changing() as change:
            return cases.claim(change, by, case_id)

    def release(self, by: Caller, case_id: str) -> CaseLine:
        """Give it back."""
        with self._database.changing() as change:
            return cases.release(change, by, case_id)

    def note(self, by: Caller, case_id: str, text: str) -> CaseLine:
        """Note something."""
        with self._database.changing() as change:
            return cases.note(change, by, case_id, text)

    def close_case(
        self, by: Caller, case_id: str, finding: Finding, resolution: Resolution | None, note: str
    ) -> CaseLine:
        """Labels, resolutions, history and audit in one commit."""
        with self._database.changing() as change:
            return cases.close(change, by, case_id, (finding, resolution, note), self._terms)

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
    ) -> Proposal:
        """Keep a proposal."""
        wanted = Proposal(
            "", kind, change, base_version, by.person, 0, why, "open", diff=diff, evidence=evidence
        )
        with self._database.changing() as changing:
            return proposals.propose(changing, by, wanted)

    def proposals(self, status: str | None) -> list[Proposal]:
        """The newest first."""
        with self._database.reading() as connection:
            return proposals.page(connection, status)

    def approve(
        self, by: Caller, proposal_id: str, apply: Callable[[Proposal], dict[str, Any]]
    ) -> tuple[Proposal, dict[str, Any]]:
        """Let it take effect; open again where that fails."""
        return proposals.approve(self._database, by, proposal_id, apply)

    def reject(self, by: Caller, proposal_id: str) -> Proposal:
        """Reject, or withdraw one's own."""
        with self._database.changing() as change:
            return proposals.reject(change, by, proposal_id)

    def audit(self, cursor: str | None, limit: int) -> AuditPage:
        """The newest first."""
        with self._database.reading() as connection:
            return audit.page(connection, cursor, limit)

    def walk_audit(self) -> Walked:
        """Check every entry of the audit log."""
        with self._database.reading() as connection:
            return audit.walk(connection)

    def walk_seals(self) -> Walked:
        """Check the chain of the decisions log's commits."""
        with self._database.reading() as connection:
            log = self._database.log
            return seals.walk(connection, log, opening.next_index(connection, log))

    def seals(self, first_index: int) -> dict[int, bytes]:
        """Some seals from that commit on, by index."""
        with self._database.reading() as connection:
            return seals.sealed(connection, self._database.log, first_index)

    def card_ids(self) -> list[str]:
        """What cases are about."""
        with self._database.reading() as connection:
            return keeping.card_ids(connection)

    def closed_before(self, before_ms: int) -> int:
        """How many cases were closed earlier."""
        with self._database.reading() as connection:
            return keeping.closed_before(connection, before_ms)

    def retire(self, by: Caller, before_ms: int, told: dict[str, int]) -> int:
        """Remove the cases that were closed earlier, and note in the audit log what went here and,
        as `told`, elsewhere; how many cases."""
        with self._database.changing() as change:
            dropped = keeping.drop_closed(change, before_ms)
            change.tell(by.name, "retention", str(before_ms), **told, cases=dropped)
            return dropped

    def erase(
        self, by: Caller, value: str, transaction_ids: Sequence[str], before_sequence: int,
        digest: str, *, is_again: bool,
    ) -> int:  # fmt: skip
        """Remove what is known of an id and its payments, and note it in the audit log under its
        digest; how many alerts in cases. is_again: note it only where something was there."""
        with self._database.changing() as change:
            alerts = keeping.erase(change, value, transaction_ids, before_sequence)
            if alerts or transaction_ids or not is_again:
                change.tell(
                    by.name, "erased", digest, before_sequence=before_sequence,
                    transactions=len(transaction_ids), case_alerts=alerts,
                )  # fmt: skip
        self._database.rewrite()
        return alerts

    def close(self) -> None:
        """Called once, last."""
        self._database.close()
