"""Metrics: how well a score ranks and how true its probabilities are. Defined once, here."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.errors import InputError

FALSE_POSITIVE_RATES = (0.001, 0.005, 0.021)
"""Where recall is read: a bank's tolerance, ten times less than it, and one in between."""
CARDS_PER_DAY = 100
BINS = 10


class Ranking(msgspec.Struct, frozen=True):
    """How well a score puts frauds first. Threshold-free."""

    roc_auc: float
    """Chance that a fraud scores above a genuine payment, ties half."""
    average_precision: float
    """Σ (recall step) · precision over descending distinct scores."""
    recall_at_fpr: dict[str, float]
    """By false-positive rate: the most frauds caught with at most that rate of genuine ones."""


class Bin(msgspec.Struct, frozen=True):
    """Rows of like probability: what was said of them and what came."""

    rows: int
    predicted: float
    observed: float


class Calibration(msgspec.Struct, frozen=True):
    """How true probabilities are."""

    brier: float
    """Mean squared difference of probability and truth."""
    expected_error: float
    """ECE: |predicted − observed| over bins of equal rows, weighted by rows."""
    bins: tuple[Bin, ...]


def ranking(score: NDArray[np.floating], is_fraud: NDArray[np.bool_]) -> Ranking:
    """Rank metrics of score [n], larger riskier; InputError unless both classes are there."""
    caught, alarms = operating_points(score, is_fraud)
    frauds, genuine = caught[-1], alarms[-1]
    if frauds == 0 or genuine == 0:
        raise InputError("ranking needs frauds and genuine payments; the span holds one class only")
    recall, false_rate = caught / frauds, alarms / genuine
    precision = caught[1:] / (caught[1:] + alarms[1:])
    at = {
        f"{rate:g}": float(recall[np.searchsorted(false_rate, rate, side="right") - 1])
        for rate in FALSE_POSITIVE_RATES
    }
    return Ranking(
        roc_auc=float(np.trapezoid(recall, false_rate)),
        average_precision=float((np.diff(recall) * precision).sum()),
        recall_at_fpr=at,
    )


def operating_points(
    score: NDArray[np.floating] | NDArray[np.int64], is_fraud: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Frauds caught and genuine payments alarmed, int64[k + 1] each, when the threshold falls
    from above all through each of the k distinct scores. Both start at 0."""
    order = np.argsort(-score, kind="stable")
    ordered, fraud = score[order], is_fraud[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], np.ones(min(len(order), 1))))
    caught = np.cumsum(fraud)[last]
    seen = np.arange(1, len(order) + 1)[last]
    zero = np.zeros(1, np.int64)
    return np.concatenate([zero, caught]), np.concatenate([zero, seen - caught])


def calibration(probability: NDArray[np.float64], is_fraud: NDArray[np.bool_]) -> Calibration:
    """Calibration of probability float64[n] over `BINS` bins of equal rows."""
    parts = np.array_split(np.argsort(probability, kind="stable"), min(BINS, len(probability)))
    bins = tuple(
        Bin(len(rows), float(probability[rows].mean()), float(is_fraud[rows].mean()))
        for rows in parts
    )
    error = sum(b.rows * abs(b.predicted - b.observed) for b in bins) / len(probability)
    return Calibration(float(np.square(probability - is_fraud).mean()), error, bins)


def card_precision(
    score: NDArray[np.floating],
    is_fraud: NDArray[np.bool_],
    cards: NDArray[np.int64],
    days: NDArray[np.int64],
    top: int = CARDS_PER_DAY,
) -> float:
    """Card Precision@top: each day the `top` cards by their largest score are looked at; the
    share that had a fraud that day, averaged over the days. A card found is off the following
    days' lists. All arguments [n]. (Fraud Detection Handbook, "Precision top-k metrics")."""
    found: set[int] = set()
    daily: list[float] = []
    for day in np.unique(days):
        rows = np.flatnonzero(days == day)
        rows = rows[~np.isin(cards[rows], np.fromiter(found, np.int64, len(found)))]
        distinct, at = np.unique(cards[rows], return_inverse=True)
        highest = np.full(len(distinct), -np.inf)
        np.maximum.at(highest, at, score[rows])
        hit = np.zeros(len(distinct), np.bool_)
        np.logical_or.at(hit, at, is_fraud[rows])
        looked_at = np.argsort(-highest, kind="stable")[:top]
        caught = distinct[looked_at][hit[looked_at]]
        daily.append(len(caught) / top)
        found.update(caught.tolist())
    return float(np.mean(daily))


def mean_of(values: Sequence[Ranking]) -> Ranking:
    """The plain mean over folds."""
    rates = values[0].recall_at_fpr
    return Ranking(
        roc_auc=float(np.mean([v.roc_auc for v in values])),
        average_precision=float(np.mean([v.average_precision for v in values])),
        recall_at_fpr={r: float(np.mean([v.recall_at_fpr[r] for v in values])) for r in rates},
    )
