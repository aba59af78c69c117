"""The learner at work on an attack that nobody knew; part of `learning_loop.py`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from alcyon.detectors.card import catalog
from alcyon.domain.control import CHALLENGER, CHAMPION
from alcyon.domain.decision import Action
from alcyon.domain.moves import standing, winners
from alcyon.domain.ports import Intake
from alcyon.io.memory import MemoryIntake, MemoryRecords
from alcyon.io.model_folder import FolderRegistry
from alcyon.learning.dataset import DAY_MS
from alcyon.learning.history import History, Recorded
from alcyon.learning.lessons import LessonRules
from alcyon.learning.promotion import Gate, StandingApproval
from alcyon.learning.thresholds import Scored, action_costs
from alcyon.runners.learning.learner import HOUR_MS, Acted, Equipment, Learner, Schedule
from alcyon.runners.learning.models import Moving, begun_with, loader
from alcyon.runners.learning.remembering import Memory
from alcyon.runners.learning.teaching import Curriculum, retrain
from alcyon.scoring.model import Model
from alcyon.scoring.policy import Policy
from learning_world import Plan, World, unscored, world

SEED, ATTACK, DAYS_AFTER = 31, "device_farm", 12
RULES = LessonRules(3 * DAY_MS)
APPROVAL = StandingApproval("the benchmark", 0, 2**60, 0.02, 0.05, 0.0)
SCHEDULE = Schedule(retrain_every_ms=17 * DAY_MS, online_every_ms=17 * DAY_MS)
"""The next retraining is due a day after the attack began."""
Floats = NDArray[np.float64]


@dataclass
class Run:
    """A day after day: events of the learner, and money lost per hour with and without it."""

    begins: int
    events: list[tuple[float, str]] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    lost_without: list[float] = field(default_factory=list)
    caught: list[float] = field(default_factory=list)
    caught_without: list[float] = field(default_factory=list)
    attacks: list[int] = field(default_factory=list)

    def tell(self, acted: Acted) -> None:
        """Note and print what was done."""
        day = (acted.at - self.begins) / DAY_MS
        said = []
        if acted.published is not None:
            said.append("challenger published")
        if acted.promoted is not None:
            said.append("challenger promoted")
        if acted.rolled_back is not None:
            said.append("champion rolled back")
        for what in said:
            self.events.append((day, what))
            print(f"day {day:.1f}: {what}", flush=True)
        if acted.finding is not None:
            codes = " ".join(reason.code for reason in acted.finding.reasons)
            print(f"day {day:.1f}: judged: {codes or 'promote'}", flush=True)


def story(daily: int, members: tuple[str, ...], plots: Path | None) -> dict[str, object]:
    """An attack begins on day 0; the learner acts every hour."""
    w = world(Plan(SEED, ATTACK, daily, days_after=DAYS_AFTER, delay_scale=0.1))
    with tempfile.TemporaryDirectory() as folder:
        run = told(w, Path(folder), members)
    if plots is not None:
        draw(run, plots / "learning.png")
    saved = sum(run.lost_without) - sum(run.lost)
    print(
        f"money lost, minor units: {sum(run.lost):,.0f} with the learner, "
        f"{sum(run.lost_without):,.0f} without"
    )
    return {
        "simulated": True,
        "attack": ATTACK,
        "events": run.events,
        "lost_minor": round(sum(run.lost)),
        "lost_without_minor": round(sum(run.lost_without)),
        "saved_minor": round(saved),
    }


def told(w: World, folder: Path, members: tuple[str, ...]) -> Run:
    """The whole run."""
    begins, registry = w.plan.begins, FolderRegistry(folder / "models")
    memory = Memory(catalog)
    memory.history.add(unscored(w, w.event_time < begins))
    memory.history.tell(w.labels_between(0, begins))
    first = champion_of(memory.history, begins, registry, folder, members)
    policy, load = first.manifest.policy, loader(registry, catalog)

    @contextmanager
    def intake() -> Iterator[Intake]:
        yield MemoryIntake(MemoryRecords())

    equipment = Equipment(
        catalog, Moving(registry, load, intake), folder / "found", lambda: APPROVAL,
        Curriculum(RULES, members, genuine_share=0.25), SCHEDULE, Gate(frauds_min=50, days_min=1.0),
    )  # fmt: skip
    learner, run = Learner(equipment, memory), Run(begins)
    for start in range(begins, begins + DAYS_AFTER * DAY_MS, HOUR_MS):
        hour = np.flatnonzero((w.event_time >= start) & (w.event_time < start + HOUR_MS))
        champion, beside = (_named(registry, load, alias) for alias in (CHAMPION, CHALLENGER))
        memory.challenger_asked = standing(winners(registry.moves(CHALLENGER)))
        assert champion is not None
        decided = w.decided(hour, champion, beside, policy)
        memory.add(decided, "none" if beside is None else beside.version, policy)
        memory.history.tell(w.labels_between(start, start + HOUR_MS))
        note(run, w, hour, decided, w.decided(hour, first, None, policy), policy)
        run.tell(learner.act())
    return run


def champion_of(
    history: History, at: int, registry: FolderRegistry, folder: Path, members: tuple[str, ...]
) -> Model:
    """The model that decides when the attack begins."""
    known = history.known(at)
    retrain(
        known, catalog, Policy(), Curriculum(RULES, members, genuine_share=0.25), folder / "first"
    )
    return begun_with(registry, catalog, folder / "first")


def note(
    run: Run, w: World, rows: NDArray[np.int64], ours: Recorded, without: Recorded, policy: Policy
) -> None:
    """An hour's money and how much of the attack was acted on."""
    is_attack = w.is_attack[rows]
    run.attacks.append(int(is_attack.sum()))
    for decided, lost, caught in (
        (ours, run.lost, run.caught),
        (without, run.lost_without, run.caught_without),
    ):
        scored = Scored(decided.champion_ppm, w.is_fraud[rows], w.amount_minor[rows], 1.0)
        costs = action_costs(scored, policy.costs)
        total = 0.0
        for action in (Action.APPROVE, Action.REVIEW, Action.DECLINE):
            total += float(costs[action][decided.action == action.code].sum())
        lost.append(total)
        caught.append(float((is_attack & (decided.action > Action.STEP_UP.code)).sum()))


