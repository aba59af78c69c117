"""`alcyon evaluate --model`: figures on what the model has not seen."""

from __future__ import annotations

from pathlib import Path

from alcyon.cli.evaluate import Judging
from alcyon.cli.showing.figures import show_figures
from alcyon.cli.showing.options import Inputs, duration
from alcyon.cli.showing.talk import tell
from alcyon.cli.train import backfill
from alcyon.detectors.loading import load_detector
from alcyon.runners.learning.evaluation import caveat, judge, save_plots_of
from alcyon.runners.learning.training import Span


def by_model(inputs: Inputs, model: Path, judging: Judging, as_json: bool) -> None:
    """Judge a model directory and show what came of it."""
    detector = load_detector(judging.catalog)
    delay_ms = duration("--label-delay", judging.label_delay)
    backfilled = backfill(inputs, detector, Span())
    judged = judge(detector.catalog, model, backfilled, delay_ms, detector.policy)
    show_figures(judged.evaluation, judged.maturity, as_json)
    for line in judged.findings:
        tell(f"note: {line}")
    if judging.plots is not None:
        for path in save_plots_of(judged, judging.plots):
            tell(f"{path}: drawn")
    tell(caveat(backfilled.rows.transaction_id))
