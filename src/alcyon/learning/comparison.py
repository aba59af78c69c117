"""Comparison of two models on the same transactions: where they agree, and what each is worth.

Intervals are by bootstrap, paired: both models meet the same draws, so the difference is known
better than either figure. What is drawn is whole cards where they are known, since the payments of
one card are alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.decision import Action
from alcyon.domain.errors import InputError
from alcyon.learning.dataset import Examples
from alcyon.learning.thresholds import Scored, action_costs
from alcyon.scoring.policy import Policy, decide_actions

DRAWS = 400
SHARE = 0.95
"""Of the draws within an interval."""

Figures = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Judged:
    """What a model says of the n examples, and the policy it is judged under."""

    name: str
    log_odds: NDArray[np.float64]
    probability_ppm: NDArray[np.int64]
    policy: Policy


class Interval(msgspec.Struct, frozen=True):
    """A figure, and between what it lies in 95 % of the draws."""

    value: float
    low: float
    high: float


class Worth(msgspec.Struct, frozen=True):
    """What a model is worth, or by how much the second one is worth more than the first."""

    average_precision: Interval
    money_lost_minor: Interval
    """Frauds approved, reviews, and genuine payments declined."""


class Comparison(msgspec.Struct, frozen=True):
    """Two models on the same transactions."""

    names: tuple[str, str]
    transactions: int
    frauds: int
    draws: int
    """With a fraud in them: those without say nothing."""
    agreement: dict[str, dict[str, int]]
    """Transactions by the first model's action, then the second's; actions that were met."""
    agreed_share: float
    first: Worth
    second: Worth
    difference: Worth
    """The second's less the first's."""


def compare(
    examples: Examples, first: Judged, second: Judged, seed: int = 7, draws: int = DRAWS
) -> Comparison:
    """Compare two models. InputError unless the examples hold both classes."""
    fraud = examples.is_fraud
    if fraud.all() or not fraud.any():
        raise InputError("a comparison needs frauds and genuine payments; the span holds one class")
    sides = [_Side.of(examples, judged) for judged in (first, second)]
    ones = np.ones(len(fraud))
    values = np.array([side.figures(ones) for side in sides])
    drawn = _drawn(examples, sides, seed, draws)
    matrix = agreement(sides[0].actions, sides[1].actions)
    return Comparison(
        names=(first.name, second.name),
        transactions=len(fraud),
        frauds=int(fraud.sum()),
        draws=len(drawn),
        agreement=matrix,
        agreed_share=float(np.mean(sides[0].actions == sides[1].actions)),
        first=_worth(values[0], drawn[:, 0]),
        second=_worth(values[1], drawn[:, 1]),
        difference=_worth(values[1] - values[0], drawn[:, 1] - drawn[:, 0]),
    )


@dataclass(frozen=True, eq=False)
class _Side:
    """One model, in descending order of its score, so that a draw only weighs rows anew."""

    order: NDArray[np.int64]
    fraud: NDArray[np.bool_]
    last: NDArray[np.int64]
    """The last row of each distinct score."""
    cost: NDArray[np.float64]
    """Of what the policy does with each example, in the examples' order."""
    actions: NDArray[np.int8]

    @classmethod
    def of(cls, examples: Examples, judged: Judged) -> _Side:
        score = judged.log_odds
        order = np.argsort(-score, kind="stable")
        ordered = score[order]
        last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        usable = np.ones(len(score), np.bool_)
        actions = decide_actions(judged.policy, judged.probability_ppm, usable)
        scored = Scored(
            judged.probability_ppm, examples.is_fraud, examples.amount_minor, examples.days
        )
        costs = action_costs(scored, judged.policy.costs)
        cost = costs[Action.APPROVE].copy()  # a step-up is counted as an approval
        for action in (Action.REVIEW, Action.DECLINE):
            at = actions == action.code
            cost[at] = costs[action][at]
        return cls(order, examples.is_fraud[order], last, cost, actions)

    def figures(self, weights: NDArray[np.float64]) -> Figures:
        """float64[2]: average precision and money lost, each row counted `weights` times."""
        ordered = weights[self.order]
        caught = np.cumsum(ordered * self.fraud)[self.last]
        seen = np.cumsum(ordered)[self.last]
        precision = np.divide(caught, seen, out=np.zeros(len(seen)), where=seen > 0)
        steps = np.diff(caught, prepend=0.0) / caught[-1]
        return np.array([(steps * precision).sum(), (weights * self.cost).sum()])


def _drawn(examples: Examples, sides: list[_Side], seed: int, draws: int) -> Figures:
    """float64[draws, 2 models, 2 figures]."""
    rng = np.random.default_rng(seed)
    n = len(examples.is_fraud)
    unit = np.arange(n) if examples.card is None else examples.card
    _, unit = np.unique(unit, return_inverse=True)
    units = int(unit.max()) + 1
    found = []
    for _ in range(draws):
        weights = np.bincount(rng.integers(0, units, units), minlength=units)[unit].astype(float)
        if weights[examples.is_fraud].any():
            found.append([side.figures(weights) for side in sides])
    return np.array(found).reshape(len(found), 2, 2)


def _worth(values: Figures, drawn: Figures) -> Worth:
    tail = 50 * (1 - SHARE)
    low, high = np.percentile(drawn, [tail, 100 - tail], axis=0)
    precision, money = (
        Interval(float(v), float(a), float(b)) for v, a, b in zip(values, low, high, strict=True)
    )
    return Worth(precision, money)


def agreement(first: NDArray[np.int8], second: NDArray[np.int8]) -> dict[str, dict[str, int]]:
    """How many rows by both models' actions, `Action.code` [n]; only actions that were met."""
    met = [action for action in Action if np.isin(action.code, [first, second])]
    return {
        a.value: {b.value: int(((first == a.code) & (second == b.code)).sum()) for b in met}
        for a in met
    }
