"""Maturity: how long after a payment its fraud is known, by who says so.

At the moment the labels were taken, T days after a payment, only frauds reported within T days can
be seen; young payments show short delays alone, and a plain histogram of delays is too quick. So
each day's share is taken among the payments old enough for it: the product-limit estimate in
reversed time, for delays truncated on the right (J. Kalbfleisch and J. Lawless, "Inference based on
retrospective ascertainment", 1989):

    F(d) = Π over delays e > d of (1 − m(e) / r(e))

with m(e) the frauds reported after e days and r(e) those reported after at most e days whose
payment is at least e days old. F counts towards the longest delay there is: frauds that nobody ever
reports are in no label, and in no share here.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import Batch
from alcyon.domain.label import SOURCES
from alcyon.learning.dataset import DAY_MS, Rows
from alcyon.learning.truth import truth_of

ANY = "any"
DAYS = (0, 1, 2, 3, 5, 7, 10, 14, 21, 30, 45, 60, 90, 120)
"""Days after the payment at which a curve is read."""


class Curve(msgspec.Struct, frozen=True):
    """How the reports of one source come in."""

    frauds: int
    """Finally known frauds that this source reported."""
    known_after_days: dict[int, float]
    """By days after the payment, up to the longest delay seen: the share reported by then."""

    def share(self, day: int) -> float:
        """The share reported by that many days after the payment."""
        return max((s for d, s in self.known_after_days.items() if d <= day), default=0.0)


def maturity(rows: Rows, labels: Batch) -> Mapping[str, Curve]:
    """A curve for each source of `labels` that reported frauds among `rows`, and one for `any`,
    whoever was first. A report counts if the fraud is the final truth; of several of one source
    the first. One dated before its payment counts as made at once."""
    final = truth_of(rows.transaction_id, labels, None).is_fraud
    at = {t: k for k, t in enumerate(rows.transaction_id.to_list()) if final[k]}
    of = np.array([at.get(t, -1) for t in labels.strings("transaction_id").to_list()], np.int64)
    labelled_at = np.asarray(labels.numbers("labelled_at"), np.int64)
    source = labels.strings("source").to_list() if "source" in labels else [None] * len(of)
    reports = (labels.numbers("is_fraud") == 1) & (of >= 0)
    now = max(int(labelled_at.max(initial=0)), int(rows.event_time.max(initial=0)))
    curves = {}
    for name in (ANY, *SOURCES):
        chosen = reports & (np.array([s == name for s in source], np.bool_) | (name == ANY))
        first = np.full(len(final), np.iinfo(np.int64).max)
        np.minimum.at(first, of[chosen], labelled_at[chosen])
        known = np.flatnonzero(first < np.iinfo(np.int64).max)
        if len(known):
            paid = rows.event_time[known]
            curves[name] = curve(first[known] - paid, now - paid)
    return curves


def curve(delay_ms: NDArray[np.int64], age_ms: NDArray[np.int64]) -> Curve:
    """The curve of n ≥ 1 frauds: delay int64[n] from payment to report, age int64[n] of the payment
    when the labels were taken, both ms; 0 ≤ delay ≤ age but for clocks."""
    delay = np.maximum(delay_ms, 0) // DAY_MS
    age = np.maximum(age_ms // DAY_MS, delay)
    longest = int(delay.max())
    days = np.arange(longest + 1)
    reported = np.bincount(delay, minlength=longest + 1)
    # A payment is among those at risk of day e if its delay ≤ e ≤ its age.
    enters = np.cumsum(reported)
    leaves = np.cumsum(np.bincount(np.minimum(age, longest) + 1, minlength=longest + 2))[days]
    at_risk = np.maximum(enters - leaves, 1)
    later = np.append(np.cumprod((1 - reported / at_risk)[:0:-1])[::-1], 1.0)
    shares = {day: float(later[day]) for day in DAYS if day < longest} | {longest: 1.0}
    return Curve(len(delay), shares)
