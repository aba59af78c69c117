"""The loop as a whole: a worker over logs in memory, a registry in a folder, and the learner."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

import msgspec
import numpy as np
import pytest

from alcyon.codecs.decisions import decode
from alcyon.domain.control import CHALLENGER, CHAMPION, SetModel, encode_control
from alcyon.domain.errors import UnreachableError
from alcyon.domain.moves import MoveKind, standing, winners
from alcyon.domain.ports import Intake
from alcyon.domain.record import Topic
from alcyon.io.memory import MemoryDecisions, MemoryIntake, MemorySource
from alcyon.io.model_folder import FolderRegistry
from alcyon.learning.dataset import DAY_MS
from alcyon.learning.lessons import LessonRules
from alcyon.learning.live_drift import LiveDrift
from alcyon.learning.promotion import Finding, Gate, StandingApproval
from alcyon.runners.learning.following import Logs, follow_once
from alcyon.runners.learning.learner import HOUR_MS, Acted, Equipment, Learner, LeftBand, Schedule
from alcyon.runners.learning.learner_telling import LearnerTelling
from alcyon.runners.learning.models import Moving, begun_with, loader
from alcyon.runners.learning.remembering import Decoders, Memory, PolicyByVersion
from alcyon.runners.learning.teaching import Curriculum
from alcyon.runners.stream.rates import RatesByVersion
from alcyon.runners.stream.reading import Reading
from tests.runners.told import NOW, Told
from tests.runners.working import BOOTSTRAP, CATALOG, MEANS, START, Home, models, until_idle

MATURITY_MS = 6 * HOUR_MS
SCHEDULE = Schedule(
    judge_every_ms=HOUR_MS, online_every_ms=DAY_MS, retrain_every_ms=2 * DAY_MS,
    watch_ms=DAY_MS, stand_ms=4 * DAY_MS,
)  # fmt: skip
GATE = Gate(frauds_min=10, days_min=0.5, latency_us_max=1e9)
FOREVER = StandingApproval("ada", 0, 2**60, 1.0, 1.0, 1e12)


@dataclass
class Loop:
    """A worker, a registry and a learner; time goes on by `pass_time`."""

    folder: Path
    approval: StandingApproval | None = None
    home: Home = field(init=False)
    now: int = START
    sent: int = 0

    def __post_init__(self) -> None:
        self.home = Home(self.folder / "snapshots")
        self.registry = FolderRegistry(self.folder / "models")
        champion = begun_with(self.registry, CATALOG, models() / "m1").version
        controls = [c for c in BOOTSTRAP if b'"model"' not in c]
        controls.append(encode_control(SetModel(champion)))
        self.home.append([(Topic.CONTROL, c) for c in controls])
        self.random = np.random.default_rng(3)
        self.learner = self.new_learner()
        self.told = Told()

    def new_learner(self) -> Learner:
        """As after a restart."""
        equipment = Equipment(
            CATALOG,
            Moving(self.registry, loader(self.registry, CATALOG), self.intake),
            self.folder / "learner",
            lambda: self.approval,
            Curriculum(LessonRules(MATURITY_MS, frauds_min=5), ("xgboost",)),
            SCHEDULE,
            GATE,
        )
        return Learner(equipment, Memory(CATALOG))

    @contextmanager
    def intake(self) -> Iterator[Intake]:
        yield MemoryIntake(self.home.records)

    def pass_time(
        self, days: float, per_day: int = 2_000, broken: bool = False, reported: bool = True
    ) -> None:
        """Payments, of which those of large amounts abroad are fraud, reported two hours later.

        broken: all amounts come in as one large one. reported: somebody reports frauds at all.
        """
        stop, due = self.now + round(days * DAY_MS), list[tuple[int, bytes]]()
        step = DAY_MS // per_day
        while self.now < stop:
            self.now += step
            is_fraud = bool(self.random.random() < 0.04)
            self.home.append([(Topic.TRANSACTIONS, self._payment(is_fraud, broken))])
            if is_fraud and reported:
                due.append((self.now + 2 * HOUR_MS, self._label()))
            while due and due[0][0] <= self.now:
                self.home.append([(Topic.LABELS, due.pop(0)[1])])
        means = replace(MEANS, load_model=loader(self.registry, CATALOG))
        worker, _ = self.home.start(means=means)
        for _ in until_idle(worker):
            pass
        worker.close()

    def _payment(self, is_fraud: bool, broken: bool) -> bytes:
        self.sent += 1
        least, most = (60_000, 90_000) if is_fraud else (100, 70_000)
        amount = 88_000 if broken else int(self.random.integers(least, most))
        return msgspec.json.encode(
            {
                "transaction_id": f"t{self.sent}", "event_time": self.now, "currency": "EUR",
                "amount_minor": amount,
                "card_id": f"c{self.random.integers(40)}",
                "country": "FR" if is_fraud else "DE", "merchant_id": "m",
            }
        )  # fmt: skip

    def _label(self) -> bytes:
        return msgspec.json.encode(
            {
                "label_id": f"l{self.sent}", "transaction_id": f"t{self.sent}", "is_fraud": True,
                "source": "issuer", "labelled_at": self.now + 2 * HOUR_MS,
            }
        )  # fmt: skip

    def logs(self, files: ExitStack) -> Logs:
        controls = [r.payload for r in self.home.records.records if r.topic is Topic.CONTROL]
        rates = RatesByVersion(lambda: controls)
        decoders = Decoders(
            lambda version: MEANS.transaction_decoder(rates.of(version)), MEANS.label_decoder(),
            PolicyByVersion(lambda: controls),
        )  # fmt: skip
        reading = Reading(MemoryDecisions(self.home.commits), MemorySource(self.home.records))
        return Logs(reading, decoders, lambda: len(self.home.commits.commits))

    def learn(self, learner: Learner | None = None) -> Acted:
        """Read to the end of the log and do what is due."""
        told = self.told
        telling = LearnerTelling(told.telemetry, told.log, told.readiness)
        acted = follow_once(self.logs, learner or self.learner, telling, Event())
        assert acted is not None
        return acted

    def alias(self, alias: str) -> str | None:
        return standing(winners(self.registry.moves(alias)))


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    return Loop(tmp_path)


def test_a_challenger_is_made_judged_promoted_watched_and_rolled_back(loop: Loop) -> None:
    first = loop.alias(CHAMPION)
    loop.pass_time(3)
    published = loop.learn().published
    assert published is not None
    kind, name = published
    begun = {m.name: m.registered_at for m in loop.registry.models()}
    champion_at = "learner_champion_timestamp_seconds"
    assert loop.told.value(champion_at) == begun[str(first)] / 1000
    assert loop.told.value("learner_published_models_total", kind="retrained") == 1
    assert (kind, loop.alias(CHALLENGER), loop.alias(CHAMPION)) == ("retrained", name, first)
    assert loop.learn(loop.new_learner()).published is None  # it is on its way

    loop.pass_time(1.5)
    finding = loop.learn().finding
    assert finding is not None
    assert [reason.code for reason in finding.reasons] == ["no_approval"]
    assert finding.evidence.average_precision.difference.low > 0
    assert loop.alias(CHAMPION) == first

    loop.approval = FOREVER
    loop.pass_time(0.1)
    acted = loop.learn()
    assert acted.promoted == name
    assert (loop.alias(CHAMPION), loop.alias(CHALLENGER)) == (name, first)
    move = winners(loop.registry.moves(CHAMPION))[-1]
    assert "approved by ada" in move.wanted.by
    recorded = (loop.folder / "learner" / f"{acted.at}-{name}.json").read_bytes()
    assert msgspec.json.decode(recorded, type=Finding) == acted.finding

    loop.pass_time(0.3)
    acted, tenure = loop.learn(), loop.learner.memory.tenure
    assert tenure is not None
    assert tenure.band is not None, tenure.unwatched
    assert acted.rolled_back is None
    assert decode(loop.home.decisions()[-1:])[0].versions.model == tenure.champion.decode()

    loop.pass_time(0.15, broken=True)
    acted = loop.learn(loop.new_learner())
    assert acted.rolled_back is not None
    assert loop.alias(CHAMPION) == first
    assert winners(loop.registry.moves(CHAMPION))[-1].wanted.kind is MoveKind.ROLL_BACK
    files = list((loop.folder / "learner").glob("*-roll-back.json"))
    assert [msgspec.json.decode(f.read_bytes(), type=LeftBand) for f in files] == [
        acted.rolled_back
    ]
    loop.pass_time(0.05, broken=True)
    assert loop.learn(loop.new_learner()).rolled_back is None
    assert decode(loop.home.decisions()[-1:])[0].versions.model == first


def test_an_approval_that_has_expired_promotes_nothing(loop: Loop) -> None:
    loop.pass_time(3)
    assert loop.learn().published is not None
    loop.pass_time(1.5)
    loop.approval = msgspec.structs.replace(FOREVER, expires_at=loop.now - DAY_MS)
    finding = loop.learn().finding
    assert finding is not None
    assert [reason.code for reason in finding.reasons] == ["approval_not_in_force"]


def test_a_registry_that_is_away_changes_nothing_and_what_was_due_is_due_again(
    loop: Loop,
) -> None:
    loop.pass_time(3)
    there, models, elsewhere = (
        len(loop.home.records.records), loop.folder / "models", loop.folder / "elsewhere",
    )  # fmt: skip
    models.rename(elsewhere)
    models.write_text("no folder")
    with pytest.raises(UnreachableError, match="models"):
        loop.learn()
    models.unlink()
    elsewhere.rename(models)
    assert len(loop.home.records.records) == there
    assert loop.learn().published is not None


def test_where_too_little_is_known_nothing_is_published_and_it_is_said_why(loop: Loop) -> None:
    loop.pass_time(0.2)
    acted = loop.learn()
    assert (acted.published, acted.unpublished, acted.finding) == (None, None, None)  # not due
    loop.pass_time(2.9, per_day=400, reported=False)
    acted = loop.learn()
    assert acted.published is None
    assert "known frauds" in str(acted.unpublished)
    assert loop.alias(CHALLENGER) is None


def test_drift_of_the_last_day_is_told_once_the_log_holds_a_week_before_it(loop: Loop) -> None:
    loop.pass_time(3, per_day=400)
    assert loop.learn().drift is None
    loop.pass_time(7, per_day=400)
    quiet = loop.learn().drift
    assert quiet is not None
    loop.pass_time(1.2, per_day=400, broken=True)
    acted = loop.learn(loop.new_learner())
    assert acted.drift is not None
    assert "amount_base_minor" in {found.signal for found in acted.drift.window.findings}
    recorded = (loop.folder / "learner" / "drift.json").read_bytes()
    assert msgspec.json.decode(recorded, type=LiveDrift) == acted.drift
    told = json.loads(recorded)["window"]["comparisons"]
    assert len(told) > len(CATALOG.model_names)
    for found in told:
        psi = found["psi"] - found["psi_usual"]
        if found["signal"] == "log_odds":
            assert loop.told.value("learner_score_drift_psi") == psi
        else:
            of = found["signal"]
            assert loop.told.value("learner_feature_drift_psi", feature=of) == psi
    assert loop.told.value("learner_drift_alarms_total") == 1 + bool(quiet.window.findings)


def test_updates_online_are_counted_apart_from_those_retrained() -> None:
    told = Told()
    telling = LearnerTelling(told.telemetry, told.log, told.readiness)
    for outcome in ("accepted", "refused"):
        assert told.value("learner_online_updates_total", outcome=outcome) == 0
    telling.acted(Acted(published=("online", "m7")), NOW)
    telling.acted(Acted(published=("retrained", "m8")), NOW)
    for kind in ("online", "retrained", "online"):
        telling.acted(Acted(unpublished="too little is known", refused=kind), NOW)
    assert told.value("learner_online_updates_total", outcome="accepted") == 1
    assert told.value("learner_online_updates_total", outcome="refused") == 2
