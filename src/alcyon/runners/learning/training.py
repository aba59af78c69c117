"""Training from files: backfill, split by time, fit, choose thresholds, judge, export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import Batch, concatenate
from alcyon.domain.errors import InputError
from alcyon.domain.transaction import HOLDERS
from alcyon.features.batch import Keys
from alcyon.features.catalog import Catalog
from alcyon.features.compiled.observe import ACCEPTED
from alcyon.features.kernel import Kernel, Limits
from alcyon.features.layout import Layout
from alcyon.io.files.failures import writing
from alcyon.learning.dataset import Dataset, Rows, SplitRules, build_dataset
from alcyon.learning.evaluation import Evaluation, evaluate_ensemble
from alcyon.learning.export import export
from alcyon.learning.findings import findings
from alcyon.learning.maturity import Curve, maturity
from alcyon.learning.member import Progress
from alcyon.learning.search import search
from alcyon.learning.thresholds import Scored, choose_policy
from alcyon.learning.training import TrainedModel, TrainingSettings, train
from alcyon.runners.files.arrivals import Arrivals, Sources, Tally
from alcyon.runners.files.backfill import observe
from alcyon.runners.files.deadletters import DeadLetters
from alcyon.scoring.manifest import Manifest, Search
from alcyon.scoring.model import probability_ppm_of
from alcyon.scoring.policy import Costs, Policy


@dataclass(frozen=True, eq=False)
class Backfilled:
    """A file's accepted transactions with their features, all labels, and what became of rows."""

    rows: Rows
    labels: Batch
    tally: Tally


@dataclass(frozen=True)
class Span:
    """Event times [start, stop), UTC ms; what is outside is history, not an example."""

    start: int = 0
    stop: int = 2**62


@dataclass(frozen=True)
class Order:
    """What to train, and for whom."""

    split: SplitRules
    settings: TrainingSettings
    costs: Costs
    reviews_per_day: float
    search_s: float | None = None
    """Seconds to look for better parameters first; None: take the defaults."""
    found: Search | None = None
    """What another search found; with it none is made."""


@dataclass(frozen=True, eq=False)
class Trained:
    """What came of it; `evaluation` is on the test span."""

    manifest: Manifest
    evaluation: Evaluation
    maturity: Mapping[str, Curve]
    findings: tuple[str, ...]
    """What is unusual about the data, a line each."""


def backfill_rows(
    catalog: Catalog,
    sources: Sources,
    limits: Limits,
    span: Span = Span(),
    progress: Callable[[int], None] = lambda rows: None,
    kernel: Kernel | None = None,
) -> Backfilled:
    """The accepted transactions of `span` with what the model would have seen of each.

    kernel: what has observed the files before this one; None: there are none.
    """
    kernel, parts = kernel or Kernel(Layout(catalog), limits), []
    with DeadLetters(None) as dead_letters:
        arrivals = Arrivals(sources, dead_letters, kernel.state.front)
        for part in arrivals.parts():
            observed = observe(kernel, arrivals, part)
            times = np.asarray(part.batch.numbers("event_time"), np.int64)
            inside = (times >= span.start) & (times < span.stop)
            kept = np.flatnonzero(inside & (observed.status == ACCEPTED))
            parts.append(_rows(catalog, observed.vectors()[kept], part.batch.take(kept)))
            progress(arrivals.tally.rows)
    return Backfilled(_joined(parts), arrivals.labels, arrivals.tally)


def train_model(catalog: Catalog, backfilled: Backfilled, order: Order, directory: Path) -> Trained:
    """Train, choose the policy, judge on the test span and write the model to `directory`.

    Raises InputError where no model can come of the data, ModelError where the export is not
    faithful, AlcyonError when the disk refuses; then nothing is written.
    """
    dataset = build_dataset(backfilled.rows, backfilled.labels, order.split)
    if not dataset.test.is_fraud.any():
        raise InputError(
            "the test span holds no known fraud, so nothing could be said about the model; give "
            "more days or more labels"
        )
    trained = _trained(dataset, catalog.hash, order)
    policy = _policy(trained, order)
    evaluation = evaluate_ensemble(trained.ensemble, dataset.test, policy)
    with writing(directory):
        manifest = export(trained, directory, policy, evaluation.metrics())
    rows, labels = backfilled.rows, backfilled.labels
    return Trained(manifest, evaluation, maturity(rows, labels), findings(rows, labels, dataset))


def _trained(dataset: Dataset, catalog_hash: str, order: Order) -> TrainedModel:
    found = order.found
    if found is None and order.search_s is None:
        return train(dataset, catalog_hash, order.settings)
    if found is None:
        is_over = _Budget(order.search_s or 0.0, order.settings.fit.progress)
        found = search(dataset.train, order.settings, order.split.label_delay_ms, is_over)
    fit = replace(order.settings.fit, boosting=found.parameters)
    trained = train(dataset, catalog_hash, replace(order.settings, fit=fit))
    return replace(trained, search=found)


class _Budget:
    """Whether the time is over; each question is told as progress."""

    def __init__(self, seconds: float, progress: Progress) -> None:
        self._seconds, self._progress, self._start = seconds, progress, monotonic()

    def __call__(self) -> bool:
        """Asked between two steps."""
        passed = monotonic() - self._start
        self._progress("search", round(min(passed, self._seconds)), round(self._seconds))
        return passed >= self._seconds


def _policy(trained: TrainedModel, order: Order) -> Policy:
    """The thresholds that lose least on the validation span, which no member had seen."""
    seen = trained.dataset.validation
    ppm = probability_ppm_of(trained.validation_log_odds)
    scored = Scored(ppm, seen.is_fraud, seen.amount_minor, seen.days)
    return choose_policy(scored, order.costs, order.reviews_per_day)


def _rows(catalog: Catalog, features: NDArray[np.float32], batch: Batch) -> Rows:
    return Rows(
        features=features,
        feature_names=catalog.model_names,
        transaction_id=batch.strings("transaction_id"),
        event_time=np.asarray(batch.numbers("event_time"), np.int64),
        amount_minor=np.asarray(batch.numbers("amount_base_minor"), np.int64),
        card=_holders(batch),
    )


def _holders(batch: Batch) -> NDArray[np.int64]:
    """A number per holder: half of the 128-bit key of the first holder column there is."""
    name = next(name for name in HOLDERS if name in batch)
    keys: NDArray[np.int64] = Keys(np.zeros(2, np.uint64), ()).of_strings(batch.strings(name))
    half: NDArray[np.int64] = keys[1]
    return half


def _joined(parts: list[Rows]) -> Rows:
    ids = concatenate(Batch({"id": part.transaction_id}) for part in parts).strings("id")
    return Rows(
        features=np.concatenate([part.features for part in parts]),
        feature_names=parts[0].feature_names,
        transaction_id=ids,
        event_time=np.concatenate([part.event_time for part in parts]),
        amount_minor=np.concatenate([part.amount_minor for part in parts]),
        card=np.concatenate([part.card for part in parts if part.card is not None]),
    )
