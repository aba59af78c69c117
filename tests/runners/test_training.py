"""Training from rows: what is ordered of a search."""

from __future__ import annotations

from pathlib import Path

from alcyon.detectors.card import catalog
from alcyon.learning.boosting import PARAMETERS
from alcyon.learning.dataset import SplitRules
from alcyon.learning.member import FitSettings
from alcyon.learning.training import TrainingSettings
from alcyon.runners.files.arrivals import Tally
from alcyon.runners.learning.training import Backfilled, Order, train_model
from alcyon.scoring.policy import Costs
from tests.learning.synthetic import labels_of, payments


def test_a_search_without_time_tries_the_defaults_and_says_how_far_it_is(tmp_path: Path) -> None:
    rows, is_fraud = payments()
    heard = list[tuple[str, int, int]]()
    fit = FitSettings(progress=lambda *step: heard.append(step))
    settings = TrainingSettings(("xgboost",), fit)
    order = Order(SplitRules(), settings, Costs(), reviews_per_day=5, search_s=0.0)
    given = Backfilled(rows, labels_of(rows, is_fraud), Tally())
    found = train_model(catalog, given, order, tmp_path / "m").manifest.search
    assert found is not None
    assert found.trials == 1
    assert found.parameters == {name: PARAMETERS[name] for name in found.parameters}
    assert found.average_precision == found.average_precision_of_defaults > 0
    assert heard[0][0] == "search"
