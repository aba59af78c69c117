"""Every detector that comes with Alcyon: its features, and rules over them."""

from __future__ import annotations

import pytest

from alcyon.detectors.loading import OURS, load_detector
from alcyon.domain.columns import ColumnType
from alcyon.scoring.conduct import Conduct
from alcyon.scoring.policy import Policy
from alcyon.scoring.rules import Status

WITH_RULES = ("card", "sparkov", "paysim")


@pytest.mark.parametrize("name", OURS)
def test_its_rules_are_of_its_own_columns_and_features(name: str) -> None:
    detector = load_detector(name)
    found = Conduct.of(detector.catalog, detector.rules, Policy())
    assert len(detector.catalog.model_names) > 10
    assert bool(found.rules.evaluated) == (name in WITH_RULES)


@pytest.mark.parametrize("name", WITH_RULES)
def test_lists_outrank_every_other_rule(name: str) -> None:
    detector = load_detector(name)
    rules = Conduct.of(detector.catalog, detector.rules, Policy()).rules.evaluated
    assert rules[0].reason_code == "blocked_entity"
    assert rules[0].status is Status.LIVE


def test_paysims_balances_are_columns_of_its_own() -> None:
    assert set(load_detector("paysim").columns.values()) == {ColumnType.INT}
    assert len(load_detector("paysim").columns) == 4
