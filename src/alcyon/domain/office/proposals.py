"""Proposals: changes that a second person approves, and the audit log of all changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

ProposalKind = Literal["rules", "list", "promotion", "roll_back", "challenger"]

ProposalStatus = Literal["open", "applying", "approved", "rejected", "withdrawn"]
"""applying: approved, and about to take effect; should it not, it is open again."""


@dataclass(frozen=True)
class Proposal:
    """A change that somebody wants."""

    proposal_id: str
    kind: ProposalKind
    change: dict[str, Any]
    """rules: {text} (TOML of all rules); list: {name, column, value, expires_at, is_removal};
    promotion, challenger: {model}; roll_back: {}."""
    base_version: str
    """What was in force when it was proposed; approving refuses where that is another one now."""
    by: str
    """The person."""
    at: int
    why: str
    status: ProposalStatus
    decided_by: str | None = None
    decided_at: int | None = None
    diff: str = ""
    """Unified diff of rules, for people."""
    evidence: dict[str, Any] | None = None


@dataclass(frozen=True)
class AuditEntry:
    """One change, chained to the one before by SHA-256."""

    number: int
    at: int
    by: str
    what: str
    """`user_added`, `key_created`, `case_closed`, `proposal_approved`, `logged_in` …"""
    subject: str
    detail: dict[str, Any]
    digest: str
    """Hex SHA-256 over the digest before and this entry's canonical JSON."""


@dataclass(frozen=True)
class AuditPage:
    """Some entries, the newest first."""

    items: list[AuditEntry]
    next: str | None


@dataclass(frozen=True)
class Walked:
    """What checking a chain of digests came to."""

    count: int
    """Links that are whole, from the first on."""
    digest: str
    """That of the last of them: noted elsewhere, it shows later that nothing was cut off."""
    broken: int | None = None
    """The first that is not whole; None: all are."""
    problem: str = ""
