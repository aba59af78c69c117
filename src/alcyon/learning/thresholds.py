"""Thresholds: where reviewing and declining cost least money, under the analysts' capacity.

With transactions in order of probability, r the review and d the decline threshold, r ≤ d:

    cost(r, d) = Σ approve-cost below r  +  Σ review-cost in [r, d)  +  Σ decline-cost from d

(`scoring.policy` says what each costs). Every pair of distinct thresholds is considered, those
with more than reviews_per_day · days rows in [r, d) excepted: prefix sums and a sliding minimum
make that one pass.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.decision import Action
from alcyon.domain.errors import InputError
from alcyon.scoring.policy import (
    DEFAULT_SEGMENT,
    NEVER,
    Costs,
    Policy,
    Thresholds,
    decide_actions,
)


@dataclass(frozen=True, eq=False)
class Scored:
    """Transactions with truth as thresholds see them, all [n]; `days` is the time they span."""

    probability_ppm: NDArray[np.int64]
    is_fraud: NDArray[np.bool_]
    amount_minor: NDArray[np.int64]
    days: float

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Scored:
        """The transactions at `rows`, over the same time."""
        return Scored(
            self.probability_ppm[rows], self.is_fraud[rows], self.amount_minor[rows], self.days
        )


class Money(msgspec.Struct, frozen=True):
    """What a policy costs over a span; minor units of the base currency."""

    lost_minor: float
    """All of it: approved frauds, reviews, genuine payments declined."""
    saved_minor: float
    """Against approving everything."""
    fraud_minor: float
    review_minor: float
    false_decline_minor: float
    reviews_per_day: float


def action_costs(scored: Scored, costs: Costs) -> dict[Action, NDArray[np.float64]]:
    """float64[n] per action: what APPROVE, REVIEW, DECLINE of each transaction would cost."""
    amount, fraud = scored.amount_minor.astype(np.float64), scored.is_fraud
    loss = costs.fraud_loss_share * amount + costs.fraud_fixed_minor
    declined = costs.false_decline_share * amount + costs.false_decline_fixed_minor
    return {
        Action.APPROVE: np.where(fraud, loss, 0.0),
        Action.REVIEW: np.full(len(amount), costs.review_minor),
        Action.DECLINE: np.where(fraud, 0.0, declined),
    }


def money(scored: Scored, policy: Policy) -> Money:
    """What `policy` costs on these transactions; a step-up is counted as an approval."""
    costs = action_costs(scored, policy.costs)
    usable = np.ones(len(scored.is_fraud), np.bool_)
    actions = decide_actions(policy, scored.probability_ppm, usable)
    reviewed, declined = actions == Action.REVIEW.code, actions == Action.DECLINE.code
    fraud = float(costs[Action.APPROVE][~reviewed & ~declined].sum())
    review = float(costs[Action.REVIEW][reviewed].sum())
    false_decline = float(costs[Action.DECLINE][declined].sum())
    lost = fraud + review + false_decline
    return Money(
        lost_minor=lost,
        saved_minor=float(costs[Action.APPROVE].sum()) - lost,
        fraud_minor=fraud,
        review_minor=review,
        false_decline_minor=false_decline,
        reviews_per_day=float(reviewed.sum()) / scored.days,
    )


def choose_policy(
    scored: Scored,
    costs: Costs,
    reviews_per_day: float,
    segments: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Policy:
    """The policy that loses least money on these transactions.

    segments: bool[n] by name, which transactions are in it; the rest is `default`. Capacity is
    shared out by transactions. InputError if there is no fraud to choose by.
    """
    if not scored.is_fraud.any():
        raise InputError("thresholds need frauds in the validation span; give more days or labels")
    parts = dict(segments or {})
    rest = np.ones(len(scored.is_fraud), np.bool_)
    for inside in parts.values():
        rest &= ~inside
    chosen = {}
    for name, inside in {DEFAULT_SEGMENT: rest, **parts}.items():
        capacity = int(reviews_per_day * scored.days * inside.mean())
        chosen[name] = choose_thresholds(scored.take(inside), costs, capacity)
    return Policy(segments=chosen, costs=costs, reviews_per_day=reviews_per_day)


def choose_thresholds(scored: Scored, costs: Costs, reviews_max: int) -> Thresholds:
    """The cheapest thresholds with at most `reviews_max` reviews over the whole span.

    A threshold stands in the middle between two neighbouring scores, so that the last bit of a
    score does not flip an action.
    """
    ppm, group = np.unique(scored.probability_ppm, return_inverse=True)
    cost = action_costs(scored, costs)
    # [k + 1] each: the cost of all rows below the k-th distinct score under one action.
    below = {a: np.append(0.0, np.cumsum(np.bincount(group, c, len(ppm)))) for a, c in cost.items()}
    rows = np.append(0, np.cumsum(np.bincount(group, minlength=len(ppm))))
    review_from = below[Action.APPROVE] - below[Action.REVIEW]
    decline_from = below[Action.REVIEW] + below[Action.DECLINE][-1] - below[Action.DECLINE]
    start = _cheapest_start(review_from, rows, reviews_max)
    d = int(np.argmin(review_from[start] + decline_from))
    r = int(start[d])
    limit = np.concatenate([ppm[:1], (ppm[:-1] + ppm[1:] + 1) // 2, [NEVER]])
    review, decline = int(limit[r]), int(limit[d])
    return Thresholds(
        review_ppm=None if r == d else review, decline_ppm=None if decline == NEVER else decline
    )


def _cheapest_start(
    value: NDArray[np.float64], rows: NDArray[np.int64], rows_max: int
) -> NDArray[np.int64]:
    """int64[k]: for each end d the start r ≤ d of least value[r] with rows[d] − rows[r] ≤
    rows_max; the largest such r among equals, so that nobody reviews for nothing."""
    found, candidates = np.empty(len(value), np.int64), deque[int]()
    values, counts = value.tolist(), rows.tolist()
    for end in range(len(values)):
        while candidates and values[candidates[-1]] >= values[end]:
            candidates.pop()
        candidates.append(end)
        while counts[end] - counts[candidates[0]] > rows_max:
            candidates.popleft()
        found[end] = candidates[0]
    return found
