"""The learning loop: a new attack, a lying analyst, quiet days and a champion that breaks.

    python benchmarks/learning_loop.py attack|lies|band|story [--seeds 1-5] [--daily N]
        [--members M,…] [--trainings 6] [--plots DIR]

All of it is simulated. `attack`: recall of an attack unknown in training, by the champion and by a
challenger trained a day after the attack's first label, at the same false-positive rate, on the
days after. `lies`: what 1,000 wrong labels by one analyst cost, as the mean and standard error over
so many trainings. `band`: 30 quiet days, then a
feature that is zeroed, for each of the most important ones. `story`: the learner itself over those
days, as a plot with --plots. Writes reports/learning_<part>.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alcyon.learning.dataset import DAY_MS
from alcyon.learning.training import MEMBERS
from learning_band import band
from learning_lies import Figures, lies
from learning_story import story
from learning_training import known_at, trained
from learning_world import Plan, World, world
from report import write

HOUR_MS = 3_600_000
ATTACK = "device_farm"
FPRS = (0.005, 0.01, 0.021)
"""The last is what the detector may cost on the standard scenario."""
JUDGED_DAYS = 10
"""After the attack began; of them, all that come after the training judge what a lie costs."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument(
        "part", nargs="?", default="attack", choices=("attack", "lies", "band", "story")
    )
    arguments.add_argument("--seeds", default="1-5")
    arguments.add_argument("--daily", type=int, help="payments a day")
    arguments.add_argument("--members", default=",".join(MEMBERS))
    arguments.add_argument("--trainings", type=int, default=6)
    arguments.add_argument("--plots", type=Path)
    chosen = arguments.parse_args()
    members = tuple(chosen.members.split(","))
    parts: dict[str, Callable[[], Figures]] = {
        "attack": lambda: of_seeds(chosen, lambda w: attack(w, members)),
        "lies": lambda: of_seeds(chosen, lambda w: lies(w, members, chosen.trainings), JUDGED_DAYS),
        "band": lambda: band(chosen.daily or 86_400, members, chosen.plots),
        "story": lambda: story(chosen.daily or 40_000, members, chosen.plots),
    }
    began = time.perf_counter()
    found = parts[chosen.part]()
    write(f"learning_{chosen.part}", {**found, "took_s": round(time.perf_counter() - began)})


def of_seeds(
    chosen: argparse.Namespace, measure: Callable[[World], Figures], days_after: int = 3
) -> Figures:
    """A row of figures for each seed, printed as it comes."""
    first, last = (int(part) for part in f"{chosen.seeds}-{chosen.seeds}".split("-")[:2])
    rows = []
    for seed in range(first, last + 1):
        plan = Plan(seed, ATTACK, daily=chosen.daily or 40_000, days_after=days_after)
        row = measure(world(plan))
        print(f"seed {seed}: " + ", ".join(f"{k} {v}" for k, v in row.items()), flush=True)
        rows.append({"seed": seed, **row})
    return {"attack": ATTACK, "simulated": True, "rows": rows}


def attack(w: World, members: tuple[str, ...]) -> Figures:
    """Recall of the new attack on what comes after the challenger was made."""
    first = first_label(w)
    made = first + DAY_MS
    champion, challenger = (trained(known_at(w, at), members) for at in (w.plan.begins, made))
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
