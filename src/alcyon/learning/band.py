"""The band: how a new champion behaved while it was a challenger, and whether it still does.

Kinds of payments are counted: acted on more strictly than the replaced model would have, scored
far above it, among the new one's highest scores and not among the other's, and so on. All compare
the two models on the same payments: an attack, a holiday or a label that comes late moves both, and
is no fault of the champion. Payments that the replaced model did not score say nothing. For each
kind the band holds the highest share that each hour of the week may have, by what that hour and
those beside it had. What comes later is followed one by one with the cumulative sum of
log-likelihood ratios between that share and one clearly beyond it (E. Page, "Continuous inspection
schemes", 1954). The band is left where a sum passes `THRESHOLD` and since it was last 0 there were
`BURST` payments of the kind more than usual: so many one attack may bring about on a quiet night.

A week shows what a week is like: hours that were not seen, for the two models were beside each
other for less, may have twice the highest share of all that were.

Kinds are of scores under the policy of that time, so what others change (rules, thresholds) does
not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from alcyon.domain.errors import InputError
from alcyon.scoring.policy import Policy, decide_actions

HOUR_MS = 3_600_000
BURST = 60
BEYOND_MIN = 0.03
WEEK_HOURS = 168
STANDARD_ERRORS, MARGIN, UNSEEN = 3.0, 1.1, 2.0
"""Shares were estimated, and two weeks are not alike: the band is wider by so much."""
THRESHOLD, SUM_MAX = 25.0, 30.0
"""By chance alone a sum passes the threshold once in e^25 payments (7e10) or more seldom; it is
held below the other bound, so that what has passed is soon forgotten."""
PAYMENTS_MIN = 2_000
CELL_PAYMENTS_MIN = 200
RARE = 0.005
"""At either end of the differences from the replaced model lies this share of the payments."""
QUANTILES = (0.1, 0.5, 0.9)
"""Of each model's scores: what is above it for one of them only is a kind."""
_FEW, _MANY = 1e-4, 0.9


class Kind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The highest shares of all payments that are within the band, by UTC hour of the week."""

    highs: tuple[float, ...]


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What evaluation predicted of `champion` beside `replaced`, both versions."""

    champion: str
    replaced: str
    start: int
    stop: int
    payments: int
    policy: Policy
    edges: tuple[float, ...]
    replaced_edges: tuple[float, ...]
    """Log-odds of the champion and of the replaced model; see `QUANTILES`."""
    usual_low: float
    usual_high: float
    """Log-odds between which the difference from the replaced model usually lies."""
    kinds: dict[str, Kind]


class Departure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The band was left: how, when, and after how many payments of that champion."""

    kind: str
    at: int
    """Event time of the payment that made it certain."""
    share: float
    """Of this kind among the payments followed last."""
    predicted: float
    """The highest share that was within the band, at that hour."""


@dataclass(frozen=True, eq=False)
class Watch:
    """What was followed so far. sums, excess: float64[kinds]; excess: payments more than usual
    since the sum was last 0."""

    sums: NDArray[np.float64]
    excess: NDArray[np.float64]
    payments: int = 0
    departure: Departure | None = None

    @classmethod
    def begin(cls, band: Band) -> Watch:
        """Nothing yet."""
        none = np.zeros(len(band.kinds))
        return cls(none, none)


@dataclass(frozen=True, eq=False)
class Live:
    """Payments in order of sequence, int64[n] each: what both models said (-1: nothing)."""

    champion_ppm: NDArray[np.int64]
    replaced_ppm: NDArray[np.int64]
    event_time: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.event_time)


def predict(champion: str, replaced: str, seen: Live, policy: Policy) -> Band:
    """The band, from payments that both scored while the replaced one still decided.

    InputError: there are too few.
    """
    seen = _both(seen)
    if len(seen) < PAYMENTS_MIN:
        raise InputError(
            f"{champion} scored {len(seen)} payments beside {replaced}, {PAYMENTS_MIN} are needed "
            "to say how it will behave"
        )
    score, other = log_odds(seen.champion_ppm), log_odds(seen.replaced_ppm)
    low, high = np.quantile(score - other, [RARE, 1 - RARE]).tolist()
    edges, others = (tuple(np.quantile(s, QUANTILES).tolist()) for s in (score, other))
    start, stop = int(seen.event_time.min()), int(seen.event_time.max()) + 1
    draft = Band(champion, replaced, start, stop, len(seen), policy, edges, others, low, high, {})
    kinds = {name: _highs(is_kind, seen.event_time) for name, is_kind in _kinds(draft, seen)}
    return msgspec.structs.replace(draft, kinds=kinds)


def follow(band: Band, watch: Watch, live: Live) -> Watch:
    """The watch after these payments too; the first departure stays."""
    live = _paired(live)
    sums, excess = watch.sums.copy(), watch.excess.copy()
    first = watch.departure
    hour = live.event_time // HOUR_MS % WEEK_HOURS
    for k, (name, is_kind) in enumerate(_kinds(band, live)):
        usual = np.array(band.kinds[name].highs)[hour]
        beyond = np.minimum(usual + np.maximum(usual, BEYOND_MIN), (1 + usual) / 2)
        row, sums[k], excess[k] = _followed(is_kind, usual, beyond, sums[k], excess[k])
        if row >= 0 and (first is None or live.event_time[row] < first.at):
            share = float(is_kind[: row + 1].mean())
            first = Departure(name, int(live.event_time[row]), share, float(usual[row]))
    departure = watch.departure or first
    return Watch(sums, excess, watch.payments + len(live), departure)


def log_odds(ppm: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[n], by the half of a millionth where it is 0 or 1."""
    share = np.clip(ppm, 0.5, 1e6 - 0.5) / 1e6
    odds: NDArray[np.float64] = np.log(share / (1 - share))
    return odds


