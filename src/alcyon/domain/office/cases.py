"""Cases: the analyst's file over the alerts of one card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from alcyon.domain.office.searching import AlertLine, Line

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
        "opened",
        "alert",
        "claimed",
        "released",
        "note",
        "labelled",
        "closed",
        "reopened",
        "resolved",
    ]
    """resolved: nobody took it in time, and its reviews got the deadline action."""
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
class Raised:
    """An alert as commits of the decisions log raise it."""

    line: Line
    expected_loss_base_minor: int

    @property
    def subject(self) -> str:
        """What its case is about: `CaseLine.card_id`."""
        return self.line.card_id or f"transaction:{self.line.transaction_id}"


@dataclass(frozen=True)
class Raising:
    """What the commits from `first_index` on come to."""

    first_index: int
    seals: Sequence[bytes]
    """Of each commit: the SHA-256 of each of its decisions, one after the other."""
    alerts: Sequence[Raised]

    @property
    def next_index(self) -> int:
        """The index behind them."""
        return self.first_index + len(self.seals)


@dataclass(frozen=True)
class CasePage:
    """Some cases, the largest expected loss first."""

    items: list[CaseLine]
    next: str | None