def _named(registry: FolderRegistry, load: object, alias: str) -> Model | None:
    name = standing(winners(registry.moves(alias)))
    return None if name is None else load(name)  # type: ignore[operator]


def draw(run: Run, file: Path) -> None:
    """Money lost and recall of the attack, with and without the learner."""
    figure = Figure(figsize=(8, 6), layout="constrained")
    money, recall = figure.subplots(2, 1, sharex=True)
    days = np.arange(1, len(run.lost) + 1) / 24
    for lost, label in ((run.lost_without, "the first champion"), (run.lost, "with alcyon learn")):
        money.plot(days, np.cumsum(lost) / 100, label=label)
    for caught, label in (
        (run.caught_without, "the first champion"),
        (run.caught, "with alcyon learn"),
    ):
        recall.plot(days, daily_share(caught, run.attacks), label=label)
    for day, what in run.events:
        for axes in (money, recall):
            axes.axvline(day, linestyle=":", color="grey")
        money.annotate(what, (day, 0), rotation=90, va="bottom", ha="right", fontsize=8)
    money.set(title=f"An attack unknown in training ({ATTACK}); simulated",
              ylabel="money lost so far, EUR")  # fmt: skip
    recall.set(xlabel="days since the attack began", ylabel="of the attack reviewed or declined",
               ylim=(0, 1.02))  # fmt: skip
    for axes in (money, recall):
        axes.grid(alpha=0.3)
        axes.legend(loc="upper left")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    print(f"{file} at {datetime.now(UTC):%H:%M}")


def daily_share(caught: list[float], attacks: list[int]) -> Floats:
    """float64[hours]: of the last 24 hours."""
    kernel = np.ones(24)
    of = np.convolve(attacks, kernel)[: len(attacks)]
    shares: Floats = np.convolve(caught, kernel)[: len(caught)] / np.maximum(of, 1)
    return shares