def _paired(live: Live) -> Live:
    """Those that the replaced model scored."""
    rows = live.replaced_ppm >= 0
    return Live(live.champion_ppm[rows], live.replaced_ppm[rows], live.event_time[rows])


def _both(seen: Live) -> Live:
    seen = _paired(seen)
    rows = seen.champion_ppm >= 0
    return Live(seen.champion_ppm[rows], seen.replaced_ppm[rows], seen.event_time[rows])


def _kinds(band: Band, live: Live) -> list[tuple[str, NDArray[np.bool_]]]:
    """bool[n] by name: which payments are of a kind."""
    usable = live.champion_ppm >= 0
    action = decide_actions(band.policy, live.champion_ppm, usable)
    other = decide_actions(band.policy, live.replaced_ppm, np.ones(len(live), np.bool_))
    score, beside = log_odds(live.champion_ppm), log_odds(live.replaced_ppm)
    apart = score - beside
    kinds = [
        ("unscored", ~usable),
        ("stricter", usable & (action > other)),
        ("laxer", usable & (action < other)),
        ("far_above", usable & (apart > band.usual_high)),
        ("far_below", usable & (apart < band.usual_low)),
    ]
    for q, edge, other_edge in zip(QUANTILES, band.edges, band.replaced_edges, strict=True):
        is_above, was_above = score > edge, beside > other_edge
        kinds.append((f"above_{q:g}_alone", usable & is_above & ~was_above))
        kinds.append((f"below_{q:g}_alone", usable & ~is_above & was_above))
    return kinds


def _highs(is_kind: NDArray[np.bool_], times: NDArray[np.int64]) -> Kind:
    """The highest share of each hour of the week: of that hour and the two beside it."""
    hour = times // HOUR_MS % WEEK_HOURS
    rows = np.bincount(hour, minlength=WEEK_HOURS)
    n = np.maximum(rows, 1)
    share = np.bincount(hour, is_kind, WEEK_HOURS) / n
    error = STANDARD_ERRORS * np.sqrt(share * (1 - share) / n) + 1 / n
    seen = np.where(rows >= CELL_PAYMENTS_MIN, MARGIN * (share + error), 0.0)
    high = np.maximum.reduce([np.roll(seen, k) for k in (-1, 0, 1)])
    overall = MARGIN * (float(is_kind.mean()) + 1 / len(times))
    high = np.where(high > 0, high, UNSEEN * max(overall, float(seen.max())))
    return Kind(tuple(np.clip(high, _FEW, _MANY).tolist()))


@njit(cache=True, nogil=True)
def _followed(
    counts: NDArray[np.bool_],
    usual: NDArray[np.float64],
    beyond: NDArray[np.float64],
    total: float,
    excess: float,
) -> tuple[int, float, float]:
    """The first row at which the band is left (-1: none), and sum and excess behind the last."""
    row = -1
    for i in range(len(counts)):
        if counts[i]:
            total = min(total + np.log(beyond[i] / usual[i]), SUM_MAX)
            excess += 1.0 - usual[i]
        else:
            total += np.log((1 - beyond[i]) / (1 - usual[i]))
            excess -= usual[i]
        if total <= 0.0:
            total, excess = 0.0, 0.0
        elif row < 0 and total > THRESHOLD and excess > BURST:
            row = i
    return row, total, excess
