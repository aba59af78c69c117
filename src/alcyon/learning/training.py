"""Training: members on the train span, blend on the later validation span."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.errors import InputError
from alcyon.learning.autoencoder import Autoencoder
from alcyon.learning.blend import Blend, fit_blend, leave_one_out
from alcyon.learning.boosting import Boosting
from alcyon.learning.dataset import Dataset, Examples
from alcyon.learning.isolation import Isolation
from alcyon.learning.linear import OnlineLinear
from alcyon.learning.member import FitSettings, Member
from alcyon.scoring.manifest import Search

MEMBERS: dict[str, type[Member]] = {
    kind.name: kind for kind in (Boosting, Isolation, Autoencoder, OnlineLinear)
}
"""Every kind of member by name, in the order of the graph's `members` output."""


@dataclass(frozen=True)
class TrainingSettings:
    """What to train. `members` may leave any out."""

    members: tuple[str, ...] = tuple(MEMBERS)
    fit: FitSettings = field(default_factory=FitSettings)
    refit: bool = True
    """Fit the members again on train and validation span once the blend is known: the newest
    frauds teach most. Blend and thresholds stay those of rows the members had not seen."""
    genuine_share: float = 1.0
    """The share of genuine rows that members learn from, drawn by the seed. The blend is fitted on
    all rows, so the probabilities stay those of the traffic as it is."""

    def __post_init__(self) -> None:
        unknown = [m for m in self.members if m not in MEMBERS]
        if unknown or not self.members or len(set(self.members)) < len(self.members):
            raise InputError(
                f"members must be some of {', '.join(MEMBERS)}, each once; not {self.members}"
            )
        if not 0 < self.genuine_share <= 1:
            raise InputError(
                f"the share of genuine rows is above 0, at most 1; not {self.genuine_share}"
            )


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Fitted members and their blend, computed by the native libraries."""

    members: tuple[Member, ...]
    blend: Blend
    without: tuple[Blend, ...] = ()
    """By member, the blend had that one been left out (its weight 0): what each adds. Empty for
    an ensemble of one."""

    @property
    def names(self) -> tuple[str, ...]:
        """The members' names in order."""
        return tuple(m.name for m in self.members)

    def signals(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """float64[n, M]: every member's signal for features float32[n, F]."""
        return _signals(self.members, features)

    def scores(self, signals: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64[n, M]: every member's own score of its signal."""
        columns = [m.score(signals[:, k]) for k, m in enumerate(self.members)]
        return np.column_stack(columns)

    def log_odds(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """float64[n]: the blended log-odds for features float32[n, F]."""
        return self.blend.log_odds(self.signals(features))

    def log_odds_without(self, signals: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """By member, float64[n]: the log-odds of signals float64[n, M] had it been left out."""
        blends = zip(self.names, self.without, strict=False)
        return {name: blend.log_odds(signals) for name, blend in blends}


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """An ensemble with what it was trained on; `learning.export` makes files of it."""

    ensemble: Ensemble
    dataset: Dataset
    catalog_hash: str
    validation_log_odds: NDArray[np.float64]
    """float64[n]: the validation span as scored by members that had not seen it."""
    search: Search | None = None
    """Where the parameters come from, if they were searched for."""


def train(
    dataset: Dataset, catalog_hash: str, settings: TrainingSettings | None = None
) -> TrainedModel:
    """Train the ensemble; the same input and seed give the same model on the same machine."""
    settings = settings or TrainingSettings()
    ensemble, log_odds = fit_ensemble(dataset.train, dataset.validation, settings)
    return TrainedModel(ensemble, dataset, catalog_hash, log_odds)


def fit_ensemble(
    train_span: Examples, validation: Examples, settings: TrainingSettings
) -> tuple[Ensemble, NDArray[np.float64]]:
    """The ensemble, and float64[n] log-odds of the validation span scored out of sample."""
    members = _fitted(train_span, settings)
    signals = _signals(members, validation.features)
    rises = np.array([m.rises_with_risk for m in members])
    blend = fit_blend(signals, validation.is_fraud, rises)
    if settings.refit:
        members = _fitted(_joined(train_span, validation), settings)
    without = leave_one_out(signals, validation.is_fraud, rises)
    return Ensemble(members, blend, without), blend.log_odds(signals)


def _fitted(examples: Examples, settings: TrainingSettings) -> tuple[Member, ...]:
    kinds = [MEMBERS[name] for name in MEMBERS if name in settings.members]
    features, is_fraud = examples.features, examples.is_fraud
    if settings.genuine_share < 1:
        drawn = np.random.default_rng(settings.fit.seed).random(len(is_fraud))
        kept = is_fraud | (drawn < settings.genuine_share)
        features, is_fraud = features[kept], is_fraud[kept]
    return tuple(k.fit(features, is_fraud, settings.fit) for k in kinds)


def _signals(members: tuple[Member, ...], features: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.column_stack([m.signal(features) for m in members])


def _joined(one: Examples, other: Examples) -> Examples:
    return Examples(
        features=np.concatenate([one.features, other.features]),
        is_fraud=np.concatenate([one.is_fraud, other.is_fraud]),
        event_time=np.concatenate([one.event_time, other.event_time]),
        amount_minor=np.concatenate([one.amount_minor, other.amount_minor]),
    )
