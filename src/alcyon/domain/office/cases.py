"""Cases: the analyst's file over the alerts of one card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from alcyon.domain.office.searching import AlertLine

CaseStatus = Literal["open", "claimed", "closed"]
Finding = Literal["fraud", "genuine", "undetermined"]
"""fraud and genuine write a label for each alert; undetermined writes none."""
Resolution = Literal["release", "cancel"]


@dataclass(frozen=True)
class CaseEvent:
    """Who did what."""

    at: int
    by: str
    what: Literal[
        "opened", "alert", "claimed", "released", "note", "labelled", "closed", "reopened"
    ]
    detail: str


@dataclass(frozen=True)
class CaseLine:
    """A case in a list."""

    case_id: str
    card_id: str
    """The card, or `transaction:<id>` where there is none."""
    status: CaseStatus
    opened_at: int
    due_at: int | None
    """When the deadline action is taken, for reviews that nobody takes."""
    claimed_by: str | None
    closed_at: int | None
    finding: Finding | None
    resolution: Resolution | None
    alert_count: int
    expected_loss_base_minor: int


@dataclass(frozen=True)
class CaseShown:
    """A case with its alerts and its history."""

    case: CaseLine
    alerts: list[AlertLine]
    history: list[CaseEvent]


@dataclass(frozen=True)
class CasePage:
    items: list[CaseLine]
    next: str | None
