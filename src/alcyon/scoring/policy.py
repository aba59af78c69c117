"""Policy: from a probability to an action, and what each action costs.

Money, per transaction of amount A (base currency, minor units) with truth fraud or genuine:

    APPROVE a fraud      fraud_loss_share · A + fraud_fixed_minor
    APPROVE a genuine    0
    REVIEW  either       review_minutes / 60 · wage_minor_per_hour   (a review finds the truth)
    DECLINE a fraud      0
    DECLINE a genuine    false_decline_share · A + false_decline_fixed_minor

`learning.thresholds` chooses the thresholds that make the sum least under `reviews_per_day`.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.decision import Action

DEFAULT_SEGMENT = "default"
NEVER = 1_000_001
"""Above every probability_ppm: what a threshold that is not set compares as."""

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Amount = Annotated[float, msgspec.Meta(ge=0)]
Ppm = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class Costs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What mistakes and work cost; money in minor units of the base currency."""

    fraud_loss_share: Share = 1.0
    """Part of a fraud's amount that is lost when it is approved."""
    fraud_fixed_minor: Amount = 0.0
    """Lost with every approved fraud whatever its amount: dispute fees and handling."""
    false_decline_share: Share = 0.05
    """Part of a genuine amount that is lost when it is declined: the margin on it."""
    false_decline_fixed_minor: Amount = 500.0
    """Lost with every genuine payment declined: the call, and the customers who leave."""
    review_minutes: Amount = 4.0
    """An analyst's time for one review."""
    wage_minor_per_hour: Amount = 3_000.0

    @property
    def review_minor(self) -> float:
        """The cost of one review, minor units."""
        return self.review_minutes / 60 * self.wage_minor_per_hour


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The probability_ppm from which each action is taken; None: never. The strictest wins."""

    review_ppm: Ppm | None = None
    decline_ppm: Ppm | None = None
    step_up_ppm: Ppm | None = None

    def __post_init__(self) -> None:
        limits = [x for x in (self.step_up_ppm, self.review_ppm, self.decline_ppm) if x is not None]
        if limits != sorted(limits):
            raise ValueError("thresholds must ascend: step_up_ppm <= review_ppm <= decline_ppm")

    def at(self, action: Action) -> int:
        """The threshold of STEP_UP, REVIEW or DECLINE as a number to compare with."""
        set_to = {
            Action.STEP_UP: self.step_up_ppm,
            Action.REVIEW: self.review_ppm,
            Action.DECLINE: self.decline_ppm,
        }[action]
        return NEVER if set_to is None else set_to


class Exploration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payments that the score would decline, let through now and then to learn what they were.

    What is declined gets no label: who learns from approved payments alone never finds out that it
    declines too much. A rule that declines is never overruled.
    """

    share_ppm: Annotated[int, msgspec.Meta(ge=0, le=50_000)] = 0
    """How many of a million; 0: none, at most one in twenty."""
    amount_base_minor_max: Annotated[int, msgspec.Meta(ge=0)] = 0
    """None larger than that, and none whose amount in the base currency is not known."""
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0

    def draws(self, transaction_id: str) -> bool:
        """Whether it is let through: a function of seed and id (keyed BLAKE2b, RFC 7693)."""
        key = self.seed.to_bytes(8, "little")
        drawn = blake2b(transaction_id.encode(), digest_size=8, key=key).digest()
        return int.from_bytes(drawn, "little") % 1_000_000 < self.share_ppm


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Score to action. `segments` holds each segment's thresholds by name; transactions of no
    named segment take `default`."""

    segments: dict[str, Thresholds] = msgspec.field(
        default_factory=lambda: {DEFAULT_SEGMENT: Thresholds()}
    )
    costs: Costs = msgspec.field(default_factory=Costs)
    reviews_per_day: Amount = 100.0
    """How many reviews the analysts can do in a day."""
    fallback_action: Action = Action.REVIEW
    """Taken where no usable score exists."""
    exploration: Exploration = msgspec.field(default_factory=Exploration)

    def __post_init__(self) -> None:
        if DEFAULT_SEGMENT not in self.segments:
            raise ValueError("a policy must have thresholds for the segment 'default'")

    @property
    def segment_names(self) -> tuple[str, ...]:
        """Segment codes are positions in this: `default` is 0, the others in their order."""
        return (DEFAULT_SEGMENT, *(s for s in self.segments if s != DEFAULT_SEGMENT))

    def table(self) -> NDArray[np.int64]:
        """int64[segments, 3]: the STEP_UP, REVIEW and DECLINE thresholds by segment code."""
        actions = (Action.STEP_UP, Action.REVIEW, Action.DECLINE)
        rows = [[self.segments[s].at(a) for a in actions] for s in self.segment_names]
        return np.array(rows, np.int64)


def decide_actions(
    policy: Policy,
    probability_ppm: NDArray[np.int64],
    usable: NDArray[np.bool_],
    segment_codes: NDArray[np.integer] | None = None,
) -> NDArray[np.int8]:
    """int8[n] action codes (`Action.code`): the strictest action whose threshold is reached.

    A row that is not `usable` takes the fallback action; `segment_codes` (int[n], positions in
    `policy.segment_names`) is 0 everywhere when left out.

    >>> policy = Policy({"default": Thresholds(review_ppm=10_000, decline_ppm=500_000)})
    >>> decide_actions(policy, np.array([9_999, 10_000, 500_000]), np.ones(3, np.bool_)).tolist()
    [1, 3, 4]
    """
    thresholds = policy.table()
    limits = thresholds[0] if segment_codes is None else thresholds[segment_codes].T
    step_up, review, decline = limits
    actions = np.where(probability_ppm >= step_up, Action.STEP_UP.code, Action.APPROVE.code)
    actions = np.where(probability_ppm >= review, Action.REVIEW.code, actions)
    actions = np.where(probability_ppm >= decline, Action.DECLINE.code, actions)
    return np.where(usable, actions, policy.fallback_action.code).astype(np.int8)
