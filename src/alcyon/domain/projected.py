"""What a projection stores: commits of the decisions log, as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import Batch
from alcyon.domain.decision import Action, Decision
from alcyon.domain.errors import AlcyonError
from alcyon.domain.record import DeadLetter


class StoreError(AlcyonError):
    """A projection's store cannot be reached or written; nothing of the last write is in it."""


class Alert(msgspec.Struct, frozen=True):
    """A decision that wants a human: every one that is not APPROVE."""

    sequence: int
    transaction_id: str
    event_time: int
    action: Action
    score: int | None
    amount_minor: int
    currency: str
    reason: str
    """The code to show in a list: the first rule's or the model's weightiest."""


@dataclass(frozen=True, eq=False)
class Projected:
    """The commits [first_index, next_index) as rows.

    A store that has some of them already keeps those and adds the others.
    """

    first_index: int
    next_index: int
    transactions: Sequence[Batch]
    """The transactions decided on, in parts, each with the columns that it has; together as many
    rows as `decisions`, in the same order."""
    positions: NDArray[np.int64]
    """Their places in the intake."""
    decisions: Sequence[Decision]
    labels: Batch
    label_sequences: NDArray[np.int64]
    alerts: Sequence[Alert]
    dead_letters: Sequence[DeadLetter]


_NOT_SHOWN = ("base_rate", "other_features")


def alert(decision: Decision, amount_minor: int, currency: str) -> Alert:
    """The alert of a decision that is not APPROVE."""
    return Alert(
        decision.sequence,
        decision.transaction_id,
        decision.event_time,
        Action(decision.action),
        decision.score,
        amount_minor,
        currency,
        reason_shown(decision),
    )


def reason_shown(decision: Decision) -> str:
    """The one code that stands for a decision in a list; `score` where there is none.

    The first code beside the model's (a rule's, `late_transaction` …), else the model's reason
    with the largest part of the log-odds.
    """
    if decision.codes:
        return decision.codes[0]
    reasons = [r for r in decision.reasons if r.code not in _NOT_SHOWN]
    return max(reasons, key=lambda r: r.log_odds).code if reasons else "score"
