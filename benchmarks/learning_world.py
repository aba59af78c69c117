"""Simulated card payments with their features, truth and late labels, for the learning benchmark.

A history without one attack, then the same people's payments with it. Everything is simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from alcyon.detectors.card import catalog
from alcyon.domain.columns import Batch, Strings, concatenate
from alcyon.domain.decision import CERTAIN_PPM, Action
from alcyon.features.kernel import Kernel, LabelRows
from alcyon.features.layout import Layout
from alcyon.learning.dataset import DAY_MS
from alcyon.learning.history import Recorded
from alcyon.scoring.model import Model
from alcyon.scoring.policy import Policy, decide_actions
from alcyon.simulation import AttackMix, Reporting, Scenario, Slice, labels_of, simulate
from alcyon.simulation.scenario import DEFAULT_START

MIX = {
    "card_testing": 0.16, "stolen_card": 0.20, "account_takeover": 0.20, "impossible_travel": 0.09,
    "compromised_merchant": 0.14, "device_farm": 0.08, "bust_out": 0.08, "disputed": 0.05,
}  # fmt: skip
"""The simulation's own mixture."""
WARM_DAYS = 38
"""Before anything counts: until then the longest windows (30 days, 7 days late) still fill up, and
features are none that a system that runs would see."""
OTHERS = ("impossible_travel", "bust_out", "disputed")
"""Attacks by other means than a device farm's: who knows these alone does not know that one."""


@dataclass(frozen=True)
class Plan:
    """What is simulated. attack: does not happen before `days_before`, and makes up `attack_share`
    of the fraud from then on; empty: there is none that is new."""

    seed: int
    attack: str
    daily: int = 40_000
    days_before: int = 16
    days_after: int = 3
    known: tuple[str, ...] = OTHERS
    """The attacks that happen all the time."""
    fraud_rate: float = 0.012
    intensity: float = 1.0
    pace: float = 1.0
    mix: Mapping[str, float] = field(default_factory=lambda: MIX)
    """Shares of the known attacks among themselves."""
    attack_share: float = 0.6
    delay_scale: float = 0.25
    """Of the simulation's label delays: analysts an hour, issuers 18 hours, chargebacks 5 days
    (medians)."""

    @property
    def begins(self) -> int:
        """When the attack begins, UTC ms."""
        return DEFAULT_START + self.days_before * DAY_MS


@dataclass(frozen=True, eq=False)
class World:
    """n payments in order of arrival: features float32[n, F], the others [n]; all their labels."""

    plan: Plan
    ids: list[str]
    features: NDArray[np.float32]
    event_time: NDArray[np.int64]
    amount_minor: NDArray[np.int64]
    is_fraud: NDArray[np.bool_]
    attacks: NDArray[np.str_]
    """By name, empty where genuine."""
    is_attack: NDArray[np.bool_]
    """Of the new attack."""
    labels: Batch

    def __len__(self) -> int:
        return len(self.ids)

    def labels_between(self, start: int, stop: int) -> Batch:
        """Those given in [start, stop), in order of time."""
        first, last = np.searchsorted(self.labels.numbers("labelled_at"), [start, stop])
        return self.labels.slice(int(first), int(last))

    def decided(
        self, rows: slice, champion: Model, beside: Model | None, policy: Policy
    ) -> Recorded:
        """The rows as decided by a model beside another."""
        features = self.features[rows]
        n, ppm = len(features), champion.score(features).probability_ppm
        other = np.full(n, -1) if beside is None else beside.score(features).probability_ppm
        name = "none" if beside is None else beside.version
        return Recorded(
            [self.ids[k] for k in rows], features, self.event_time[rows], self.amount_minor[rows],
            decide_actions(policy, ppm, np.ones(n, np.bool_)), np.full(n, CERTAIN_PPM), ppm, other,
            np.full(n, champion.version, "S16"), np.full(n, name, "S16"),
        )  # fmt: skip


def world(plan: Plan) -> World:
    """Simulate, and let everything through the kernel, with labels as they come."""
    slices = _slices(plan)
    labels = labels_of(slices, Reporting(plan.seed, delay_scale=plan.delay_scale))
    warm = sum(part.transactions.numbers("event_time")[-1] < DEFAULT_START for part in slices)
    features, slices = _features(slices, labels, int(warm)), slices[int(warm) :]
    labels = labels.slice(
        int(np.searchsorted(labels.numbers("labelled_at"), DEFAULT_START)), len(labels)
    )
    rows = concatenate(
        Batch({k: part.transactions.columns[k] for k in ("transaction_id", "event_time",
                                                          "amount_base_minor")})
        for part in slices
    )  # fmt: skip
    truth = concatenate(part.truth for part in slices)
    attacks = np.array([name or "" for name in truth.strings("attack").to_list()])
    times = np.asarray(rows.numbers("event_time"), np.int64)
    return World(
        plan,
        [t or "" for t in rows.strings("transaction_id").to_list()],
        features,
        times,
        np.asarray(rows.numbers("amount_base_minor"), np.int64),
        truth.numbers("is_fraud") == 1,
        attacks,
        (attacks == plan.attack) & (times >= plan.begins),
        labels,
    )


def _slices(plan: Plan) -> list[Slice]:
    known = {name: plan.mix[name] for name in plan.known}
    total, share = sum(known.values()), plan.attack_share if plan.attack else 0.0
    after = {name: part / total * (1 - share) for name, part in known.items()}
    after |= {plan.attack: share} if plan.attack else {}
    spans = (
        (DEFAULT_START - WARM_DAYS * DAY_MS, WARM_DAYS, known, plan.seed + 900),
        (DEFAULT_START, plan.days_before, known, plan.seed),
        (plan.begins, plan.days_after, after, plan.seed + 500),
    )
    scenarios = [
        Scenario(plan.daily * days, seed, start, days * DAY_MS, fraud_rate=plan.fraud_rate,
                 mix=AttackMix(mix, plan.intensity, plan.pace))
        for start, days, mix, seed in spans
        if days
    ]  # fmt: skip
    population = scenarios[0].create_population()
    return [part for scenario in scenarios for part in simulate(scenario, population, 16_384)]


def _features(slices: list[Slice], labels: Batch, warm: int) -> NDArray[np.float32]:
    """Of all but the first `warm` slices."""
    kernel, found = Kernel(Layout(catalog)), []
    due = np.asarray(labels.numbers("labelled_at"), np.int64)
    is_fraud = np.asarray(labels.numbers("is_fraud"), np.int64)
    ids: Strings = labels.strings("transaction_id")
    used = 0
    for number, part in enumerate(slices):
        rest = LabelRows(ids.slice(used, len(due)), is_fraud[used:], due[used:], by_time=True)
        observed = kernel.observe(part.transactions, labels=rest)
        used += observed.labels_used
        if number >= warm:
            found.append(observed.vectors())
    return np.concatenate(found)


def unscored(w: World, rows: NDArray[np.bool_]) -> Recorded:
    """Rows as if no model had looked at them: all approved."""
    at = np.flatnonzero(rows)
    n, none = len(at), np.full(len(at), "none", "S16")
    return Recorded(
        [w.ids[k] for k in at], w.features[at], w.event_time[at], w.amount_minor[at],
        np.full(n, Action.APPROVE.code, np.int8), np.full(n, CERTAIN_PPM), np.full(n, -1),
        np.full(n, -1), none, none,
    )  # fmt: skip
