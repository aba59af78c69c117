"""The model of the game day: large payments are fraud to it, and nothing else is.

So what it says of which traffic is known from the first payment on, without weeks of history. How
good models are is measured elsewhere (`benchmarks/standard.py`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alcyon.detectors.loading import load_detector
from alcyon.domain.columns import Batch, Strings
from alcyon.learning.dataset import DAY_MS, Rows, build_dataset
from alcyon.learning.export import export
from alcyon.learning.member import FitSettings
from alcyon.learning.training import TrainingSettings, train
from alcyon.scoring.policy import Policy, Thresholds

LARGE_MINOR = 900_000
"""A payment that is fraud to it; simulated purchases are far smaller."""
_ROWS, _START, _LARGE_SHARE, _USUAL_MINOR_MAX = 3_000, 1_700_000_000_000, 0.1, 300_000


def make_model(folder: Path) -> None:
    """Train it on made-up features, and write it into this folder."""
    catalog, rng = load_detector("card").catalog, np.random.default_rng(0)
    names = catalog.model_names
    features = rng.normal(size=(_ROWS, len(names))).astype(np.float32) * 3
    is_large = rng.random(_ROWS) < _LARGE_SHARE
    usual = np.exp(rng.normal(np.log(4_000), 1.2, _ROWS)).clip(50, _USUAL_MINOR_MAX)
    features[:, names.index("amount")] = np.where(is_large, LARGE_MINOR, usual)
    ids = Strings.from_list([f"t{i}" for i in range(_ROWS)])
    times, at = _START + np.sort(rng.integers(0, 60 * DAY_MS, _ROWS)), np.flatnonzero(is_large)
    labels = Batch(
        {
            "transaction_id": ids.take(at),
            "is_fraud": np.ones(len(at), np.int64),
            "labelled_at": times[at] + DAY_MS,
        }
    )
    rows = Rows(features, names, ids, times, np.full(_ROWS, 100))
    settings = TrainingSettings(members=("xgboost",), fit=FitSettings(seed=0))
    trained = train(build_dataset(rows, labels), catalog.hash, settings)
    export(trained, folder, Policy({"default": Thresholds()}), {})
