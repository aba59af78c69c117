"""An evaluation as tables."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from alcyon.cli.showing.talk import show_json, show_table
from alcyon.learning.evaluation import Evaluation, Row
from alcyon.learning.maturity import Curve
from alcyon.learning.thresholds import Money


def show_figures(evaluation: Evaluation, curves: Mapping[str, Curve], as_json: bool) -> None:
    """The evaluation and how its labels came in, as tables or as one JSON object."""
    if as_json:
        show_json({**msgspec.structs.asdict(evaluation), "maturity": curves})
        return
    show_evaluation(evaluation)
    days = sorted({day for curve in curves.values() for day in curve.known_after_days})
    show_table(
        "Label maturity: the share of finally known frauds known so many days after the payment",
        ["source", "frauds", *(str(day) for day in days)],
        [
            [name, f"{curve.frauds:,}", *(_or_dash(curve.share(day), 3) for day in days)]
            for name, curve in curves.items()
        ],
    )


def show_evaluation(evaluation: Evaluation) -> None:
    """Tables on stdout: a row per member and one for the blend, then the money."""
    start, stop = (
        datetime.fromtimestamp(t / 1000, UTC) for t in (evaluation.start, evaluation.stop)
    )
    rates = evaluation.rows[0].ranking.recall_at_fpr
    show_table(
        f"{evaluation.transactions:,} transactions, {evaluation.frauds:,} frauds, "
        f"{start:%Y-%m-%d} to {stop:%Y-%m-%d}",
        [
            *("", "ROC AUC", "average precision", "blend's without it"),
            *(f"recall at {float(rate):.1%} FPR" for rate in rates),
            *("card precision@100", "Brier", "calibration error"),
        ],
        [_figures(row) for row in evaluation.rows],
    )
    money = {
        "policy": evaluation.money,
        "decline from 0.5": evaluation.money_at_half,
        "decline from best F1": evaluation.money_at_best_f1,
    }
    show_table(
        "Money, base currency",
        ["", "lost", "of it fraud", "reviews", "false declines", "saved", "reviews a day"],
        [[name, *_amounts(spent)] for name, spent in money.items()],
    )


def _figures(row: Row) -> list[str]:
    rank, true = row.ranking, row.calibration
    return [
        row.name,
        f"{rank.roc_auc:.4f}",
        f"{rank.average_precision:.4f}",
        _or_dash(row.average_precision_without, 4),
        *(f"{recall:.3f}" for recall in rank.recall_at_fpr.values()),
        _or_dash(row.card_precision_at_100, 3),
        _or_dash(true.brier if true else None, 5),
        _or_dash(true.expected_error if true else None, 5),
    ]


def _or_dash(figure: float | None, digits: int) -> str:
    return "–" if figure is None else f"{figure:.{digits}f}"


def _amounts(money: Money) -> list[str]:
    minor = (
        money.lost_minor, money.fraud_minor, money.review_minor, money.false_decline_minor,
        money.saved_minor,
    )  # fmt: skip
    return [*(f"{amount / 100:,.2f}" for amount in minor), f"{money.reviews_per_day:,.1f}"]
