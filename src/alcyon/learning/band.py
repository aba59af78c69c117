"""The band: how a new champion behaved while it was a challenger, and whether it still does.

Kinds of payments are counted: declined, acted on more strictly than by the replaced model, scored
far above it, and so on. For each kind the band holds the lowest and the highest share that an hour
of the day had. What comes later is followed one by one with the cumulative sum of log-likelihood
ratios between the end of the band and a share clearly beyond it (E. Page, "Continuous inspection
schemes", 1954). The band is left where a sum passes `THRESHOLD` and since it was last 0 there were
`BURST` payments of the kind more than usual: so many one attack may bring about on a quiet night.

Kinds are of scores under the policy of that time, so what others change (rules, thresholds) does
not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from alcyon.domain.decision import Action
from alcyon.domain.errors import InputError
from alcyon.scoring.policy import Policy, decide_actions

HOUR_MS = 3_600_000
BURST = 60
BEYOND_MIN = 0.05
THRESHOLD, SUM_MAX = 25.0, 30.0
"""By chance alone a sum passes the threshold once in e^25 payments (7e10) or more seldom; it is
held below the other bound, so that what has passed is soon forgotten."""
PAYMENTS_MIN = 2_000
CELL_PAYMENTS_MIN = 200
RARE = 0.005
"""At either end of the differences from the replaced model lies this share of the payments."""
QUANTILES = (0.1, 0.5, 0.9)
"""Of the new champion's scores: what is above each is a kind."""
_FEW = 1e-4


class Kind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shares of all payments: the band."""

    low: float
    high: float


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What evaluation predicted of `champion` beside `replaced`, both versions."""

    champion: str
    replaced: str
    start: int
    stop: int
    payments: int
    policy: Policy
    score_edges: tuple[float, ...]
    """Log-odds; see `QUANTILES`."""
    usual_low: float
    usual_high: float
    """Log-odds between which the difference from the replaced model usually lies."""
    kinds: dict[str, Kind]


class Departure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The band was left: how, when, and after how many payments of that champion."""

    kind: str
    is_above: bool
    at: int
    """Event time of the payment that made it certain."""
    share: float
    """Of this kind among the payments followed last."""
    predicted: Kind


@dataclass(frozen=True, eq=False)
class Watch:
    """What was followed so far. sums, excess: float64[kinds, 2], towards below and above; excess:
    payments more than usual since the sum was last 0."""

    sums: NDArray[np.float64]
    excess: NDArray[np.float64]
    payments: int = 0
    departure: Departure | None = None

    @classmethod
    def begin(cls, band: Band) -> Watch:
        """Nothing yet."""
        none = np.zeros((len(band.kinds), 2))
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
    score = log_odds(seen.champion_ppm)
    apart = score - log_odds(seen.replaced_ppm)
    low, high = np.quantile(apart, [RARE, 1 - RARE]).tolist()
    edges = tuple(np.quantile(score, QUANTILES).tolist())
    start, stop = int(seen.event_time.min()), int(seen.event_time.max()) + 1
    draft = Band(champion, replaced, start, stop, len(seen), policy, edges, low, high, {})
    kinds = {name: _shares(is_kind, seen.event_time) for name, is_kind in _kinds(draft, seen)}
    return msgspec.structs.replace(draft, kinds=kinds)


def follow(band: Band, watch: Watch, live: Live) -> Watch:
    """The watch after these payments too; the first departure stays."""
    sums, excess = watch.sums.copy(), watch.excess.copy()
    first = watch.departure
    for k, (name, is_kind) in enumerate(_kinds(band, live)):
        kind = band.kinds[name]
        for way, (usual, counts) in enumerate(((1 - kind.low, ~is_kind), (kind.high, is_kind))):
            beyond = min(usual + max(usual, BEYOND_MIN), (1 + usual) / 2)
            row, sums[k, way], excess[k, way] = _followed(
                counts, _possible(usual), _possible(beyond), sums[k, way], excess[k, way]
            )
            if row >= 0 and (first is None or live.event_time[row] < first.at):
                share = float(is_kind[: row + 1].mean())
                first = Departure(name, bool(way), int(live.event_time[row]), share, kind)
    departure = watch.departure or first
    return Watch(sums, excess, watch.payments + len(live), departure)


def log_odds(ppm: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[n], by the half of a millionth where it is 0 or 1."""
    share = np.clip(ppm, 0.5, 1e6 - 0.5) / 1e6
    odds: NDArray[np.float64] = np.log(share / (1 - share))
    return odds


def _both(seen: Live) -> Live:
    rows = (seen.champion_ppm >= 0) & (seen.replaced_ppm >= 0)
    return Live(seen.champion_ppm[rows], seen.replaced_ppm[rows], seen.event_time[rows])


def _kinds(band: Band, live: Live) -> list[tuple[str, NDArray[np.bool_]]]:
    """bool[n] by name: which payments are of a kind. Without a score of the replaced model a
    payment is of none that compares with it, as nearly all are."""
    usable, paired = live.champion_ppm >= 0, live.replaced_ppm >= 0
    action = decide_actions(band.policy, live.champion_ppm, usable)
    other = np.where(paired, decide_actions(band.policy, live.replaced_ppm, paired), action)
    score = log_odds(live.champion_ppm)
    apart = np.where(usable & paired, score - log_odds(live.replaced_ppm), 0.0)
    kinds = [
        ("unscored", ~usable),
        ("declined", action == Action.DECLINE.code),
        ("reviewed", action == Action.REVIEW.code),
        ("stricter", action > other),
        ("laxer", action < other),
        ("far_above", apart > band.usual_high),
        ("far_below", apart < band.usual_low),
    ]
    edges = zip(QUANTILES, band.score_edges, strict=True)
    return kinds + [(f"score_above_{q:g}", usable & (score > edge)) for q, edge in edges]


def _shares(is_kind: NDArray[np.bool_], times: NDArray[np.int64]) -> Kind:
    """The lowest and highest share of an hour of the day."""
    hour = (times // HOUR_MS) % 24
    rows, found = np.bincount(hour, minlength=24), np.bincount(hour, is_kind, 24)
    enough = rows >= CELL_PAYMENTS_MIN
    shares = np.append(found[enough] / rows[enough], is_kind.mean())
    return Kind(float(shares.min()), float(shares.max()))


def _possible(share: float) -> float:
    return min(max(share, _FEW), 1 - _FEW)


@njit(cache=True, nogil=True)
def _followed(
    counts: NDArray[np.bool_], usual: float, beyond: float, total: float, excess: float
) -> tuple[int, float, float]:
    """The first row at which the band is left (-1: none), and sum and excess behind the last."""
    yes, no = np.log(beyond / usual), np.log((1 - beyond) / (1 - usual))
    row = -1
    for i in range(len(counts)):
        total = min(total + (yes if counts[i] else no), SUM_MAX)
        excess += (1.0 if counts[i] else 0.0) - usual
        if total <= 0.0:
            total, excess = 0.0, 0.0
        elif row < 0 and total > THRESHOLD and excess > BURST:
            row = i
    return row, total, excess
