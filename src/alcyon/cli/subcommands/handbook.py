"""`alcyon evaluate --protocol handbook`: our row beside the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from alcyon.cli.showing.options import limits, settings
from alcyon.cli.showing.talk import member_progress, progress, show_json, show_table, tell
from alcyon.learning.handbook import (
    UNSUPERVISED,
    HandbookMean,
    HandbookResult,
    evaluate_handbook,
    evaluate_unsupervised,
)
from alcyon.learning.member import FitSettings
from alcyon.learning.training import TrainingSettings
from alcyon.runners.learning.handbook_protocol import (
    CAVEAT,
    PUBLISHED,
    PUBLISHED_UNSUPERVISED,
    handbook_rows,
    read_handbook,
)

HEADER = ["", "ROC AUC", "average precision", "card precision@100"]


def by_handbook(input_: Path, history: Literal["book", "all"], as_json: bool) -> None:
    """Run the protocol over the book's own file and show what came of it."""
    set_to = settings()
    parts = read_handbook(input_, set_to.token.keys())
    with progress("features", sum(len(part.batch) for part in parts)) as advance:
        rows = handbook_rows(parts, limits(set_to), advance)
    with member_progress() as heard:
        fit = FitSettings(progress=heard)
        result = evaluate_handbook(rows, history, TrainingSettings(fit=fit))
        unlabelled = evaluate_unsupervised(rows, TrainingSettings(fit=fit))
    if as_json:
        show_json({**msgspec.structs.asdict(result), "unsupervised": unlabelled})
    else:
        _show(result)
        _show_unsupervised(unlabelled)
    tell(CAVEAT)


def _show(result: HandbookResult) -> None:
    ours = {"Alcyon": result.mean} | {f"  {n} alone": mean for n, mean in result.members.items()}
    ours |= {f"  without {name}": mean for name, mean in result.without.items()}
    rows = [[name, *_figures(mean)] for name, mean in ours.items()]
    rows += _published(PUBLISHED)
    starts = ", ".join(fold.start for fold in result.folds)
    title = f"Mean of the folds from {starts}; history: {result.history}"
    show_table(title, HEADER, rows)


def _show_unsupervised(unlabelled: dict[str, HandbookMean]) -> None:
    rows = [[name, *_figures(figures)] for name, figures in unlabelled.items()]
    title = f"Without a label: fitted on the week from {UNSUPERVISED}, assessed from 2018-07-25"
    show_table(title, HEADER, [*rows, *_published(PUBLISHED_UNSUPERVISED)])


def _published(figures: Mapping[str, tuple[float, ...]]) -> list[list[str]]:
    return [[f"{name} (the book)", *(f"{f:.3f}" for f in row)] for name, row in figures.items()]


def _figures(mean: HandbookMean) -> list[str]:
    figures = (mean.roc_auc, mean.average_precision, mean.card_precision_at_100)
    return [f"{figure:.3f}" for figure in figures]
