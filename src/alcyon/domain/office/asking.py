"""Asking for a decision, and what the caller is told."""

from __future__ import annotations

from dataclasses import dataclass


# Nobody changes one. It is not frozen because making it would take four times as long, which is
# felt where twenty thousand are made in a second.
@dataclass(slots=True)
class Answer:
    """What the caller is told of one transaction."""

    transaction_id: str
    action: str
    score: int | None
    probability_ppm: int | None
    reasons: tuple[str, ...]
    """Reason codes, the strongest first, at most 3; those beside the model's come first."""
    rule_hits: tuple[str, ...]
    is_provisional: bool
    """True: the log had not decided in time. This answer is no decision; the decision follows."""
    is_repeat: bool
    """True: it had been decided before; this is that decision."""
    sequence: int | None
    """None where it is provisional."""
