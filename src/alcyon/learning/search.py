"""Search: better parameters for XGBoost (Optuna), judged on time-ordered folds of the train span.

    |-- fit --|.. delay ..|-- judge --|                              fold 1
    |-------- fit --------|.. delay ..|-- judge --|                  fold 2
    |-------------- fit --------------|.. delay ..|-- judge --|      fold 3
    first event of the train span                    its last event  | validation, test: never read

A trial is the mean average precision over the folds. The defaults are the first trial, so what is
found is never worse than they are on these folds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np

from alcyon.domain.errors import InputError
from alcyon.learning.boosting import PARAMETERS, Boosting
from alcyon.learning.dataset import Examples
from alcyon.learning.member import unheard
from alcyon.learning.metrics import ranking
from alcyon.learning.training import TrainingSettings
from alcyon.scoring.manifest import Search

FOLDS = 3
FRAUDS_MIN = 10
"""Fewest frauds for either side of a fold."""

Fold = tuple[Examples, Examples]


def search(
    span: Examples,
    settings: TrainingSettings,
    label_delay_ms: int,
    is_over: Callable[[], bool],
) -> Search:
    """Try parameters until `is_over`, asked after every fold; the defaults are always tried.

    span: the train span, in order of time. InputError without Optuna, without XGBoost among the
    members, or where a fold has too few frauds.
    """
    try:
        import optuna
    except ImportError:
        raise InputError("a search needs Optuna: install alcyon[search]") from None
    if Boosting.name not in settings.members:
        raise InputError(f"a search is for {Boosting.name}, which is not among the members")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folds = time_folds(span, label_delay_ms)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=settings.fit.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
    )
    defaults = {name: PARAMETERS[name] for name in _drawn(optuna.trial.FixedTrial(PARAMETERS))}
    study.enqueue_trial(defaults)
    first = True
    while first or not is_over():
        first, trial = False, study.ask()
        judged = _judge(trial, folds, settings, is_over)
        state = optuna.trial.TrialState
        study.tell(trial, judged, state.PRUNED if judged is None else state.COMPLETE)
    at_defaults = study.trials[0].value
    return Search(study.best_params, study.best_value, at_defaults, len(study.trials))


def checked(found: Search) -> Search:
    """What another search found, if a trial of ours might have drawn it; else InputError.

    What is not named keeps its default.
    """
    given = {
        name: int(value) if float(value).is_integer() and name == "max_depth" else value
        for name, value in found.parameters.items()
    }
    drawn = _Within({**PARAMETERS, **given})
    for name in given.keys() - _drawn(drawn).keys():
        raise InputError(f"{name} is not among the parameters that a search may set")
    return msgspec.structs.replace(found, parameters=given)


class _Within:
    """A trial of given values: it checks the bounds that another would draw from."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """The value given."""
        value = self._values[name]
        if not isinstance(value, int) or not low <= value <= high:
            raise InputError(f"{name} is {value}: give a whole number from {low} to {high}")
        return value

    def suggest_float(self, name: str, low: float, high: float, log: bool = False) -> float:
        """The value given."""
        value = float(self._values[name])
        if not low <= value <= high:
            raise InputError(f"{name} is {value}: give a number from {low} to {high}")
        return value


def time_folds(span: Examples, label_delay_ms: int) -> list[Fold]:
    """`FOLDS` pairs of rows to fit on and later rows to judge on, `label_delay_ms` between them.

    InputError where one side has fewer than `FRAUDS_MIN` frauds.
    """
    first, end = int(span.event_time[0]), int(span.event_time[-1]) + 1
    edges = [first + (end - first) * k // (FOLDS + 1) for k in range(FOLDS + 2)]
    folds = []
    for start, stop in pairwise(edges[1:]):
        fold = (
            _between(span, first, start - label_delay_ms),
            _between(span, start, stop),
        )
        if min(int(part.is_fraud.sum()) for part in fold) < FRAUDS_MIN:
            raise InputError(
                f"the train span is too short to search on: a fold of it has fewer than "
                f"{FRAUDS_MIN} known frauds; give more days, or leave --search out"
            )
        folds.append(fold)
    return folds


def _between(span: Examples, start: int, stop: int) -> Examples:
    at = slice(*np.searchsorted(span.event_time, [start, max(start, stop)]))
    return Examples(
        span.features[at], span.is_fraud[at], span.event_time[at], span.amount_minor[at]
    )


def _drawn(trial: Any) -> dict[str, float]:
    """The parameters of a trial. The number of trees stays: what serving costs hangs on it."""
    return {
        "max_depth": trial.suggest_int("max_depth", 3, 6),
        "eta": trial.suggest_float("eta", 0.03, 0.3, log=True),
        "min_child_weight": trial.suggest_float("min_child_weight", 0.5, 30.0, log=True),
        "lambda": trial.suggest_float("lambda", 0.1, 30.0, log=True),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
        "colsample_bynode": trial.suggest_float("colsample_bynode", 0.3, 1.0),
    }


def _judge(
    trial: Any, folds: list[Fold], settings: TrainingSettings, is_over: Callable[[], bool]
) -> float | None:
    """The mean over the folds; None for a trial given up, of which the first is none."""
    fit = replace(settings.fit, boosting=_drawn(trial), progress=unheard)
    found = list[float]()
    for k, (before, after) in enumerate(folds):
        member = Boosting.fit(before.features, before.is_fraud, fit)
        score = member.signal(after.features)
        found.append(ranking(score, after.is_fraud).average_precision)
        trial.report(float(np.mean(found)), k)
        is_last = k + 1 == len(folds)
        if trial.number > 0 and not is_last and (is_over() or trial.should_prune()):
            return None
    return float(np.mean(found))
