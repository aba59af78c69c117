"""`alcyon evaluate --protocol handbook`: our row beside the published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from alcyon.cli.options import limits, settings
from alcyon.cli.talk import member_progress, progress, show_json, show_table, tell
from alcyon.learning.handbook import HandbookMean, HandbookResult, evaluate_handbook
from alcyon.learning.member import FitSettings
from alcyon.learning.training import TrainingSettings
from alcyon.runners.handbook_protocol import CAVEAT, PUBLISHED, handbook_rows, read_handbook


def by_handbook(input_: Path, history: Literal["book", "all"], as_json: bool) -> None:
    """Run the protocol over the book's own file and show what came of it."""
    set_to = settings()
    parts = read_handbook(input_, set_to.token.keys())
    with progress("features", sum(len(part.batch) for part in parts)) as advance:
        rows = handbook_rows(parts, limits(set_to), advance)
    with member_progress() as heard:
        fit = FitSettings(progress=heard)
        result = evaluate_handbook(rows, history, TrainingSettings(fit=fit))
    if as_json:
        show_json(result)
    else:
        _show(result)
    tell(CAVEAT)


def _show(result: HandbookResult) -> None:
    ours = {"Alcyon": result.mean} | {f"  {n} alone": mean for n, mean in result.members.items()}
    ours |= {f"  without {name}": mean for name, mean in result.without.items()}
    rows = [[name, *_figures(mean)] for name, mean in ours.items()]
    rows += [
        [f"{name} (the book)", *(f"{figure:.3f}" for figure in figures)]
        for name, figures in PUBLISHED.items()
    ]
    starts = ", ".join(fold.start for fold in result.folds)
    title = f"Mean of the folds from {starts}; history: {result.history}"
    header = ["", "ROC AUC", "average precision", "card precision@100"]
    show_table(title, header, rows)


def _figures(mean: HandbookMean) -> list[str]:
    figures = (mean.roc_auc, mean.average_precision, mean.card_precision_at_100)
    return [f"{figure:.3f}" for figure in figures]
