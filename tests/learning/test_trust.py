"""What one analyst's wrong labels cost, and how a new attack is learnt all the same."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from alcyon.learning.boosting import Boosting
from alcyon.learning.dataset import DAY_MS
from alcyon.learning.history import History
from alcyon.learning.lessons import LessonRules, lessons
from alcyon.learning.member import FitSettings
from alcyon.learning.trust import Trust
from tests.learning.remembered import decided, said

DAYS, DAILY, LIES = 20, 2_000, 1_000
NAMES = ("usual_risk", "other_risk")
UNBOUNDED = Trust(10**9, 1e9)


class Payments:
    """Frauds have a large first feature; those of the last day are a new attack, of a large second
    one and else like any payment."""

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        n = DAYS * DAILY
        self.ids = [f"t{k}" for k in range(n)]
        self.times = np.sort(random.integers(0, DAYS * DAY_MS, n))
        self.is_fraud = random.random(n) < 0.02
        self.features = random.normal(size=(n, 2)).astype(np.float32)
        self.features[self.is_fraud, 0] += 4.0
        young = self.times > (DAYS - 1) * DAY_MS
        self.is_attack = young & self.is_fraud
        self.features[self.is_attack] = random.normal([0.0, 5.0], 1.0, (self.is_attack.sum(), 2))

    def taught(self, trust: Trust, liar: str | None, attack_labels: int) -> Boosting:
        """By old frauds that issuers told of, some of the attack that five analysts did, and what
        mallory says of the genuine payments most like fraud, or least."""
        history = History(2, trust)
        history.add(decided(self.ids, self.times, features=self.features))
        old, new = self.is_fraud & ~self.is_attack, np.flatnonzero(self.is_attack)
        end = DAYS * DAY_MS
        history.tell(said(*[(self.ids[k], 1, "issuer", end) for k in np.flatnonzero(old)]))
        for k, row in enumerate(new[:attack_labels].tolist()):
            history.tell(said((self.ids[row], 1, "analyst", end), author=f"analyst{k % 5}"))
        if liar is not None:
            wrong = self._wrong(liar)
            labels = [(self.ids[k], 1, "analyst", int(self.times[k])) for k in wrong]
            history.tell(said(*labels, author="mallory"))
        rules = LessonRules(3 * DAY_MS, trust=trust)
        data = lessons(history.known(end), NAMES, rules)
        return Boosting.fit(data.train.features, data.train.is_fraud, FitSettings())

    def _wrong(self, liar: str) -> NDArray[np.int64]:
        genuine = np.flatnonzero(~self.is_fraud)
        risk = self.features[genuine, 0]
        chosen = np.argsort(-risk) if liar == "likely" else np.argsort(risk)
        return np.sort(genuine[chosen[:LIES]])


def usual_precision(model: Boosting) -> float:
    """On payments of other seeds, without the attack."""
    later = Payments(99)
    rows = ~later.is_attack
    score = model.signal(later.features[rows])
    return float(average_precision_score(later.is_fraud[rows], score))


def recall_of_attack(model: Boosting) -> float:
    """At a false-positive rate of 0.5 %."""
    later = Payments(98)
    score = model.signal(later.features)
    limit = np.quantile(score[~later.is_fraud], 0.995)
    return float((score[later.is_attack] > limit).mean())


@pytest.mark.parametrize("liar", ["likely", "unlikely"])
def test_a_thousand_wrong_labels_by_one_analyst_cost_little(liar: str) -> None:
    payments = Payments(3)
    honest = usual_precision(payments.taught(Trust(), None, 0))
    lied_to = usual_precision(payments.taught(Trust(), liar, 0))
    credulous = usual_precision(payments.taught(UNBOUNDED, liar, 0))
    assert honest - lied_to <= 0.01
    assert honest - credulous > 0.02


def test_frauds_that_one_analyst_calls_genuine_teach_what_they_would_without() -> None:
    """Young ones nothing yet, and those that others know to be fraud still that."""
    payments = Payments(3)
    frauds, end = np.flatnonzero(payments.is_fraud), DAYS * DAY_MS
    known, young = frauds[:200], frauds[payments.times[frauds] > end - 3 * DAY_MS]
    datasets = []
    for hidden in ([], [*known, *young]):
        history = History(2, UNBOUNDED)
        history.add(decided(payments.ids, payments.times, features=payments.features))
        history.tell(said(*[(payments.ids[k], 1, "issuer", end) for k in frauds[:-100]]))
        if hidden:
            history.tell(
                said(*[(payments.ids[k], 0, "analyst", end) for k in hidden], author="mallory")
            )
        rules = LessonRules(3 * DAY_MS, trust=UNBOUNDED)
        datasets.append(lessons(history.known(end), NAMES, rules))
    without, lied_to = datasets
    for span in ("train", "validation"):
        one, other = getattr(without, span), getattr(lied_to, span)
        assert np.array_equal(one.event_time, other.event_time)
        assert np.array_equal(one.is_fraud, other.is_fraud)


def test_a_new_attack_is_learnt_from_the_first_labels_that_analysts_give() -> None:
    payments = Payments(3)
    assert recall_of_attack(payments.taught(Trust(), None, 0)) < 0.1
    assert recall_of_attack(payments.taught(Trust(), None, 25)) > 0.8
