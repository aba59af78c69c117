"""The standard scenario: a model meets people and fraud of parameters that it was not trained on.

    python benchmarks/standard.py [--seeds 1,2] [--daily 40000] [--members M,…]

The card detector learns from 56 simulated days of labels as they come, and its threshold is set
where 2 % of the genuine payments of its validation span lie above. Then it judges `JUDGED_DAYS` of
another population whose frauds are more, in bursts twice as fast and larger by half, with the
shares of the attacks turned around, untouched by any choice. Told: frauds and amounts found at that
threshold, and on the curve at rates of false positives; by attack; and the money under the policy
chosen on the validation span, net of what false declines and reviews cost. First-party fraud is
left out, as in `alcyon evaluate`. All of it is simulated. Writes reports/standard.json after each
seed, so that what was measured is kept where the run is broken off.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alcyon.detectors.card import catalog
from alcyon.domain.decision import Action
from alcyon.learning.dataset import DAY_MS
from alcyon.learning.history import Bounds, History
from alcyon.learning.lessons import LessonRules, lessons
from alcyon.learning.thresholds import Scored, choose_policy, money
from alcyon.learning.training import MEMBERS, TrainedModel, TrainingSettings, train
from alcyon.scoring.model import probability_ppm_of
from alcyon.scoring.policy import Costs, Policy, decide_actions
from alcyon.simulation.attacks import FIRST_PARTY
from learning_training import GENUINE_SHARE, MATURITY_MS
from learning_world import MIX, WARM_DAYS, Plan, World, unscored, world
from report import write

LEARNT_DAYS, JUDGED_DAYS = 56, 24
VALIDATION_RATE = 0.02
"""Of false positives, where the threshold is set; 0.021 is what the scenario allows."""
RATES = (0.001, 0.005, 0.021)
FRAUD_MINOR_MIN = 200_000_000
"""Two million: what the frauds judged come to, at least."""
REVIEWS_PER_DAY = 100.0
Figures = dict[str, object]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A model with its threshold and policy, all chosen before the judged days were made."""

    trained: TrainedModel
    threshold: float
    policy: Policy


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--seeds", default="1,2", help="with commas between")
    arguments.add_argument("--daily", type=int, default=40_000, help="payments a day")
    arguments.add_argument("--members", default=",".join(MEMBERS))
    given = arguments.parse_args()
    began, rows = time.perf_counter(), []

    def tell(seed: int, doing: str) -> None:
        print(f"{time.perf_counter() - began:6.0f} s  seed {seed}: {doing}", file=sys.stderr)

    for seed in map(int, given.seeds.split(",")):
        tell(seed, f"simulating {WARM_DAYS + LEARNT_DAYS} days to learn from")
        learnt = learnt_from(seed, given.daily)
        tell(seed, f"learning from {len(learnt):,} payments")
        candidate = chosen(learnt, tuple(given.members.split(",")))
        tell(seed, f"simulating {WARM_DAYS + JUDGED_DAYS} days of others")
        row = judged(candidate, others(seed, given.daily))
        print(f"seed {seed}: " + ", ".join(f"{k} {v}" for k, v in row.items()), flush=True)
        rows.append({"seed": seed, **row})
        took_s = round(time.perf_counter() - began)
        write("standard", {"simulated": True, "daily": given.daily, "rows": rows, "took_s": took_s})


def learnt_from(seed: int, daily: int) -> World:
    """The simulation's own mixture."""
    return world(Plan(seed, "", daily, LEARNT_DAYS, 0, known=tuple(MIX)))


def others(seed: int, daily: int) -> World:
    """Other people, other fraud: attacks that were frequent are rare and the other way round."""
    shares = sorted(MIX, key=MIX.__getitem__)
    turned = dict(zip(shares, sorted(MIX.values(), reverse=True), strict=True))
    plan = Plan(
        seed + 1_000, "", daily, JUDGED_DAYS, 0, known=tuple(MIX), fraud_rate=0.03,
        intensity=1.5, pace=2.0, mix=turned,
    )  # fmt: skip
    return world(plan)


def chosen(w: World, members: tuple[str, ...]) -> Candidate:
    """Trained on what is known at the end; threshold and policy from its validation span."""
    history = History(len(catalog.model_names), bounds=Bounds(len(w), len(w.labels)))
    history.add(unscored(w, np.ones(len(w), np.bool_)))
    as_of = w.plan.begins
    history.tell(w.labels_between(0, as_of))
    data = lessons(history.known(as_of), catalog.model_names, LessonRules(MATURITY_MS))
    trained = train(data, catalog.hash, TrainingSettings(members, genuine_share=GENUINE_SHARE))
    validation, score = data.validation, trained.validation_log_odds
    threshold = float(np.quantile(score[~validation.is_fraud], 1 - VALIDATION_RATE))
    scored = Scored(
        probability_ppm_of(score), validation.is_fraud, validation.amount_minor, validation.days
    )
    return Candidate(trained, threshold, choose_policy(scored, Costs(), REVIEWS_PER_DAY))


def judged(candidate: Candidate, w: World) -> Figures:
    """All figures of the candidate on these days."""
    third_party = ~np.isin(w.attacks, FIRST_PARTY)
    fraud, amount = w.is_fraud[third_party], w.amount_minor[third_party]
    attacks = w.attacks[third_party]
    score = candidate.trained.ensemble.log_odds(w.features[third_party])
    stolen = int(amount[fraud].sum())
    at = {"threshold": candidate.threshold}
    at |= {f"{rate:g}": float(np.quantile(score[~fraud], 1 - rate)) for rate in RATES}
    scored = Scored(probability_ppm_of(score), fraud, amount, len(w) / w.plan.daily)
    costs = money(scored, candidate.policy)
    stopped = decide_actions(
        candidate.policy, scored.probability_ppm, np.ones(len(fraud), np.bool_)
    )
    declined = stopped == Action.DECLINE.code
    return {
        "payments": len(fraud),
        "frauds": int(fraud.sum()),
        "fraud_minor": stolen,
        "is_large_enough": stolen >= FRAUD_MINOR_MIN,
        "found": {name: found(score > limit, fraud, amount) for name, limit in at.items()},
        "recall_by_attack": {
            name: round(float((score[attacks == name] > at["threshold"]).mean()), 4)
            for name in sorted(set(attacks[fraud]))
        },
        "policy": {
            "false_declines": round(float(declined[~fraud].mean()), 5),
            "reviews_per_day": round(costs.reviews_per_day, 1),
            "stopped_net_minor": round(costs.saved_minor),
            "false_decline_minor": round(costs.false_decline_minor),
            "review_minor": round(costs.review_minor),
        },
        "days": round((int(w.event_time.max()) - int(w.event_time.min())) / DAY_MS, 1),
    }


def found(
    above: NDArray[np.bool_], fraud: NDArray[np.bool_], amount: NDArray[np.int64]
) -> dict[str, float]:
    """Shares of frauds and of their amount above a limit, and of genuine payments."""
    return {
        "frauds": round(float(above[fraud].mean()), 4),
        "amount": round(float(amount[above & fraud].sum() / amount[fraud].sum()), 4),
        "false_positives": round(float(above[~fraud].mean()), 5),
    }


if __name__ == "__main__":
    main()
