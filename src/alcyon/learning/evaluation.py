"""Evaluation: one row of figures per member and one for the blend, and the money at stake."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.learning.dataset import DAY_MS, Examples
from alcyon.learning.metrics import (
    Calibration,
    Ranking,
    calibration,
    card_precision,
    operating_points,
    ranking,
)
from alcyon.learning.thresholds import Money, Scored, money
from alcyon.learning.training import Ensemble
from alcyon.scoring.manifest import BLEND
from alcyon.scoring.model import Model, probability_ppm_of
from alcyon.scoring.policy import DEFAULT_SEGMENT, Policy, Thresholds

PROBABILITIES = frozenset({BLEND, "xgboost", "online_linear"})
"""Whose score is a probability, so that calibration can be asked of it."""
ROWS_AT_ONCE = 65_536


class Row(msgspec.Struct, frozen=True):
    """One member's figures, or the blend's."""

    name: str
    ranking: Ranking
    card_precision_at_100: float | None
    """None where no cards were given."""
    calibration: Calibration | None
    """None where the score is no probability."""
    average_precision_without: float | None
    """The blend's, had this member been left out and the others blended anew; None for the blend
    itself and where there is no other member."""


class Evaluation(msgspec.Struct, frozen=True):
    """Figures over one span; `msgspec.to_builtins` makes JSON of it."""

    start: int
    stop: int
    transactions: int
    frauds: int
    rows: tuple[Row, ...]
    money: Money
    """At the policy's thresholds."""
    money_at_half: Money
    """Had everything from probability 0.5 been declined and nothing reviewed."""
    money_at_best_f1: Money
    """Had everything from the threshold of the best F1 on this very span been declined."""

    def metrics(self) -> dict[str, dict[str, float | None]]:
        """The figures by name, flat, as a model's manifest keeps them."""
        flat: dict[str, dict[str, float | None]] = {}
        for row in self.rows:
            true = row.calibration
            flat[row.name] = {
                "roc_auc": row.ranking.roc_auc,
                "average_precision": row.ranking.average_precision,
                **{f"recall_at_fpr_{r}": v for r, v in row.ranking.recall_at_fpr.items()},
                "card_precision_at_100": row.card_precision_at_100,
                "brier": true.brier if true else None,
                "expected_calibration_error": true.expected_error if true else None,
                "average_precision_without": row.average_precision_without,
            }
        flat[BLEND] |= {
            "money_lost_minor": self.money.lost_minor,
            "money_saved_minor": self.money.saved_minor,
            "reviews_per_day": self.money.reviews_per_day,
        }
        return flat


def evaluate_ensemble(ensemble: Ensemble, examples: Examples, policy: Policy) -> Evaluation:
    """Evaluate the native ensemble, as before export; see `evaluate`."""
    signals = ensemble.signals(examples.features)
    own = ensemble.scores(signals)
    members = {name: own[:, k] for k, name in enumerate(ensemble.names)}
    without = ensemble.log_odds_without(signals)
    return evaluate(ensemble.blend.log_odds(signals), members, examples, policy, without)


def evaluate_model(model: Model, examples: Examples, policy: Policy | None = None) -> Evaluation:
    """Evaluate a loaded model, with its own policy unless given one; see `evaluate`."""
    scores = model.score(examples.features)
    own = scores.members.astype(np.float64)
    members = {name: own[:, k] for k, name in enumerate(model.member_names)}
    without = log_odds_without(model, examples.features)
    return evaluate(scores.log_odds, members, examples, policy or model.manifest.policy, without)


def log_odds_without(model: Model, features: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """By member, float64[n]: the log-odds had it been left out; nothing for a single member."""
    left_out = {m.name: np.array(m.without) for m in model.manifest.members if m.without}
    found = {name: np.empty(len(features)) for name in left_out}
    for start in range(0, len(features) if left_out else 0, ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        signals = model.attribution.signals(features[part])
        for name, blend in left_out.items():
            found[name][part] = signals @ blend[:-1] + blend[-1]
    return found


def evaluate(
    log_odds: NDArray[np.float64],
    members: Mapping[str, NDArray[np.float64]],
    examples: Examples,
    policy: Policy,
    without: Mapping[str, NDArray[np.float64]] = MappingProxyType({}),
) -> Evaluation:
    """All figures of blended log_odds float64[n] and each member's score float64[n].

    without: by member, float64[n], the blended log-odds had it been left out. InputError unless
    the examples hold both classes.
    """
    # The log-odds rank (a probability near 1 has ties in float64); the probability is judged.
    rows = [_row(BLEND, log_odds, 1 / (1 + np.exp(-log_odds)), examples)]
    for name, score in members.items():
        row = _row(name, score, score, examples)
        if name in without:
            less = ranking(without[name], examples.is_fraud).average_precision
            row = msgspec.structs.replace(row, average_precision_without=less)
        rows.append(row)
    ppm = probability_ppm_of(log_odds)
    scored = Scored(ppm, examples.is_fraud, examples.amount_minor, examples.days)
    return Evaluation(
        start=int(examples.event_time.min()),
        stop=int(examples.event_time.max()) + 1,
        transactions=len(examples),
        frauds=int(examples.is_fraud.sum()),
        rows=tuple(rows),
        money=money(scored, policy),
        money_at_half=money(scored, declining_from(500_000, policy)),
        money_at_best_f1=money(scored, declining_from(best_f1_ppm(scored), policy)),
    )


def declining_from(ppm: int, policy: Policy) -> Policy:
    """A policy of one threshold and no review, at `policy`'s costs: what is often done."""
    return Policy({DEFAULT_SEGMENT: Thresholds(decline_ppm=ppm)}, policy.costs)


def best_f1_ppm(scored: Scored) -> int:
    """The probability_ppm from which declining has the best F1 on these transactions."""
    caught, alarms = operating_points(scored.probability_ppm, scored.is_fraud)
    f1 = 2 * caught[1:] / (caught[1:] + alarms[1:] + max(int(caught[-1]), 1))
    return int(np.unique(scored.probability_ppm)[::-1][np.argmax(f1)])


def _row(
    name: str,
    score: NDArray[np.float64],
    probability: NDArray[np.float64],
    examples: Examples,
) -> Row:
    found, days = None, examples.event_time // DAY_MS
    if examples.card is not None:
        found = card_precision(score, examples.is_fraud, examples.card, days)
    true = calibration(probability, examples.is_fraud) if name in PROBABILITIES else None
    return Row(name, ranking(score, examples.is_fraud), found, true, None)
