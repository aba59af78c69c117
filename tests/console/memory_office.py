"""An office in memory: cases over simulated alerts, proposals, one person."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from alcyon.domain.errors import AccessError, ConflictError
from alcyon.domain.office.access import Caller, Key, Role, User
from alcyon.domain.office.asking import Answer
from alcyon.domain.office.cases import (
    CaseEvent,
    CaseLine,
    CasePage,
    CaseShown,
    CaseStatus,
    Finding,
    Resolution,
)
from alcyon.domain.office.proposals import AuditPage, Proposal, ProposalKind
from alcyon.domain.office.searching import AlertLine, LabelShown
from tests.console.desk import Scene

PERSON = "ada"
SESSION = "a session"


def now_ms() -> int:
    return round(time.time() * 1000)


class MemoryOffice:
    """Implements `domain.office.ports.Office`; `asked` holds what was changed, in order."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.asked: list[tuple[str, str]] = []
        self._lines: dict[str, CaseLine] = {}
        self._events: dict[str, list[CaseEvent]] = {}
        self._proposals: list[Proposal] = []

    def caller_of_session(self, secret: str) -> Caller | None:
        is_known = self.scene.is_signed_in and secret == SESSION
        return Caller(PERSON, self.scene.role, PERSON) if is_known else None

    def log_in(self, name: str, password: str, address: str) -> str | None:
        self.scene.is_signed_in = password == "correct horse battery"
        return SESSION if self.scene.is_signed_in else None

    def log_out(self, secret: str) -> None:
        self.scene.is_signed_in = False

    def case(self, case_id: str) -> CaseShown | None:
        self.scene.check()
        alerts = self._alerts(case_id)
        if not alerts:
            return None
        return CaseShown(self._line(case_id), alerts, self._events.get(case_id, []))

    def claim(self, by: Caller, case_id: str) -> CaseLine:
        if self._line(case_id).claimed_by not in (None, by.person):
            raise ConflictError(f"{self._line(case_id).claimed_by} has claimed this case")
        return self._set(by, case_id, "claimed", status="claimed", claimed_by=by.person)

    def release(self, by: Caller, case_id: str) -> CaseLine:
        return self._set(by, case_id, "released", status="open", claimed_by=None)

    def note(self, by: Caller, case_id: str, text: str) -> CaseLine:
        return self._set(by, case_id, "note", detail=text)

    def close_case(
        self, by: Caller, case_id: str, finding: Finding, resolution: Resolution | None, note: str
    ) -> CaseLine:
        self.scene.check()
        for alert in self._alerts(case_id):
            self.label(alert.line.transaction_id, finding == "fraud", by)
        return self._set(
            by, case_id, "closed", detail=finding, status="closed", closed_at=now_ms(),
            finding=finding, resolution=resolution,
        )  # fmt: skip

    def label(self, transaction_id: str, is_fraud: bool, by: Caller) -> None:
        world = self.scene.world
        label = LabelShown(
            f"label-{len(world.labels)}", transaction_id, is_fraud, None, None, "analyst",
            by.person, now_ms(),
        )  # fmt: skip
        world.labels.insert(0, label)
        world.lines[:] = [
            replace(x, is_fraud=is_fraud) if x.transaction_id == transaction_id else x
            for x in world.lines
        ]

    def take_over(self, case_id: str, person: str) -> None:
        """Somebody else claims it."""
        self._set(Caller(person, Role.ANALYST, person), case_id, "claimed", status="claimed",
                  claimed_by=person)  # fmt: skip

    def _alerts(self, case_id: str) -> list[AlertLine]:
        return [one for one in self.scene.world.alerts if one.case_id == case_id]

    def _line(self, case_id: str) -> CaseLine:
        first = self._alerts(case_id)[0]
        loss = sum(one.expected_loss_base_minor for one in self._alerts(case_id))
        return self._lines.get(case_id) or CaseLine(
            case_id, first.line.card_id or "", "open", first.line.event_time, None, None, None,
            None, None, len(self._alerts(case_id)), loss,
        )  # fmt: skip

    def _set(
        self, by: Caller, case_id: str, what: Any, *, detail: str = "", **change: Any
    ) -> CaseLine:
        line = self._lines[case_id] = replace(self._line(case_id), **change)
        event = CaseEvent(now_ms(), by.person, what, detail)
        self._events.setdefault(case_id, []).append(event)
        self.asked.append((what, case_id))
        world = self.scene.world
        world.alerts[:] = [
            replace(one, status=line.status) if one.case_id == case_id else one
            for one in world.alerts
        ]
        return line

    def propose(
        self, by: Caller, kind: ProposalKind, change: dict[str, Any], why: str, *,
        base_version: str, diff: str = "", evidence: dict[str, Any] | None = None,
    ) -> Proposal:  # fmt: skip
        made = Proposal(
            f"p-{len(self._proposals)}", kind, change, base_version, by.person, now_ms(), why,
            "open", diff=diff, evidence=evidence,
        )  # fmt: skip
        self._proposals.append(made)
        return made

    def proposals(self, status: str | None) -> list[Proposal]:
        self.scene.check()
        return [one for one in self._proposals if status in (None, one.status)]

    def approve(
        self, by: Caller, proposal_id: str, apply: Callable[[Proposal], dict[str, Any]]
    ) -> tuple[Proposal, dict[str, Any]]:
        at = self._at(proposal_id)
        if self._proposals[at].by == by.person:
            raise AccessError("the proposer cannot approve: ask a colleague")
        outcome = apply(self._proposals[at])
        self._proposals[at] = replace(self._proposals[at], status="approved")
        return self._proposals[at], outcome

    def reject(self, by: Caller, proposal_id: str) -> Proposal:
        at = self._at(proposal_id)
        is_own = self._proposals[at].by == by.person
        status: Any = "withdrawn" if is_own else "rejected"
        self._proposals[at] = replace(self._proposals[at], status=status)
        return self._proposals[at]

    def _at(self, proposal_id: str) -> int:
        return next(n for n, p in enumerate(self._proposals) if p.proposal_id == proposal_id)

    def cases(
        self, status: CaseStatus | None, claimed_by: str | None, cursor: str | None, limit: int
    ) -> CasePage:
        return CasePage([], None)

    def audit(self, cursor: str | None, limit: int) -> AuditPage:
        return AuditPage([], None)

    def caller_of_key(self, secret: str) -> Caller | None:
        return None

    def keys(self) -> list[Key]:
        return []

    def users(self) -> list[User]:
        return []

    def create_key(
        self, by: Caller, role: Role, note: str, expires_at: int | None
    ) -> tuple[str, Key]:
        raise AccessError("not here")

    def revoke_key(self, by: Caller, key_id: str) -> None:
        raise AccessError("not here")

    def add_user(self, by: Caller, name: str, password: str, role: Role) -> User:
        raise AccessError("not here")

    def change_user(
        self, by: Caller, name: str, *, role: Role | None, is_disabled: bool | None
    ) -> User:
        raise AccessError("not here")


class NothingAsked:
    """Implements `domain.office.ports.Asking`: the console asks for no decisions."""

    async def ask(self, payloads: Sequence[bytes]) -> list[Answer]:
        raise AccessError("not here")
