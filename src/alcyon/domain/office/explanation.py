"""Explanation: why a decision is what it is, in facts and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from alcyon.domain.office.searching import Habit, ReasonShown


@dataclass(frozen=True)
class RuleShownHit:
    """A rule that fired."""

    rule_id: str
    name: str
    action: str
    is_live: bool


@dataclass(frozen=True)
class Changed:
    """One column changed, as an honest payer could have."""

    column: str
    from_value: Any
    to_value: Any
    words: str
    """`below 180.00 EUR`, `from a device this card has used before`."""


@dataclass(frozen=True)
class Counterfactual:
    """The smallest change that would have been approved, decided again on the same state."""

    changes: list[Changed]
    action: str
    score: int | None
    tried_count: int


@dataclass(frozen=True)
class Explanation:
    """For analysts only."""

    transaction_id: str
    action: str
    score: int | None
    headline: str
    """`€ 940.00 at m17, NG · DECLINED`: the answer first."""
    log_odds: float | None
    """The score's; the contributions add up to it."""
    contributions: list[ReasonShown]
    """Signed, the largest first."""
    rule_hits: list[RuleShownHit]
    habit: Habit | None
    habit_words: str
    """`usually 23 € in FR; now 940 € in NG, 4th purchase in 6 minutes`."""
    counterfactual: Counterfactual | None
    counterfactual_status: Literal["found", "none", "pending", "unavailable"]
    """none: nothing on the grid would have been approved. unavailable: the state of that time is
    gone, `counterfactual_why` says so."""
    counterfactual_why: str
    prose: str
    """By a template; by a language model where one is set and every fact in it was checked."""
    prose_by: Literal["template", "model"]
