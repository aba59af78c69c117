"""Plots of an evaluation, as PNG files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from alcyon.learning.evaluation import declining_from
from alcyon.learning.metrics import calibration, operating_points
from alcyon.learning.thresholds import Scored, money
from alcyon.scoring.policy import NEVER, Policy

SWEEP = 60
"""Thresholds drawn in the plot of money."""


def save_plots(
    directory: Path,
    scores: dict[str, NDArray[np.float64]],
    scored: Scored,
    policy: Policy,
) -> list[Path]:
    """Draw into `directory` (made if missing); the files written.

    scores: by name of member and `blend`, float64[n], larger riskier; scored: the blend's
    probabilities with truth and amounts of the same n transactions.
    """
    directory.mkdir(parents=True, exist_ok=True)
    fraud = scored.is_fraud
    return [
        _save(directory / "precision_recall.png", _precision_recall(scores, fraud)),
        _save(directory / "roc.png", _roc(scores, fraud)),
        _save(directory / "calibration.png", _calibration(scored)),
        _save(directory / "money.png", _money(scored, policy)),
        _save(directory / "scores.png", _distributions(scored)),
    ]


def _precision_recall(scores: dict[str, NDArray[np.float64]], fraud: NDArray[np.bool_]) -> Figure:
    figure, axes = _axes("Precision and recall", "recall", "precision")
    for name, score in scores.items():
        caught, alarms = operating_points(score, fraud)
        axes.plot(caught[1:] / caught[-1], caught[1:] / (caught + alarms)[1:], label=name)
    axes.set_ylim(0, 1.02)
    axes.legend()
    return figure


def _roc(scores: dict[str, NDArray[np.float64]], fraud: NDArray[np.bool_]) -> Figure:
    figure, axes = _axes("Frauds caught per false alarm", "false-positive rate", "recall")
    for name, score in scores.items():
        caught, alarms = operating_points(score, fraud)
        axes.plot(alarms / alarms[-1], caught / caught[-1], label=name)
    axes.set_xscale("symlog", linthresh=1e-4)
    axes.legend()
    return figure


def _calibration(scored: Scored) -> Figure:
    figure, axes = _axes("Calibration", "predicted probability", "observed share of fraud")
    bins = calibration(scored.probability_ppm / 1e6, scored.is_fraud).bins
    axes.plot([b.predicted for b in bins], [b.observed for b in bins], "o-", label="blend")
    axes.plot([0, 1], [0, 1], "--", color="grey", label="true")
    axes.set_xscale("symlog", linthresh=1e-4)
    axes.set_yscale("symlog", linthresh=1e-4)
    axes.legend()
    return figure


def _money(scored: Scored, policy: Policy) -> Figure:
    figure, axes = _axes("Money lost", "decline from this probability", "major units")
    ppm = np.unique(np.geomspace(100, 1_000_000, SWEEP).astype(int))
    alone = [money(scored, declining_from(int(p), policy)).lost_minor / 100 for p in ppm]
    axes.plot(ppm / 1e6, alone, label="one threshold, no review")
    for label, drawn, colour in (
        ("policy", policy, "C1"),
        ("approve everything", Policy(costs=policy.costs), "grey"),
    ):
        lost = money(scored, drawn).lost_minor / 100
        axes.axhline(lost, linestyle="--", label=label, color=colour)
    limit = policy.table()[0].tolist()
    for name, at in zip(("step up", "review", "decline"), limit, strict=True):
        if at < NEVER:
            axes.axvline(at / 1e6, linestyle=":", color="C2")
            axes.annotate(name, (at / 1e6, max(alone)), rotation=90, va="top")
    axes.set_xscale("log")
    axes.legend()
    return figure


def _distributions(scored: Scored) -> Figure:
    figure, axes = _axes("Scores", "probability", "share of the class")
    edges = np.geomspace(1e-6, 1, 50)
    for name, rows in (("genuine", ~scored.is_fraud), ("fraud", scored.is_fraud)):
        values = np.maximum(scored.probability_ppm[rows], 1) / 1e6
        weights = np.full(len(values), 1 / max(len(values), 1))
        axes.hist(values, edges, weights=weights, histtype="step", label=name)
    axes.set_xscale("log")
    axes.legend()
    return figure


def _axes(title: str, x: str, y: str) -> tuple[Figure, Any]:
    """A figure of its own: pyplot would keep state between calls and look for a screen."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure, axes


def _save(path: Path, figure: Figure) -> Path:
    figure.savefig(path, dpi=120)
    return path
