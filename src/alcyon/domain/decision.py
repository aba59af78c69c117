"""The decision: what is told to the caller and kept for ever."""

from __future__ import annotations

from enum import Enum

import msgspec


class Action(Enum):
    """What we tell the caller. No zero value: an empty field is never an approval.

    `code` is the small integer that columns hold; a larger code is the stricter action.
    """

    APPROVE = "APPROVE"
    STEP_UP = "STEP_UP"
    REVIEW = "REVIEW"
    DECLINE = "DECLINE"

    @property
    def code(self) -> int:
        """1 … 4, by strictness."""
        return _CODES[self]

    @classmethod
    def of_code(cls, code: int) -> Action:
        """The action with this code; KeyError for 0 and all others."""
        return _ACTIONS[code]


_CODES = {Action.APPROVE: 1, Action.STEP_UP: 2, Action.REVIEW: 3, Action.DECLINE: 4}
_ACTIONS = {code: action for action, code in _CODES.items()}


class Reason(msgspec.Struct, frozen=True):
    """One part of the score's log-odds: all reasons of a decision add up to it."""

    code: str
    """A stable reason code (`reasons.toml`), `base_rate` or `other_features`."""
    feature: str | None
    """The feature with the largest part under this code."""
    value: float | None
    """That feature's value as scored."""
    log_odds: float
    """Natural-log odds that this code adds to the score."""


class Versions(msgspec.Struct, frozen=True):
    """What took part in a decision."""

    engine: str
    catalog: str
    rules: str
    lists: str
    policy: str
    model: str
    rates: str
    challenger: str = "none"
    """The model that scored beside it and decided nothing."""


class ChallengerScore(msgspec.Struct, frozen=True):
    """What the challenger says: scored and stored, it decides nothing."""

    score: int
    probability_ppm: int


CERTAIN_PPM = 1_000_000
"""The propensity of an action that nothing but the record and the versions decides."""


class Decision(msgspec.Struct, frozen=True):
    """One decision as the decisions log holds it, encoded as JSON.

    A function of recorded order and versions: no clock, batch, epoch or trace id inside.
    """

    sequence: int
    transaction_id: str
    event_time: int
    action: str
    score: int | None
    """0 … 1000, the log-odds map of `probability_ppm`; None where no model scored."""
    probability_ppm: int | None
    members: dict[str, float]
    """Each member's own score, by member name."""
    codes: tuple[str, ...]
    """Reason codes beside the model's: rule codes, `late_transaction`, `model_missing` …"""
    rule_hits: tuple[str, ...]
    """Ids of the live rules that fired, in order of priority."""
    shadow_hits: tuple[str, ...]
    reasons: tuple[Reason, ...]
    features: bytes
    """The model's features as scored: little-endian float32 in catalog order, NaN is null."""
    versions: Versions
    challenger: ChallengerScore | None = None
    """None where there is no challenger, or no usable score of it."""
    propensity_ppm: int = CERTAIN_PPM
    """How likely this action was, in millionths, before exploration drew (`Policy.exploration`):
    who learns from what was let through weighs it by the inverse."""
