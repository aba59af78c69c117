"""Evidence: a challenger beside the champion, on payments that both scored and of which the truth
is known by now."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.decision import Action
from alcyon.domain.errors import InputError
from alcyon.learning.bootstrap import Interval, draws, interval
from alcyon.learning.comparison import agreement
from alcyon.learning.dataset import DAY_MS
from alcyon.learning.history import Known, inverse_propensity
from alcyon.learning.thresholds import Scored, action_costs
from alcyon.scoring.policy import Policy, decide_actions

HOUR_MS = 3_600_000
SCORE_BOUNDS_PPM = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_001)
WEIGHT_MAX = 100.0
"""One payment let through stands for so many declined ones at most."""


class Compared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A figure of both, and challenger less champion."""

    champion: float
    challenger: float
    difference: Interval


class Scores(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many payments have a score below each bound, and not below the one before."""

    bounds_ppm: tuple[int, ...]
    champion: tuple[int, ...]
    challenger: tuple[int, ...]


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was found, from event times [start, stop), with labels known at `as_of`."""

    champion: str
    challenger: str
    """Versions."""
    start: int
    stop: int
    as_of: int
    maturity_ms: int
    transactions: int
    frauds: int
    agreement: float
    """Share of the payments on which both would act alike."""
    actions: dict[str, dict[str, int]]
    """Payments by the champion's action, then the challenger's; actions that were met."""
    scores: Scores
    average_precision: Compared
    money_lost_minor_per_day: Compared
    """Under the policy in force, minor units of the base currency."""
    decline_rate: Compared
    review_rate: Compared
    """Shares of all payments that both scored, young ones too; a step-up is no review."""

    @property
    def days(self) -> float:
        """The time it covers."""
        return (self.stop - self.start) / DAY_MS


@dataclass(frozen=True)
class Asked:
    """What is compared: two versions, judged under a policy by labels of `maturity_ms`."""

    champion: str
    challenger: str
    policy: Policy
    maturity_ms: int = 7 * DAY_MS
    seed: int = 7


def gather(known: Known, asked: Asked) -> Evidence:
    """The evidence. InputError where there is none: too young, or of one class only."""
    both = np.flatnonzero(_scored_by_both(known, asked))
    rows = both[known.mature(asked.maturity_ms)[both]]
    weight = inverse_propensity(known, rows, WEIGHT_MAX, keep_declined=False)
    rows, weight = rows[weight > 0], weight[weight > 0]
    fraud, d = known.is_fraud[rows], known.decisions
    if not fraud.any() or fraud.all():
        raise InputError(
            f"{asked.challenger} beside {asked.champion}: {len(rows)} payments of known outcome, "
            f"{int(fraud.sum())} of them fraud; both kinds are needed, so wait for labels"
        )
    times = d.event_time[rows]
    days = max(float(times.max() + 1 - times.min()) / DAY_MS, 1e-9)
    pairs = _Pairs(known, rows, weight, asked.policy)
    ranked, lost = [], []
    for drawn in draws(times // HOUR_MS, asked.seed):
        ranked.append(pairs.average_precision(drawn * weight))
        lost.append(pairs.lost(drawn * weight) / days)
    return Evidence(
        champion=asked.champion,
        challenger=asked.challenger,
        start=int(times.min()),
        stop=int(times.max()) + 1,
        as_of=known.as_of,
        maturity_ms=asked.maturity_ms,
        transactions=len(rows),
        frauds=int(fraud.sum()),
        agreement=float((pairs.actions[0] == pairs.actions[1]).mean()),
        actions=agreement(*pairs.actions),
        scores=_scores(d.champion_ppm[rows], d.challenger_ppm[rows]),
        average_precision=_compared(pairs.average_precision(weight), np.array(ranked)),
        money_lost_minor_per_day=_compared(pairs.lost(weight) / days, np.array(lost)),
        decline_rate=_rates(known, both, asked, Action.DECLINE),
        review_rate=_rates(known, both, asked, Action.REVIEW),
    )


def weighted_average_precision(
    order: NDArray[np.int64],
    last: NDArray[np.int64],
    is_fraud: NDArray[np.bool_],
    weight: NDArray[np.float64],
) -> float:
    """Σ (recall step) · precision with weights float64[n]; NaN without a fraud of weight.

    order: int64[n], the riskiest first; last: where each distinct score ends in it.
    """
    ordered = weight[order]
    caught = np.cumsum(ordered * is_fraud[order])[last]
    seen = np.cumsum(ordered)[last]
    if not caught[-1] > 0:
        return float("nan")
    precision = np.divide(caught, seen, out=np.zeros(len(seen)), where=seen > 0)
    return float((np.diff(caught, prepend=0.0) * precision).sum() / caught[-1])


class _Pairs:
    """Champion and challenger on m rows."""

    def __init__(
        self,
        known: Known,
        rows: NDArray[np.int64],
        weight: NDArray[np.float64],
        policy: Policy,
    ) -> None:
        d, usable = known.decisions, np.ones(len(rows), np.bool_)
        self.fraud = known.is_fraud[rows]
        ppm = d.champion_ppm[rows], d.challenger_ppm[rows]
        self.actions = [decide_actions(policy, p, usable) for p in ppm]
        scored = [Scored(p, self.fraud, d.amount_minor[rows], 1.0) for p in ppm]
        self._costs = [
            _cost(s, actions, policy) for s, actions in zip(scored, self.actions, strict=True)
        ]
        self._ranks = [_ranked(p) for p in ppm]

    def average_precision(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64[2]."""
        return np.array(
            [weighted_average_precision(*rank, self.fraud, weight) for rank in self._ranks]
        )

    def lost(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64[2], minor units."""
        return np.array([float(weight @ cost) for cost in self._costs])


def _scores(champion: NDArray[np.int64], challenger: NDArray[np.int64]) -> Scores:
    bounds = (0, *SCORE_BOUNDS_PPM)
    counts = [tuple(np.histogram(ppm, bounds)[0].tolist()) for ppm in (champion, challenger)]
    return Scores(SCORE_BOUNDS_PPM, *counts)


def _ranked(ppm: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = np.argsort(-ppm, kind="stable")
    ordered = ppm[order]
    return order, np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))


def _cost(scored: Scored, actions: NDArray[np.int8], policy: Policy) -> NDArray[np.float64]:
    """float64[m]; a step-up is counted as an approval."""
    costs = action_costs(scored, policy.costs)
    reviewed = np.where(actions == Action.REVIEW.code, costs[Action.REVIEW], costs[Action.APPROVE])
    return np.where(actions == Action.DECLINE.code, costs[Action.DECLINE], reviewed)


def _scored_by_both(known: Known, asked: Asked) -> NDArray[np.bool_]:
    d = known.decisions
    by_both = (d.champion == asked.champion.encode()) & (d.challenger == asked.challenger.encode())
    scored: NDArray[np.bool_] = by_both & (d.champion_ppm >= 0) & (d.challenger_ppm >= 0)
    return scored


def _rates(known: Known, rows: NDArray[np.int64], asked: Asked, action: Action) -> Compared:
    """By the scores alone; rules act alike whichever model decides."""
    d, usable = known.decisions, np.ones(len(rows), np.bool_)
    taken = np.stack(
        [
            decide_actions(asked.policy, ppm[rows], usable) == action.code
            for ppm in (d.champion_ppm, d.challenger_ppm)
        ]
    ).astype(np.float64)
    drawn = [
        taken @ count / count.sum()
        for count in map(np.float64, draws(d.event_time[rows] // HOUR_MS, asked.seed))
    ]
    return _compared(taken.mean(axis=1), np.array(drawn))


def _compared(figures: NDArray[np.float64], drawn: NDArray[np.float64]) -> Compared:
    """figures: float64[2]; drawn: float64[draws, 2]."""
    champion, challenger = figures.tolist()
    return Compared(
        champion, challenger, interval(challenger - champion, drawn[:, 1] - drawn[:, 0])
    )
