"""Thresholds: where reviewing and declining cost least money, under the analysts' capacity.

With transactions in order of probability, r the review and d the decline threshold, r ≤ d:

    cost(r, d) = Σ approve-cost below r  +  Σ review-cost in [r, d)  +  Σ decline-cost from d

(`scoring.policy` says what each costs). Every pair of distinct thresholds is considered, those
with more than reviews_per_day · days rows in [r, d) excepted: prefix sums and a sliding minimum
make that one pass.

Segments of amount have pairs of their own (C. Elkan, "The foundations of cost-sensitive learning",
2001: the threshold that costs least depends on what is at stake), and share the reviews in
`SHARES` parts so that together they cost least.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

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

SEGMENTS = 5
"""Of amount, at most, each with as many of the frauds."""
SEGMENT_FRAUDS_MIN = 100
"""Fewer would choose thresholds by chance."""
SHARES = 20


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
    actions = decide_actions(policy, scored.probability_ppm, usable, scored.amount_minor)
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


def choose_policy(scored: Scored, costs: Costs, reviews_per_day: float) -> Policy:
    """The policy that loses least money on these transactions.

    `default` has the best thresholds for all amounts together; segments of amount are there where
    they lose less. InputError if there is no fraud to choose by.
    """
    if not scored.is_fraud.any():
        raise InputError("thresholds need frauds in the validation span; give more days or labels")
    reviews_max = int(reviews_per_day * scored.days)
    default = choose_thresholds(scored, costs, reviews_max)
    alike = Policy({DEFAULT_SEGMENT: default}, costs, reviews_per_day)
    without_amount = scored.take(scored.amount_minor < 1)
    used = round(money(without_amount, alike).reviews_per_day * scored.days)
    segments = {DEFAULT_SEGMENT: default, **_by_amount(scored, costs, reviews_max - used)}
    apart = Policy(segments, costs, reviews_per_day)
    return min(alike, apart, key=lambda policy: money(scored, policy).lost_minor)


def _by_amount(scored: Scored, costs: Costs, reviews_max: int) -> dict[str, Thresholds]:
    """Segments by name, from amount 1 on; none where there are too few frauds for two."""
    begins = _begins(scored.amount_minor[scored.is_fraud])
    if len(begins) < 2:
        return {}
    ends = [*begins[1:], np.iinfo(np.int64).max]
    parts = [
        scored.take((scored.amount_minor >= begin) & (scored.amount_minor < end))
        for begin, end in zip(begins, ends, strict=True)
    ]
    offers = [_offers(part, costs, reviews_max) for part in parts]
    shares = _shared([[offer.lost_minor for offer in of_one] for of_one in offers])
    return {
        f"from_{begin}": msgspec.structs.replace(
            offer[share].thresholds, amount_base_minor_min=begin
        )
        for begin, offer, share in zip(begins, offers, shares, strict=True)
    }


def _begins(amounts: NDArray[np.int64]) -> list[int]:
    """The segments' least amounts: quantiles of the frauds' amounts, the first one 1."""
    n = max(1, min(SEGMENTS, len(amounts) // SEGMENT_FRAUDS_MIN))
    inner = np.quantile(amounts, np.arange(1, n) / n, method="higher")
    return sorted({1, *(int(amount) for amount in inner if amount > 1)})


def _offers(part: Scored, costs: Costs, reviews_max: int) -> list[_Offer]:
    """By how many of the `SHARES` parts of all reviews a segment gets: what it does with them."""
    curve = _Curve.of(part, costs)
    return [curve.cheapest(reviews_max * share // SHARES) for share in range(SHARES + 1)]


def _shared(costs: list[list[float]]) -> list[int]:
    """By segment, how many parts it gets, so that the sum of costs[segment][parts] is least."""
    total, chosen = np.zeros(SHARES + 1), []
    for cost in costs:
        # [parts in all, parts of this segment]
        sums = np.full((SHARES + 1, SHARES + 1), np.inf)
        for own, lost in enumerate(cost):
            sums[own:, own] = total[: SHARES + 1 - own] + lost
        chosen.append(sums.argmin(axis=1))
        total = sums.min(axis=1)
    left, parts = SHARES, []
    for own in reversed(chosen):
        parts.append(int(own[left]))
        left -= parts[-1]
    return parts[::-1]


def choose_thresholds(scored: Scored, costs: Costs, reviews_max: int) -> Thresholds:
    """The cheapest thresholds with at most `reviews_max` reviews over the whole span.

    A threshold stands in the middle between two neighbouring scores, so that the last bit of a
    score does not flip an action.
    """
    return _Curve.of(scored, costs).cheapest(reviews_max).thresholds


class _Offer(NamedTuple):
    """Thresholds, and what they lose."""

    thresholds: Thresholds
    lost_minor: float


@dataclass(frozen=True, eq=False)
class _Curve:
    """What every pair of thresholds costs, over the k distinct scores int64[k]; the others [k + 1],
    of all rows below a score: cost(r, d) = review_from[r] + decline_from[d]."""

    ppm: NDArray[np.int64]
    rows: NDArray[np.int64]
    review_from: NDArray[np.float64]
    decline_from: NDArray[np.float64]

    @classmethod
    def of(cls, scored: Scored, costs: Costs) -> _Curve:
        """That of these transactions."""
        ppm, group = np.unique(scored.probability_ppm, return_inverse=True)
        below = {
            action: np.append(0.0, np.cumsum(np.bincount(group, cost, len(ppm))))
            for action, cost in action_costs(scored, costs).items()
        }
        return cls(
            ppm,
            np.append(0, np.cumsum(np.bincount(group, minlength=len(ppm)))),
            below[Action.APPROVE] - below[Action.REVIEW],
            below[Action.REVIEW] + below[Action.DECLINE][-1] - below[Action.DECLINE],
        )

    def cheapest(self, reviews_max: int) -> _Offer:
        """See `choose_thresholds`."""
        start = _cheapest_start(self.review_from, self.rows, reviews_max)
        cost = self.review_from[start] + self.decline_from
        d = int(np.argmin(cost))
        r = int(start[d])
        middle = (self.ppm[:-1] + self.ppm[1:] + 1) // 2
        limit = np.concatenate([self.ppm[:1], middle, [NEVER]])
        review, decline = int(limit[r]), int(limit[d])
        thresholds = Thresholds(
            review_ppm=None if r == d else review, decline_ppm=None if decline == NEVER else decline
        )
        return _Offer(thresholds, float(cost[d]))


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
