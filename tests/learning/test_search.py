from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from alcyon.domain.errors import InputError
from alcyon.learning.boosting import PARAMETERS, Boosting
from alcyon.learning.dataset import DAY_MS, Examples
from alcyon.learning.member import FitSettings
from alcyon.learning.metrics import ranking
from alcyon.learning.search import FOLDS, checked, search, time_folds
from alcyon.learning.training import TrainingSettings
from alcyon.scoring.manifest import Search
from tests.learning.synthetic import dataset


class Asked:
    """Over when asked for the n-th time."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def span() -> Examples:
    return dataset().train


def test_folds_are_of_the_span_in_time_with_the_delay_between() -> None:
    folds = time_folds(span(), 2 * DAY_MS)
    assert len(folds) == FOLDS
    for before, after in folds:
        assert before.event_time[0] == span().event_time[0]
        assert before.event_time.max() < after.event_time.min() - 2 * DAY_MS + 1
    assert folds[-1][1].event_time[-1] == span().event_time[-1]
    assert all(a[1].event_time[-1] < b[1].event_time[0] for a, b in pairwise(folds))


def test_the_defaults_are_tried_even_with_no_time() -> None:
    found = search(span(), TrainingSettings(), DAY_MS, Asked(0))
    assert found.trials == 1
    assert found.parameters == {name: PARAMETERS[name] for name in found.parameters}
    each = [
        ranking(
            Boosting.fit(b.features, b.is_fraud, FitSettings()).signal(a.features), a.is_fraud
        ).average_precision
        for b, a in time_folds(span(), DAY_MS)
    ]
    assert found.average_precision == pytest.approx(np.mean(each))


def test_what_is_found_is_no_worse_than_the_defaults_and_asked_for_again_is_the_same() -> None:
    found, again = (search(span(), TrainingSettings(), DAY_MS, Asked(15)) for _ in range(2))
    assert found == again
    assert found.trials > 3
    assert found.average_precision >= found.average_precision_of_defaults


@pytest.mark.parametrize("case", ["no xgboost", "short", "few frauds"])
def test_what_cannot_be_searched_on_is_refused(case: str) -> None:
    examples, settings, delay = span(), TrainingSettings(), DAY_MS
    if case == "no xgboost":
        settings = TrainingSettings(members=("isolation_forest",))
    elif case == "short":
        delay = 60 * DAY_MS
    else:
        examples = replace(examples, is_fraud=examples.is_fraud & (np.arange(len(examples)) < 200))
    with pytest.raises(InputError, match=r"a search is for|too short to search"):
        search(examples, settings, delay, Asked(1))


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"max_depth": 30.0}, "max_depth is 30: give a whole number from 3 to 6"),
        ({"max_depth": 3.5}, "max_depth is 3.5"),
        ({"eta": float("nan")}, "eta is nan"),
        ({"eta": 0.1, "trees": 5000.0}, "trees is not among"),
    ],
)
def test_what_no_trial_could_have_drawn_is_refused(
    parameters: dict[str, float], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        checked(Search(parameters, 0.5, 0.4, 10))


def test_what_another_search_found_is_fitted_as_it_is() -> None:
    found = checked(Search({"max_depth": 3.0, "eta": 0.3}, 0.5, 0.4, 10))
    fit = FitSettings(boosting=found.parameters)
    one, other = (Boosting.fit(span().features, span().is_fraud, f) for f in (fit, FitSettings()))
    assert depth(one) == 3 < depth(other)


def depth(member: Boosting) -> int:
    dump: list[str] = member.booster.get_dump()
    return max(line.count("\t") for tree in dump for line in tree.splitlines())
