from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alcyon.domain.errors import InputError
from alcyon.learning.dataset import DAY_MS, Examples
from alcyon.learning.export import export
from alcyon.learning.history import History
from alcyon.learning.lessons import LessonRules, lessons, next_lessons
from alcyon.learning.linear import STEP_MAX
from alcyon.learning.online import NAME, learn_more
from alcyon.learning.training import TrainingSettings, train
from alcyon.learning.trust import Trust
from alcyon.scoring.model import Model
from alcyon.scoring.policy import Policy
from tests.learning.remembered import decided, said
from tests.learning.synthetic import CATALOG, dataset, recorded

RULES = LessonRules(maturity_ms=10, frauds_min=1, validation_share=0.5, young_weight=1.0)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that leans on its online member."""
    trained = train(dataset(), CATALOG, TrainingSettings((NAME,)))
    place = tmp_path_factory.mktemp("models") / "old"
    export(trained, place, Policy(), {})
    return place


def new_attack(n: int) -> Examples:
    """Payments of a large first feature, all fraud."""
    rows = recorded(n).copy()
    rows[:, 0] = 3.0
    return Examples(rows, np.ones(n, np.bool_), np.arange(n), np.full(n, 100))


def test_what_is_new_is_learnt_in_the_served_file(directory: Path, tmp_path: Path) -> None:
    attack = new_attack(300)
    learn_more(directory, attack, np.ones(300), 7, tmp_path)
    old, new = Model.load_any(directory), Model.load_any(tmp_path)
    assert new.version != old.version
    before, after = old.score(attack.features).log_odds, new.score(attack.features).log_odds
    assert (after > before).all()
    assert new.manifest.parity < 1e-4
    assert old.manifest.model_sha256 != new.manifest.model_sha256


def test_influence_is_bounded_whatever_is_said(directory: Path, tmp_path: Path) -> None:
    learn_more(directory, new_attack(2_000), np.full(2_000, 1e9), 7, tmp_path)
    old, new = Model.load_any(directory), Model.load_any(tmp_path)
    usual = np.zeros((1, old.session.get_inputs()[0].shape[1]), np.float32)
    weight = old.manifest.members[0].weight
    # One deviation in every feature at once cannot move further than the step is long.
    moved = abs(new.score(usual).log_odds - old.score(usual).log_odds)[0]
    assert 0 < moved <= abs(weight) * STEP_MAX * np.sqrt(2 * usual.shape[1] + 1)


def test_a_model_without_online_member_and_nothing_new_are_refused(
    directory: Path, tmp_path: Path
) -> None:
    attack = new_attack(3)
    with pytest.raises(InputError, match="nothing new"):
        learn_more(directory, attack, np.zeros(3), 7, tmp_path)
    trained = train(dataset(), CATALOG, TrainingSettings(("xgboost",)))
    export(trained, tmp_path / "trees", Policy(), {})
    with pytest.raises(InputError, match="no online member"):
        learn_more(tmp_path / "trees", attack, np.ones(3), 7, tmp_path / "out")


def history() -> History:
    """Ten payments, one each millisecond; 1, 5 and 9 are frauds, 8 is cleared by one analyst and 7
    by two."""
    found = History(2)
    found.add(decided([f"t{k}" for k in range(10)], np.arange(10)))
    labels = [("t1", 1, "issuer", 4), ("t5", 1, "analyst", 8), ("t9", 1, "analyst", 11)]
    cleared = ("t7", 0, "analyst", 12), ("t8", 0, "analyst", 12)
    found.tell(said(*labels, *cleared, author="alice"))
    found.tell(said(*labels[1:], cleared[0], author="bruno"))
    return found


def test_the_training_set_holds_the_mature_and_of_the_young_what_is_said() -> None:
    rules = replace(RULES, trust=Trust(author_share_max=1.0))
    data = lessons(history().known(16), ("a", "b"), rules)
    assert data.train.event_time.tolist() == [0, 1, 2, 7, 9]
    assert data.train.is_fraud.tolist() == [False, True, False, False, True]
    assert data.validation.event_time.tolist() == [3, 4, 5, 6]
    assert data.validation.is_fraud.tolist() == [False, False, True, False]
    with pytest.raises(InputError, match="train span holds 0"):
        lessons(history().known(3 + 10), ("a", "b"), replace(rules, validation_share=0.9))
    with pytest.raises(InputError, match="old enough"):
        lessons(history().known(5), ("a", "b"), rules)


def test_a_young_fraud_teaches_for_those_of_its_kind_that_nobody_has_reported_yet() -> None:
    rules = replace(RULES, trust=Trust(author_share_max=1.0), young_weight=4.0)
    data = lessons(history().known(16), ("a", "b"), rules)
    assert data.train.event_time.tolist() == [0, 1, 2, 7, 9, 9, 9, 9]


def test_a_young_fraud_that_one_analyst_alone_tells_of_teaches_for_itself() -> None:
    found = History(2)
    found.add(decided(["by issuer", "by one", "by two"], np.arange(3)))
    found.tell(said(("by issuer", 1, "issuer", 5)))
    found.tell(said(("by one", 1, "analyst", 5), ("by two", 1, "analyst", 5), author="alice"))
    found.tell(said(("by two", 1, "analyst", 5), author="bruno"))
    rules = replace(RULES, trust=Trust(author_share_max=1.0), young_weight=4.0)
    examples, weights = next_lessons(0, found.known(6), rules)
    assert examples.event_time.tolist() == [0, 1, 2]
    assert weights.tolist() == [4.0, 1.0, 4.0]


def test_an_example_teaches_the_online_member_once() -> None:
    found, taught = history(), list[tuple[int, bool]]()
    for before, as_of in ((0, 7), (7, 11), (11, 30)):
        examples, weights = next_lessons(before, found.known(as_of), RULES)
        assert (weights > 0).all()
        taught += zip(examples.event_time.tolist(), examples.is_fraud.tolist(), strict=True)
    assert sorted(taught) == [(k, k in (1, 5, 9)) for k in range(10)]
    assert next_lessons(30, found.known(30), RULES)[0].event_time.tolist() == []


def test_one_analyst_has_a_bounded_share_of_what_is_taught() -> None:
    n = 400
    found = History(2, Trust(author_labels_per_day_max=1_000))
    found.add(decided([f"t{k}" for k in range(n)], np.arange(n)))
    found.tell(said(*[(f"t{k}", 1, "analyst", n) for k in range(0, n, 2)], author="mallory"))
    found.tell(said(*[(f"t{k}", 1, "issuer", n) for k in range(1, n, 20)]))
    _, weights = next_lessons(0, found.known(n), replace(RULES, maturity_ms=DAY_MS))
    examples, _ = next_lessons(0, found.known(n), replace(RULES, maturity_ms=DAY_MS))
    by_mallory = examples.event_time % 2 == 0
    assert weights[by_mallory].sum() == pytest.approx(0.02 * 20)
    assert (weights[~by_mallory] == 1).all()
