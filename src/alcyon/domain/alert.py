"""The alert: a decision that wants a human."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from alcyon.domain.decision import CERTAIN_PPM, Action, Decision, Reason

NOT_SHOWN = ("base_rate", "other_features")
"""Codes of a score's parts that say nothing of the payment."""


class Alert(msgspec.Struct, frozen=True):
    """What a list shows of a decision that is not APPROVE; every one of them is an alert."""

    sequence: int
    transaction_id: str
    event_time: int
    action: Action
    score: int | None
    amount_minor: int
    currency: str
    reason: str
    """The one code to show, see `reason_shown`."""


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
        reason_shown(decision.codes, decision.reasons),
    )


def expected_loss(amount_base_minor: int | None, probability_ppm: int | None) -> int:
    """Probability of fraud times amount, minor units of the base currency, rounded down. What no
    model scored counts in full, for nothing speaks for it; an amount without a rate not at all.

    >>> expected_loss(199, 500_000), expected_loss(199, None), expected_loss(None, 500_000)
    (99, 199, 0)
    """
    ppm = CERTAIN_PPM if probability_ppm is None else probability_ppm
    return (amount_base_minor or 0) * ppm // CERTAIN_PPM


def reason_shown(codes: Sequence[str], reasons: Sequence[Reason]) -> str:
    """The one code that stands for a decision in a list; `score` where there is none.

    The first code beside the model's (a rule's, `late_transaction` …), else the model's reason
    with the largest part of the log-odds.
    """
    if codes:
        return codes[0]
    shown = [r for r in reasons if r.code not in NOT_SHOWN]
    return max(shown, key=lambda r: r.log_odds).code if shown else "score"
