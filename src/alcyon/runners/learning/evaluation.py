"""Evaluation of a model directory on transactions that its training did not see."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from alcyon.detectors.loading import Detector
from alcyon.domain.columns import Strings
from alcyon.domain.errors import InputError
from alcyon.features.catalog import Catalog
from alcyon.io.files.failures import writing
from alcyon.learning.comparison import Comparison, compare
from alcyon.learning.comparison import Judged as Side
from alcyon.learning.dataset import Examples, check_dates
from alcyon.learning.evaluation import Evaluation, evaluate_model
from alcyon.learning.findings import few_frauds, label_findings
from alcyon.learning.maturity import Curve, maturity
from alcyon.learning.thresholds import Scored
from alcyon.learning.truth import truth_of
from alcyon.runners.learning.training import Backfilled
from alcyon.scoring.model import Model
from alcyon.scoring.policy import Policy

_OURS = re.compile(r"t-[0-9a-f]{10}-[0-9]{10}\Z")
SIMULATED = (
    "These transactions are simulated (alcyon generate): the figures compare models among "
    "themselves and say nothing about real payments."
)
UNKNOWN = "If this data is simulated or was selected, so are these figures: say so beside them."


@dataclass(frozen=True, eq=False)
class Judged:
    """A model's figures, and what they were taken of."""

    evaluation: Evaluation
    examples: Examples
    model: Model
    policy: Policy
    maturity: Mapping[str, Curve]
    findings: tuple[str, ...]
    """What is unusual about the data, a line each."""


def judge(
    catalog: Catalog,
    directory: Path,
    backfilled: Backfilled,
    label_delay_ms: int,
    policy: Policy | None = None,
) -> Judged:
    """Evaluate the model in `directory`; `policy` None: its own.

    ModelError when it does not load or is of another catalog. InputError when the rows hold
    nothing that it has not seen, or one class only.
    """
    model = Model.load(directory, catalog_hash=catalog.hash, feature_names=catalog.model_names)
    examples = unseen(backfilled, model.manifest.validation.stop + label_delay_ms, label_delay_ms)
    in_force = policy or model.manifest.policy
    rows, labels = backfilled.rows, backfilled.labels
    told = (*label_findings(rows, labels), *few_frauds("judged", examples))
    found = evaluate_model(model, examples, in_force)
    return Judged(found, examples, model, in_force, maturity(rows, labels), told)


def compared(
    detector: Detector,
    named: Sequence[tuple[str, Path]],
    backfilled: Backfilled,
    label_delay_ms: int,
    bootstrap: tuple[int, int],
) -> Comparison:
    """Compare two models on what neither has seen.

    named: each one's name and folder. bootstrap: seed and draws. Errors as for `judge`.
    """
    catalog = detector.catalog
    models = [
        Model.load(place, catalog_hash=catalog.hash, feature_names=catalog.model_names)
        for _, place in named
    ]
    newest = max(model.manifest.validation.stop for model in models)
    examples = unseen(backfilled, newest + label_delay_ms, label_delay_ms)
    sides = []
    for (name, _), model in zip(named, models, strict=True):
        scores = model.score(examples.features)
        policy = detector.policy or model.manifest.policy
        sides.append(Side(name, scores.log_odds, scores.probability_ppm, policy))
    first, second = sides
    seed, draws = bootstrap
    return compare(examples, first, second, seed, draws)


def unseen(backfilled: Backfilled, start: int, label_delay_ms: int) -> Examples:
    """Rows from `start` (UTC ms) on that are old enough for their frauds to be known.

    First-party fraud is left out, as in training. InputError if there are none.
    """
    rows, labels = backfilled.rows, backfilled.labels
    if len(labels) == 0:
        raise InputError("there are no labels to judge by; give --labels")
    if len(rows.event_time):
        check_dates(rows, labels)
    end = int(rows.event_time.max(initial=0)) + 1
    mature = max(int(labels.numbers("labelled_at").max()), end) - label_delay_ms
    truth = truth_of(rows.transaction_id, labels, None)
    inside = (rows.event_time >= start) & (rows.event_time < mature) & ~truth.is_first_party
    at = np.flatnonzero(inside)
    if not len(at):
        first, last = (datetime.fromtimestamp(t / 1000, UTC) for t in (start, end))
        raise InputError(
            f"the model knows payments up to {first:%Y-%m-%d} (label delay included) and the input "
            f"ends on {last:%Y-%m-%d}; give later transactions with labels"
        )
    at = at[np.argsort(rows.event_time[at], kind="stable")]
    return Examples(
        features=rows.features[at],
        is_fraud=truth.is_fraud[at],
        event_time=rows.event_time[at],
        amount_minor=rows.amount_minor[at],
        card=None if rows.card is None else rows.card[at],
    )


def save_plots_of(judged: Judged, directory: Path) -> list[Path]:
    """Draw the evaluation's plots into `directory`; the files written.

    Raises AlcyonError when the disk refuses.
    """
    from alcyon.learning.plots import save_plots

    examples = judged.examples
    scores = judged.model.score(examples.features)
    named = {"blend": scores.log_odds}
    for at, name in enumerate(judged.model.member_names):
        named[name] = scores.members[:, at].astype(np.float64)
    scored = Scored(scores.probability_ppm, examples.is_fraud, examples.amount_minor, examples.days)
    with writing(directory):
        return save_plots(directory, named, scored, judged.policy)


def caveat(transaction_ids: Strings) -> str:
    """What has to be said beside figures about these transactions."""
    first = transaction_ids.slice(0, 1).to_list()
    return SIMULATED if first and _OURS.match(first[0] or "") else UNKNOWN
