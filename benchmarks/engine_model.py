"""What the engine benchmark runs on: simulated traffic, a kernel warmed with its first weeks, and a
model trained on them. The model is kept in a folder, by everything it depends on.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alcyon.detectors.loading import Detector, load_detector
from alcyon.domain.columns import Batch, Strings, concatenate
from alcyon.domain.errors import ModelError
from alcyon.features.kernel import Kernel, LabelRows
from alcyon.features.layout import Layout
from alcyon.learning import boosting, isolation
from alcyon.learning.dataset import Rows, build_dataset
from alcyon.learning.export import export
from alcyon.learning.training import train
from alcyon.scoring.model import Model
from alcyon.scoring.policy import Policy, Thresholds
from alcyon.simulation import Reporting, Scenario, Slice, labels_of, simulate

DAY_MS = 86_400_000
HISTORY_DAYS = 30
WARM_BATCH = 4096
RULES_SHARE = 0.001
"""Of the payments, roughly, that rules alone keep from being approved."""


@dataclass(frozen=True, eq=False)
class Warm:
    """Everything a run starts from."""

    detector: Detector
    kernel: Kernel
    model: Model
    features: NDArray[np.float32]
    """float32[n, F] of the history's transactions, in order."""
    labels: Batch
    recent: list[Batch]
    """The history's last batches."""
    traffic: Iterator[Slice]
    """What comes after the history."""
    folder: Path
    """The model's."""

    def policy(self, not_approved: float) -> Policy:
        """Thresholds on the score under which this share is reviewed or declined, as far as the
        second half of the history says; a fifth of them declined."""
        recent = self.features[len(self.features) // 2 :]
        ppm = self.model.score(np.ascontiguousarray(recent)).probability_ppm
        share = max(not_approved - RULES_SHARE, 1e-4)
        review, decline = np.quantile(ppm, [1 - share, 1 - share / 5]).astype(np.int64).tolist()
        return Policy({"default": Thresholds(review_ppm=review + 1, decline_ppm=decline + 1)})


def warm(history: int, measured: int, seed: int) -> Warm:
    """Simulate, let the history pass through a kernel, train or find the model."""
    detector = load_detector("card")
    span = int(HISTORY_DAYS * DAY_MS * (history + measured) / history)
    spare = 4 * 65_536  # a slice may overshoot the history
    scenario = Scenario(transactions=history + measured + spare, seed=seed, duration_ms=span)
    slices = simulate(scenario, slice_rows=WARM_BATCH)
    past = _first(slices, history)
    labels = labels_of(past, Reporting(seed=seed))
    kernel = Kernel(Layout(detector.catalog))
    features = _observed(kernel, past, labels)
    folder = _folder() / _key(detector, history, measured, seed)
    names = tuple(detector.catalog.model_names)
    try:
        model = Model.load(folder, catalog_hash=detector.catalog.hash, feature_names=names)
    except ModelError:
        _train(detector, features, past, labels, folder)
        model = Model.load(folder, catalog_hash=detector.catalog.hash, feature_names=names)
    recent = [s.transactions for s in past[-8:]]
    return Warm(detector, kernel, model, features, labels, recent, slices, folder)


def _first(slices: Iterator[Slice], rows: int) -> list[Slice]:
    taken: list[Slice] = []
    while sum(map(len, taken)) < rows:
        taken.append(next(slices))
    return taken


def _observed(kernel: Kernel, past: list[Slice], labels: Batch) -> NDArray[np.float32]:
    """The history's features; each label takes effect when it was given."""
    ids = labels.strings("transaction_id")
    is_fraud = np.asarray(labels.numbers("is_fraud"), np.int64)
    due = np.asarray(labels.numbers("labelled_at"), np.int64)
    at, found = 0, []
    for part in past:
        stop = min(at + 4 * WARM_BATCH, len(due))
        rows = LabelRows(ids.slice(at, stop), is_fraud[at:stop], due[at:stop], by_time=True)
        observed = kernel.observe(part.transactions, labels=rows)
        at += observed.labels_used
        found.append(observed.vectors())
    return np.concatenate(found)


def _train(
    detector: Detector, features: NDArray[np.float32], past: list[Slice], labels: Batch, to: Path
) -> None:
    print(f"training on {len(features):,} transactions, once: kept in a folder for the next run")
    wanted = ("transaction_id", "event_time", "amount_base_minor")
    rows = concatenate(Batch({n: s.transactions.columns[n] for n in wanted}) for s in past)
    dataset = build_dataset(
        Rows(
            features=features,
            feature_names=tuple(detector.catalog.model_names),
            transaction_id=rows.strings("transaction_id"),
            event_time=np.asarray(rows.numbers("event_time"), np.int64),
            amount_minor=np.asarray(rows.numbers("amount_base_minor"), np.int64),
        ),
        labels,
    )
    export(train(dataset, detector.catalog.hash), to, Policy(), {})


def truth_of(recent: list[Batch], labels: Batch) -> NDArray[np.bool_]:
    """bool[n]: which of these transactions a label calls fraud, sooner or later."""
    is_fraud = labels.numbers("is_fraud") == 1
    frauds = set(labels.strings("transaction_id").take(np.flatnonzero(is_fraud)).to_list())
    ids: list[str | None] = []
    for batch in recent:
        column = batch.columns["transaction_id"]
        assert isinstance(column, Strings)
        ids += column.to_list()
    return np.array([name in frauds for name in ids], np.bool_)


def _key(detector: Detector, *numbers: int) -> str:
    members = (boosting.TREES, boosting.PARAMETERS, isolation.TREES, isolation.SAMPLES)
    return hashlib.sha256(repr((detector.catalog.hash, members, numbers)).encode()).hexdigest()[:16]


def _folder() -> Path:
    home = os.environ.get("ALCYON_HOME")
    return (Path(home) if home else Path(tempfile.gettempdir()) / "alcyon-bench") / "engine-models"
