"""Two small models of the card catalog, made once: they differ in what they find suspicious."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from alcyon.detectors.loading import load_detector
from alcyon.domain.columns import Batch, Strings
from alcyon.learning.dataset import DAY_MS, Rows, build_dataset
from alcyon.learning.export import export
from alcyon.learning.member import FitSettings
from alcyon.learning.training import TrainingSettings, train
from alcyon.scoring.policy import Policy, Thresholds

_ROWS, _START = 3_000, 1_700_000_000_000


@cache
def card_models() -> tuple[Path, Path]:
    """Their folders. By their policy nothing is stopped: only rules do."""
    folder = Path(mkdtemp(prefix="alcyon-test-"))
    return _made(folder / "one", 0), _made(folder / "two", 1)


def _made(folder: Path, seed: int) -> Path:
    catalog, rng = load_detector("card").catalog, np.random.default_rng(seed)
    features = rng.normal(size=(_ROWS, len(catalog.model_names))).astype(np.float32) * 3
    is_fraud = features[:, seed] + rng.normal(size=_ROWS) > 3
    ids = Strings.from_list([f"t{i}" for i in range(_ROWS)])
    times, at = _START + np.sort(rng.integers(0, 60 * DAY_MS, _ROWS)), np.flatnonzero(is_fraud)
    labels = Batch(
        {
            "transaction_id": ids.take(at),
            "is_fraud": np.ones(len(at), np.int64),
            "labelled_at": times[at] + DAY_MS,
        }
    )
    rows = Rows(features, catalog.model_names, ids, times, np.full(_ROWS, 100))
    settings = TrainingSettings(members=("xgboost",), fit=FitSettings(seed=seed))
    trained = train(build_dataset(rows, labels), catalog.hash, settings)
    export(trained, folder, Policy({"default": Thresholds()}), {})
    return folder
