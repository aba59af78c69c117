"""Small made-up payments with a known cause of fraud, and models of them, each made once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import Batch, Strings
from alcyon.learning.dataset import DAY_MS, Dataset, Rows, SplitRules, build_dataset
from alcyon.learning.export import export
from alcyon.learning.thresholds import Scored, choose_policy
from alcyon.learning.training import MEMBERS, TrainedModel, TrainingSettings, train
from alcyon.scoring.model import Model, probability_ppm_of
from alcyon.scoring.policy import Costs, Policy

CATALOG = "c" * 64
NAMES = (
    "amount_minor", "card_count_10m", "card_count_1d", "amount_to_mean_30d",
    "merchant_mean_is_fraud_30d_delay_7d", "device_distinct_card_id_7d", "hour", "oddity",
)  # fmt: skip
START = 1_700_000_000_000


@cache
def payments(n: int = 8_000, seed: int = 1) -> tuple[Rows, NDArray[np.bool_]]:
    """n payments over 60 days and whether each is fraud (about 6 %)."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(n, len(NAMES))).astype(np.float32)
    risk = -4.5 + 1.6 * features[:, 1] + 1.2 * features[:, 3] * features[:, 4]
    is_fraud = random.random(n) < 1 / (1 + np.exp(-risk))
    features[random.random(features.shape) < 0.05] = np.nan
    return (
        Rows(
            features=features,
            feature_names=NAMES,
            transaction_id=Strings.from_list([f"t{i}" for i in range(n)]),
            event_time=START + np.sort(random.integers(0, 60 * DAY_MS, n)),
            amount_minor=random.integers(100, 50_000, n),
            card=random.integers(0, 300, n),
        ),
        is_fraud,
    )


def labels_of(
    rows: Rows, which: NDArray[np.bool_], delay_ms: int = 3 * DAY_MS, source: str = "issuer"
) -> Batch:
    """A label "fraud" for each of `which`, `delay_ms` after its payment."""
    at = np.flatnonzero(which)
    return Batch(
        {
            "label_id": Strings.from_list([f"l{i}" for i in at]),
            "transaction_id": rows.transaction_id.take(at),
            "is_fraud": np.ones(len(at), np.int64),
            "fraud_type": Strings.nulls(len(at)),
            "source": Strings.from_list([source] * len(at)),
            "labelled_at": rows.event_time[at] + delay_ms,
        }
    )


@cache
def dataset() -> Dataset:
    """The payments above, split."""
    rows, is_fraud = payments()
    return build_dataset(rows, labels_of(rows, is_fraud), SplitRules())


@cache
def trained(members: tuple[str, ...] = tuple(MEMBERS)) -> TrainedModel:
    """A model of those payments."""
    return train(dataset(), CATALOG, TrainingSettings(members=members))


@cache
def validation() -> Scored:
    """The validation span, scored by members that had not seen it."""
    span = dataset().validation
    ppm = probability_ppm_of(trained().validation_log_odds)
    return Scored(ppm, span.is_fraud, span.amount_minor, span.days)


@cache
def policy() -> Policy:
    """Its cheapest policy."""
    return choose_policy(validation(), Costs(), reviews_per_day=5)


@cache
def exported() -> Path:
    """The model's directory; tests that change it copy it first."""
    directory = Path(mkdtemp(prefix="alcyon-test-")) / "model"
    export(trained(), directory, policy(), {})
    return directory


@cache
def model() -> Model:
    """The model as served."""
    return Model.load(exported(), catalog_hash=CATALOG, feature_names=NAMES)


def recorded(n: int) -> NDArray[np.float32]:
    """float32[n, F]: rows no model was trained on, with nulls among them."""
    return payments(n, seed=99)[0].features
