"""What an analyst who says the opposite of the truth costs; part of `learning_loop.py`.

Two trainings differ a little whatever is said, so each case is trained several times, with a seed
each time for all that is random in it, the payments it sees among it. A cost is the mean of the
differences to honest trainings of the same seeds, with its standard error. The control is an
analyst who says as many true things; what that costs is noise. The members are not fitted again on
the validation span: it is the bound that is measured, not the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import Batch, Strings
from alcyon.learning.dataset import DAY_MS
from alcyon.learning.history import History, Known
from alcyon.learning.lessons import LessonRules, next_lessons
from alcyon.learning.linear import OnlineLinear
from alcyon.learning.metrics import ranking
from alcyon.learning.training import Ensemble
from alcyon.learning.trust import Trust
from learning_training import MATURITY_MS, known_at, trained
from learning_world import World

LIES = 1_000
HOUR_MS = 3_600_000
BOUNDED, TRUSTING = Trust(), Trust(10**9, 1e9)
"""As it is by default, and no bound at all."""
Figures = dict[str, object]


@dataclass(frozen=True)
class Lies:
    """What mallory says within so many days before the training.

    random, likely: genuine payments, at random or those most like fraud, are fraud; hidden: the
    frauds most like it are genuine; truthful: the frauds most like it are fraud.
    """

    which: str
    days: int
    trust: Trust = BOUNDED

    @property
    def name(self) -> str:
        """As it is printed."""
        return f"{self.which}_{self.days}d" + ("_unbounded" if self.trust == TRUSTING else "")


CASES = tuple(
    Lies(which, days) for which in ("truthful", "random", "likely", "hidden") for days in (1, 10)
)


def lies(w: World, members: tuple[str, ...], trainings: int) -> Figures:
    """Average precision on all days after the training, and what each case costs of it; then the
    same of what the online member learns within a day."""
    seeds = range(1, trainings + 1)
    at = w.plan.begins + 2 * DAY_MS
    judged = Judged(w, at)
    honest = [trained(known_at(w, at), members, seed=seed, refit=False) for seed in seeds]
    base = np.array([judged.precision(model) for model in honest])
    found: Figures = {"frauds_judged": int(judged.truth.sum()), "average_precision": told(base)}
    score = np.mean([model.log_odds(w.features) for model in honest], axis=0)
    for case in (*CASES, Lies("likely", 1, TRUSTING)):
        known = known_at(w, at, partial(lie, w, at, case, score), case.trust)
        cost = [
            before - judged.precision(trained(known, members, case.trust, seed, refit=False))
            for seed, before in zip(seeds, base, strict=True)
        ]
        found[f"cost_{case.name}"] = told(np.array(cost))
        print(f"  {case.name}: {found[f'cost_{case.name}']}", flush=True)
    if OnlineLinear.name in members:
        found |= online(w, honest, score, judged)
    return found


def online(
    w: World, champions: list[Ensemble], score: NDArray[np.float64], judged: Judged
) -> Figures:
    """What the same lies of one day cost where the online member learns that day, champion by
    champion: of the ensemble's average precision and of the member's own."""
    since, at = judged.begin, judged.begin + DAY_MS
    judged = Judged(w, at)
    found: Figures = {}
    known = known_at(w, at)
    honest = [learnt(champion, known, since, BOUNDED) for champion in champions]
    for case in (c for c in CASES if c.days == 1):
        known = known_at(w, at, partial(lie, w, at, case, score))
        lied = [learnt(champion, known, since, case.trust) for champion in champions]
        pairs = list(zip(honest, lied, strict=True))
        whole = [judged.precision(a) - judged.precision(b) for a, b in pairs]
        alone = [judged.precision(_online(a)) - judged.precision(_online(b)) for a, b in pairs]
        found[f"online_{case.name}"] = told(np.array(whole))
        found[f"online_alone_{case.name}"] = told(np.array(alone))
    return found


def learnt(champion: Ensemble, known: Known, since: int, trust: Trust) -> Ensemble:
    """The champion after its online member has learnt what became known since."""
    examples, weights = next_lessons(since, known, LessonRules(MATURITY_MS, trust=trust))
    taught = _online(champion).learn_more(examples.features, examples.is_fraud, weights)
    members = (taught if isinstance(m, OnlineLinear) else m for m in champion.members)
    return replace(champion, members=tuple(members))


def _online(ensemble: Ensemble) -> OnlineLinear:
    return next(m for m in ensemble.members if isinstance(m, OnlineLinear))


class Judged:
    """All payments after a time."""

    def __init__(self, w: World, begin: int) -> None:
        later = w.event_time > begin
        self.begin = begin
        self.truth = w.is_fraud[later]
        self._features = w.features[later]

    def precision(self, model: Ensemble | OnlineLinear) -> float:
        """Average precision."""
        score: Callable[[NDArray[np.float32]], NDArray[np.float64]]
        score = model.signal if isinstance(model, OnlineLinear) else model.log_odds
        return ranking(score(self._features), self.truth).average_precision


def told(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and its standard error."""
    error = float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return round(float(values.mean()), 4), round(error, 4)


def lie(w: World, at: int, case: Lies, score: NDArray[np.float64], history: History) -> None:
    """Let mallory say it, each half an hour after the payment."""
    random = np.random.default_rng(w.plan.seed)
    spoken_of = np.flatnonzero(
        (w.is_fraud == (case.which in ("hidden", "truthful")))
        & (w.event_time < at - HOUR_MS)
        & (w.event_time > at - case.days * DAY_MS)
    )
    likely = spoken_of[np.argsort(-score[spoken_of])][:LIES]
    is_random = case.which == "random"
    chosen = np.sort(random.choice(spoken_of, LIES, replace=False) if is_random else likely)
    labels = w.labels.take(np.zeros(len(chosen), np.int64))
    history.tell(
        Batch(
            {
                **labels.columns,
                "transaction_id": Strings.from_list([w.ids[k] for k in chosen]),
                "is_fraud": np.full(len(chosen), case.which != "hidden", np.int64),
                "fraud_type": Strings.nulls(len(chosen)),
                "source": Strings.from_list(["analyst"] * len(chosen)),
                "author": Strings.from_list(["mallory"] * len(chosen)),
                "labelled_at": w.event_time[chosen] + HOUR_MS // 2,
            }
        )
    )
