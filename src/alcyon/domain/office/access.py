"""Access: who may ask for what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Role(Enum):
    """What a program's key or a person's account may do; each may what those before it may, but
    those for programs: `INGEST` may only ask for decisions and send labels, `LEARNER` only let the
    worker know of models that `alcyon learn` moved an alias to."""

    INGEST = "ingest"
    LEARNER = "learner"
    VIEWER = "viewer"
    ANALYST = "analyst"
    LEAD = "lead"
    ADMIN = "admin"

    def may(self, needed: Role) -> bool:
        """Whether this role is enough where `needed` is asked for.

        >>> Role.LEAD.may(Role.ANALYST), Role.INGEST.may(Role.VIEWER), Role.ADMIN.may(Role.INGEST)
        (True, False, True)
        """
        if Role.LEARNER in (self, needed):
            return self is needed  # not even an admin: nobody approves what it tells of
        if Role.INGEST in (self, needed):
            return self in (needed, Role.ADMIN)
        return _RANKS.index(self) >= _RANKS.index(needed)


PROGRAMS = (Role.INGEST, Role.LEARNER)
"""Roles that no person has."""
_RANKS = (Role.VIEWER, Role.ANALYST, Role.LEAD, Role.ADMIN)


@dataclass(frozen=True)
class Caller:
    """Who asks. Four-eyes compare `person`."""

    name: str
    """The user's name, or `key:<key_id>`."""
    role: Role
    person: str
    """The user's name; for a key, that of the user who made it, so that a second key is no second
    person."""


OPERATOR = "operator:"
"""Begins the person of whoever works on the command line, where nobody signs in: no user's name
has a colon."""


def operator(name: str) -> Caller:
    """Who works on the command line, as this user of the system; may all but approve."""
    person = f"{OPERATOR}{name}"
    return Caller(person, Role.ADMIN, person)


@dataclass(frozen=True)
class Key:
    """A program's key; the secret itself is kept as a hash only."""

    key_id: str
    role: Role
    note: str
    created_by: str
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None


@dataclass(frozen=True)
class User:
    """A person's account; the password is kept as an argon2id hash only."""

    name: str
    role: Role
    created_at: int
    disabled_at: int | None
