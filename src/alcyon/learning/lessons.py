"""Lessons: what a challenger is trained on, and what the online member learns next.

Mature payments teach what they turned out to be. A younger one teaches only what somebody trusted
has said of it: so a new attack is learnt from its first labels, and no young fraud as genuine. What
analysts contradict each other about teaches nothing until an issuer or a chargeback settles it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.errors import InputError
from alcyon.learning.dataset import DAY_MS, Dataset, Examples
from alcyon.learning.history import NOBODY, Known, inverse_propensity
from alcyon.learning.trust import Trust, bounded_by_author

WEIGHT_MAX = 20.0
"""One payment let through teaches for so many declined ones at most."""


@dataclass(frozen=True)
class LessonRules:
    """How a history becomes a training set."""

    maturity_ms: int = 7 * DAY_MS
    """How long after a payment its fraud is usually known."""
    validation_share: float = 0.25
    """Of the mature payments' time, the newest: where blend and thresholds are chosen."""
    frauds_min: int = 50
    """Fewest frauds, mature ones, of each span."""
    young_weight: float = 5.0
    """How many a young fraud teaches for: most of its kind are not reported yet. One that a single
    analyst tells of teaches for itself, or fifty wrong labels of a day would for 250."""
    trust: Trust = field(default_factory=Trust)
    seed: int = 7


def lessons(known: Known, feature_names: tuple[str, ...], rules: LessonRules) -> Dataset:
    """The training set as known at its time. InputError where no model can come of it.

    Payments that stand for several, as exploration let them through, are repeated; what stands for
    less than one is drawn, by the seed.
    """
    known = believed(known, rules)
    mature = known.mature(rules.maturity_ms)
    times = known.decisions.event_time
    if not mature.any():
        raise InputError(
            f"no payment of {len(known)} is old enough to learn from; wait, or shorten the maturity"
        )
    first, last = int(times[mature].min()), int(times[mature].max()) + 1
    start = last - round((last - first) * rules.validation_share)
    taught = _taught(known, rules)
    train = np.flatnonzero(taught & ((times < start) | (times >= last)))
    validation = np.flatnonzero(mature & (times >= start))
    for name, rows in (("train", train[times[train] < start]), ("validation", validation)):
        frauds = int(known.is_fraud[rows].sum())
        if frauds < rules.frauds_min or frauds == len(rows):
            raise InputError(
                f"the {name} span holds {frauds} known frauds in {len(rows)} payments, at least "
                f"{rules.frauds_min} are needed, and genuine ones; wait for labels"
            )
    none = known.examples(np.zeros(0, np.int64))
    taught_by, chosen_by = (_repeated(known, rows, rules) for rows in (train, validation))
    return Dataset(feature_names, taught_by, chosen_by, none, known.as_of)


def believed(known: Known, rules: LessonRules) -> Known:
    """The same, but of what an analyst alone says no more than may teach, drawn by the seed.

    The rest is as if it had not been said. Were it only weighed less, a payment falsely called
    fraud would be missing among the genuine, and a thousand of those most like fraud would take
    away what teaches the difference.
    """
    known = heard(known)
    rows = np.flatnonzero(_taught(known, rules))
    weight = _weights(known, rows, rules)
    share = _bounded(known, rows, weight, rules) / weight
    drawn = np.random.default_rng(rules.seed).random(len(rows))
    unsaid = np.zeros(len(known), np.bool_)
    unsaid[rows[drawn >= share]] = True
    return _without(known, unsaid)


def heard(known: Known) -> Known:
    """The same, without what an analyst alone calls genuine: a payment is that once it is mature,
    unless somebody says otherwise, and before nobody can vouch alone that it is no fraud."""
    return _without(known, known.is_said & ~known.is_fraud & (known.author != NOBODY))


def _without(known: Known, unsaid: NDArray[np.bool_]) -> Known:
    """As if nobody had spoken of those."""
    return replace(
        known,
        is_fraud=known.is_fraud & ~unsaid,
        is_first_party=known.is_first_party & ~unsaid,
        is_said=known.is_said & ~unsaid,
        author=np.where(unsaid, NOBODY, known.author),
        said_at=np.where(unsaid, 0, known.said_at),
    )


def next_lessons(
    before: int, known: Known, rules: LessonRules
) -> tuple[Examples, NDArray[np.float64]]:
    """Examples that became known after `before`, in order of time, and float64[n] their weights.

    Each teaches once: when a trusted source first speaks of it as it does now, or else when it
    matures.
    """
    known = heard(known)
    times, as_of = known.decisions.event_time, known.as_of
    said = known.is_said & (known.said_at > before) & ~known.is_first_party & ~known.is_contested
    was_mature = times <= before - rules.maturity_ms
    matured = known.mature(rules.maturity_ms) & ~was_mature & ~known.is_said
    rows = np.flatnonzero(said | matured)
    assert as_of >= before
    return known.examples(rows), _bounded(known, rows, _weights(known, rows, rules), rules)


def _taught(known: Known, rules: LessonRules) -> NDArray[np.bool_]:
    """bool[n]: old enough, or spoken of by somebody trusted."""
    said = known.is_said & ~known.is_first_party & ~known.is_contested
    taught: NDArray[np.bool_] = known.mature(rules.maturity_ms) | said
    return taught


def _repeated(known: Known, rows: NDArray[np.int64], rules: LessonRules) -> Examples:
    weight = _weights(known, rows, rules)
    random = np.random.default_rng(rules.seed)
    times = np.floor(weight).astype(np.int64)
    times += random.random(len(rows)) < weight - times
    chosen = np.repeat(rows, times)
    order = np.argsort(known.decisions.event_time[chosen], kind="stable")
    return known.examples(chosen[order])


def _weights(known: Known, rows: NDArray[np.int64], rules: LessonRules) -> NDArray[np.float64]:
    weight = inverse_propensity(known, rows, WEIGHT_MAX, keep_declined=True)
    is_young = known.decisions.event_time[rows] > known.as_of - rules.maturity_ms
    witnessed = known.is_fraud[rows] & (known.author[rows] == NOBODY)
    weight[is_young & witnessed] *= rules.young_weight
    return weight


def _bounded(
    known: Known, rows: NDArray[np.int64], weight: NDArray[np.float64], rules: LessonRules
) -> NDArray[np.float64]:
    return bounded_by_author(
        weight, known.author[rows], known.is_fraud[rows], rules.trust.author_share_max
    )
