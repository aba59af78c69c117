"""The learning loop: a new attack, a lying analyst, quiet days and a champion that breaks.

    python benchmarks/learning_loop.py attack|lies|band|story [--seeds 5] [--daily N]
        [--members M,…] [--plots DIR]

All of it is simulated. `attack`: recall of an attack unknown in training, by the champion and by a
challenger trained a day after the attack's first label, at the same false-positive rate, on the
days after. `lies`: what 1,000 wrong labels by one analyst cost. `band`: 30 quiet days, then a
feature that is zeroed, for each of the most important ones. `story`: the learner itself over those
days, as a plot with --plots. Writes reports/learning_<part>.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alcyon.detectors.card import catalog
from alcyon.domain.columns import Batch, Strings
from alcyon.learning.dataset import DAY_MS
from alcyon.learning.history import History, Known, Recorded
from alcyon.learning.lessons import LessonRules, lessons
from alcyon.learning.metrics import ranking
from alcyon.learning.training import MEMBERS, Ensemble, TrainingSettings, train
from alcyon.learning.trust import Trust
from learning_band import band
from learning_story import story
from learning_world import Plan, World, unscored, world
from report import write

HOUR_MS = 3_600_000
ATTACK = "device_farm"
FPRS = (0.005, 0.01, 0.021)
"""The last is what the detector may cost on the standard scenario."""
GENUINE_SHARE = 0.25
"""Of genuine payments, learnt from: training takes minutes, not a quarter of an hour."""
MATURITY_MS = 3 * DAY_MS
LIES = 1_000
Figures = dict[str, object]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument(
        "part", nargs="?", default="attack", choices=("attack", "lies", "band", "story")
    )
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--daily", type=int, help="payments a day")
    arguments.add_argument("--members", default=",".join(MEMBERS))
    arguments.add_argument("--plots", type=Path)
    chosen = arguments.parse_args()
    members = tuple(chosen.members.split(","))
    parts: dict[str, Callable[[], Figures]] = {
        "attack": lambda: of_seeds(chosen, lambda w: attack(w, members)),
        "lies": lambda: of_seeds(chosen, lambda w: lies(w, members)),
        "band": lambda: band(chosen.daily or 86_400, members, chosen.plots),
        "story": lambda: story(chosen.daily or 40_000, members, chosen.plots),
    }
    began = time.perf_counter()
    found = parts[chosen.part]()
    write(f"learning_{chosen.part}", {**found, "took_s": round(time.perf_counter() - began)})


def of_seeds(chosen: argparse.Namespace, measure: Callable[[World], Figures]) -> Figures:
    """A row of figures for each seed, printed as it comes."""
    rows = []
    for seed in range(1, chosen.seeds + 1):
        row = measure(world(Plan(seed, ATTACK, daily=chosen.daily or 40_000)))
        print(f"seed {seed}: " + ", ".join(f"{k} {v}" for k, v in row.items()), flush=True)
        rows.append({"seed": seed, **row})
    return {"attack": ATTACK, "simulated": True, "rows": rows}


def attack(w: World, members: tuple[str, ...]) -> Figures:
    """Recall of the new attack on what comes after the challenger was made."""
    first = first_label(w)
    made = first + DAY_MS
    champion, challenger = (trained(w, at, members) for at in (w.plan.begins, made))
    later = w.event_time > made
    rows = w.features[later]
    genuine, new = ~w.is_fraud[later], w.is_attack[later]
    recalls = {fpr: list[float]() for fpr in FPRS}
    for model in (champion, challenger):
        score = model.log_odds(rows)
        for fpr, found in recalls.items():
            limit = np.quantile(score[genuine], 1 - fpr)
            found.append(round(float((score[new] > limit).mean()), 3))
    return {
        "first_label_h": round((first - w.plan.begins) / HOUR_MS, 1),
        "labels_of_it": labels_of_it(w, made),
        "judged_on": int(new.sum()),
        "recall_before_after": {str(fpr): found for fpr, found in recalls.items()},
    }


def lies(w: World, members: tuple[str, ...]) -> Figures:
    """Average precision with and without 1,000 wrong labels of one analyst, given in one day or
    within ten: genuine payments called fraud, drawn at random or those most like it, and the frauds
    most like it called genuine."""
    at = w.plan.begins + 2 * DAY_MS
    honest = trained(w, at, members)
    later = w.event_time > at
    truth = w.is_fraud[later]

    def precision(model: Ensemble) -> float:
        return ranking(model.log_odds(w.features[later]), truth).average_precision

    base = precision(honest)
    found: Figures = {"average_precision": round(base, 4)}
    score = honest.log_odds(w.features)
    for which in ("random", "likely", "hidden"):
        for days in (1, 10):
            liar = trained(w, at, members, partial(lie, w, at, days, which, score))
            found[f"cost_{which}_{days}d"] = round(base - precision(liar), 4)
    trusting = Trust(10**9, 1e9)
    liar = trained(w, at, members, partial(lie, w, at, 1, "likely", score), trusting)
    found["cost_likely_1d_unbounded"] = round(base - precision(liar), 4)
    return found


def lie(
    w: World, at: int, days: int, which: str, score: NDArray[np.float64], history: History
) -> None:
    """Let mallory say the opposite of the truth of payments of the last days."""
    random = np.random.default_rng(w.plan.seed)
    lied_of = np.flatnonzero(
        (w.is_fraud == (which == "hidden"))
        & (w.event_time < at - HOUR_MS)
        & (w.event_time > at - days * DAY_MS)
    )
    likely = lied_of[np.argsort(-score[lied_of])][:LIES]
    chosen = np.sort(random.choice(lied_of, LIES, replace=False) if which == "random" else likely)
    labels = w.labels.take(np.zeros(len(chosen), np.int64))
    history.tell(
        Batch(
            {
                **labels.columns,
                "transaction_id": Strings.from_list([w.ids[k] for k in chosen]),
                "is_fraud": np.full(len(chosen), which != "hidden", np.int64),
                "fraud_type": Strings.nulls(len(chosen)),
                "source": Strings.from_list(["analyst"] * len(chosen)),
                "author": Strings.from_list(["mallory"] * len(chosen)),
                "labelled_at": np.minimum(w.event_time[chosen] + HOUR_MS // 2, at),
            }
        )
    )


def trained(
    w: World,
    as_of: int,
    members: tuple[str, ...],
    meddle: Callable[[History], None] = lambda history: None,
    trust: Trust | None = None,
) -> Ensemble:
    """Trained on what was decided and known by then."""
    known = known_at(w, as_of, meddle, trust)
    rules = LessonRules(MATURITY_MS, trust=trust or Trust())
    data = lessons(known, catalog.model_names, rules)
    settings = TrainingSettings(members, genuine_share=GENUINE_SHARE)
    return train(data, catalog.hash, settings).ensemble


def known_at(w: World, as_of: int, meddle: Callable[[History], None], trust: Trust | None) -> Known:
    """All payments approved, so that the truth about each can come to light."""
    history = History(len(catalog.model_names), trust)
    rows: Recorded = unscored(w, w.event_time <= as_of)
    history.add(rows)
    history.tell(w.labels_between(0, as_of + 1))
    meddle(history)
    return history.known(as_of)


def first_label(w: World) -> int:
    """When somebody first called one of the new attack's payments fraud."""
    return int(_labels_of_it(w).min())


def labels_of_it(w: World, by: int) -> int:
    """How many were known."""
    return int((_labels_of_it(w) <= by).sum())


def _labels_of_it(w: World) -> NDArray[np.int64]:
    of_it = {w.ids[k] for k in np.flatnonzero(w.is_attack)}
    ids, says = w.labels.strings("transaction_id").to_list(), w.labels.numbers("is_fraud") == 1
    found = np.array([t in of_it for t in ids]) & says
    return w.labels.numbers("labelled_at")[found]


if __name__ == "__main__":
    main()
