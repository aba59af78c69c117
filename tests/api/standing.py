"""What stands in for the office and the store where a test is about the door or about asking."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event
from typing import Any, cast

from alcyon.api.desk import Controlling
from alcyon.cli.opening.desk import Parts
from alcyon.domain.errors import UnreachableError
from alcyon.domain.office.access import Caller, Role
from alcyon.domain.office.ports import Explaining, Office, Searcher
from alcyon.domain.office.searching import DecisionShown, Line

INGEST, VIEWER, ANALYST, ADMIN = "ingest-key", "viewer-key", "analyst-key", "admin-key"
SESSION = "a-session"
ROLES = {INGEST: Role.INGEST, VIEWER: Role.VIEWER, ANALYST: Role.ANALYST, ADMIN: Role.ADMIN}


@dataclass
class Keys:
    """As much of an office as the door asks."""

    asked: list[str] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)
    is_away: bool = False
    answers: Event = field(default_factory=Event)
    """Set, but where a test has those wait who sign in."""
    waiting: int = 0

    def __post_init__(self) -> None:
        self.answers.set()

    def caller_of_key(self, secret: str) -> Caller | None:
        """One of `ROLES`."""
        self.asked.append(secret)
        if self.is_away:
            raise UnreachableError("the office's store is away")
        if secret in self.revoked or secret not in ROLES:
            return None
        return Caller(f"key:{secret}", ROLES[secret], "ann")

    def caller_of_session(self, secret: str) -> Caller | None:
        """An analyst."""
        return Caller("ann", Role.ANALYST, "ann") if secret == SESSION else None

    def log_in(self, name: str, password: str, address: str) -> str | None:
        """Nobody has an account."""
        self.waiting += 1
        self.answers.wait()
        return None

    def revoke_key(self, by: Caller, key_id: str) -> None:
        """From now on nobody's."""
        self.revoked.add(key_id)


class Shown:
    """As much of a searcher as looking one decision up takes."""

    def decision(self, transaction_id: str) -> DecisionShown | None:
        """Always the same, on any transaction."""
        line = Line(1, transaction_id, 0, "REVIEW", 1, "abroad", "Abroad", 1, "EUR", 1, *[None] * 8)
        return DecisionShown(line, 1, {}, [], [], [], [], {}, {}, None, 1_000_000, {}, [])


def parts(keys: Keys | None = None) -> Parts:
    """The desk's other parts."""
    nothing: Any = None
    return Parts(
        searcher=cast(Searcher, Shown()),
        office=cast(Office, keys or Keys()),
        explaining=cast(Explaining, nothing),
        controlling=cast(Controlling, nothing),
    )
