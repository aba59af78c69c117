"""The learner: reads what was decided and what became known, and publishes challengers.

Nothing learns inside the worker, and the learner decides nothing: all that it wants is a move of an
alias in the registry and a control record in the intake. It acts at the end of the log only, so
that what lies behind a restart is not done again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from alcyon.domain.control import CHALLENGER, CHAMPION
from alcyon.domain.errors import InputError
from alcyon.domain.moves import standing, winners
from alcyon.domain.registered import Registered
from alcyon.features.catalog import Catalog
from alcyon.io.files.failures import writing
from alcyon.learning.band import Band, Departure
from alcyon.learning.dataset import DAY_MS
from alcyon.learning.evidence import Asked, gather
from alcyon.learning.history import Known
from alcyon.learning.live_drift import LiveDrift, live_drift
from alcyon.learning.promotion import Finding, Gate, StandingApproval, find
from alcyon.learning.tenure import Tenure
from alcyon.runners.learning.learnt import LEARNER
from alcyon.runners.learning.models import Moving, promote, roll_back
from alcyon.runners.learning.remembering import Memory
from alcyon.runners.learning.teaching import (
    ONLINE,
    RETRAINED,
    Curriculum,
    checked,
    record,
    retrain,
    teach_online,
)
from alcyon.scoring.conduct import NO_MODEL
from alcyon.scoring.manifest import MODEL_FILE

DRIFT = "drift"
"""The file that tells of the last day beside the champion's reference."""
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Schedule:
    """How often what is done, in event time."""

    judge_every_ms: int = 6 * HOUR_MS
    """A challenger is judged, and what could not be done is tried again."""
    drift_every_ms: int = 6 * HOUR_MS
    online_every_ms: int = DAY_MS
    retrain_every_ms: int = 7 * DAY_MS
    watch_ms: int = 2 * DAY_MS
    """So long the replaced model is scored beside a new champion."""
    stand_ms: int = 21 * DAY_MS
    """A challenger that has not been promoted by then gives way to a new one; one that was found
    wanting, at once."""


class LeftBand(msgspec.Struct, frozen=True):
    """Why a champion was rolled back, to be recorded."""

    departure: Departure
    band: Band


@dataclass(frozen=True)
class _Made:
    """A model that is to be published; it is kept while registry or intake are away."""

    kind: str
    why: str
    folder: TemporaryDirectory[str]

    @property
    def model(self) -> Path:
        return Path(self.folder.name) / "model"


@dataclass
class Acted:
    """What was done at one time."""

    at: int = 0
    finding: Finding | None = None
    waits: str | None = None
    """Why a challenger cannot be judged yet."""
    published: tuple[str, str] | None = None
    """RETRAINED or ONLINE, and the name."""
    unpublished: str | None = None
    """Why no challenger could be made."""
    refused: str | None = None
    """RETRAINED or ONLINE: what could not be made."""
    promoted: str | None = None
    rolled_back: LeftBand | None = None
    drift: LiveDrift | None = None


@dataclass(frozen=True)
class Equipment:
    """What a learner needs. folder: for what it records; approval: the one that stands, asked anew
    each time (InputError: it cannot be read)."""

    catalog: Catalog
    moving: Moving
    folder: Path
    approval: Callable[[], StandingApproval | None]
    curriculum: Curriculum = field(default_factory=Curriculum)
    schedule: Schedule = field(default_factory=Schedule)
    gate: Gate = field(default_factory=Gate)


class Learner:
    """Acts on what a memory holds. Not for several threads."""

    def __init__(self, equipment: Equipment, memory: Memory) -> None:
        self._equipment, self.memory = equipment, memory
        self._judged_at = self._tried_at = self._compared_at = 0
        self._rolled_back: set[bytes] = set()
        self._rejected: str | None = None
        self._made: _Made | None = None
        self._champion: tuple[str, Registered | None] | None = None

    def act(self) -> Acted:
        """Do what is due. What a call could not do is due again.

        UnreachableError, LogError: registry or intake are away. ConflictError: somebody else moves
        the alias. ModelError: a file is damaged.
        """
        # 1 a champion that left its band goes  2 drift is told  3 a challenger is judged
        # 4 a new one is made
        acted = Acted(self.memory.history.front)
        if self.memory.tenure is None or self._roll_back(acted):
            return acted
        self._compare(self.memory.tenure, acted)
        known: list[Known] = []  # made once, and only where it is needed

        def ask() -> Known:
            known[:] = known or [self.memory.history.known(acted.at)]
            return known[0]

        if self._candidate is not None and self._is_due(self._judged_at, acted.at):
            self._judge(ask(), self._candidate, acted)
            self._judged_at = acted.at
        if acted.promoted is None and self._is_free(acted.at):
            self._teach(ask, acted)
        return acted

    def champion(self) -> Registered | None:
        """What decides, as the registry has it; None: nothing does, or it has not.

        UnreachableError: the registry is away; it is asked for each champion once.
        """
        if self.memory.tenure is None:
            return None
        version = self.memory.tenure.champion.decode()
        if self._champion is None or self._champion[0] != version:
            self._champion = version, self._registered(version)
        return self._champion[1]

    @property
    def _candidate(self) -> str | None:
        """The version that challenges; a former champion is only watched beside."""
        tenure, challenger = self.memory.tenure, self.memory.challenger
        if tenure is None or challenger in (NO_MODEL, tenure.champion.decode()):
            return None
        return None if challenger.encode() in tenure.former else challenger

    def _is_due(self, done_at: int, now: int) -> bool:
        return now - done_at >= self._equipment.schedule.judge_every_ms

    def _is_free(self, now: int) -> bool:
        """Whether a new challenger may be published."""
        tenure, schedule = self.memory.tenure, self._equipment.schedule
        if (candidate := self._candidate) is not None:
            stood = now - self.memory.challenger_since >= schedule.stand_ms
            return stood or candidate == self._rejected
        if tenure is None or self._is_pending():
            return False
        return tenure.watch is None or now - tenure.since >= schedule.watch_ms

    def _is_pending(self) -> bool:
        """Whether a challenger was named that the log does not know of yet."""
        name, memory = self._standing(CHALLENGER), self.memory
        if name is None or name == memory.challenger_asked:
            return False
        return self._name_of(memory.challenger) != name

    def _roll_back(self, acted: Acted) -> bool:
        tenure = self.memory.tenure
        if tenure is None or tenure.departure is None or tenure.champion in self._rolled_back:
            return False
        moving, folder = self._equipment.moving, self._equipment.folder
        if self._name_of(tenure.champion.decode()) != self._standing(CHAMPION):
            return False  # it was moved already
        assert tenure.band is not None
        left = LeftBand(tenure.departure, tenure.band)
        file = _recorded(folder, f"{acted.at}-roll-back", left)
        why = f"{left.departure.kind} left the band of the evaluation; see {file.name}"
        roll_back(moving, LEARNER, why)
        self._rolled_back.add(tenure.champion)
        acted.rolled_back = left
        return True

    def _compare(self, tenure: Tenure, acted: Acted) -> None:
        schedule, history = self._equipment.schedule, self.memory.history
        if acted.at - self._compared_at < schedule.drift_every_ms:
            return
        self._compared_at = acted.at
        names = self._equipment.catalog.model_names
        try:
            found = live_drift(history.recorded(), names, tenure.champion, tenure.since)
        except InputError:  # too young: a log has no days before its first
            return
        _recorded(self._equipment.folder, DRIFT, found)
        acted.drift = found

    def _judge(self, known: Known, challenger: str, acted: Acted) -> None:
        memory, equipment, tenure = self.memory, self._equipment, self.memory.tenure
        name = self._name_of(challenger)
        assert tenure is not None
        assert name is not None
        maturity = equipment.curriculum.rules.maturity_ms
        asked = Asked(tenure.champion.decode(), challenger, memory.policy, maturity)
        try:
            evidence = gather(known, asked)
        except InputError as error:
            acted.waits = str(error)
            return
        checks = checked(equipment.moving.load(name))
        approval = equipment.approval()
        finding = acted.finding = find(evidence, checks, approval, acted.at, equipment.gate)
        file = _recorded(equipment.folder, f"{acted.at}-{name}", finding)
        if finding.is_rejected:
            self._rejected = challenger
        before = self._standing(CHAMPION)
        if finding.promote and approval is not None and before != name:
            why = f"better on {evidence.frauds} known frauds; see {file.name}"
            by = f"{LEARNER}, approved by {approval.by}"
            promote(equipment.moving, name, CHAMPION, by, why)
            acted.promoted = name
            if before is not None:
                promote(equipment.moving, before, CHALLENGER, LEARNER, "to watch its successor by")

    def _teach(self, ask: Callable[[], Known], acted: Acted) -> None:
        if self._made is None:
            self._made = self._make(ask, acted)
        if self._made is not None:
            made, moving = self._made, self._equipment.moving
            name = moving.registry.register(made.model).name
            promote(moving, name, CHALLENGER, LEARNER, f"{made.kind}: {made.why}")
            acted.published, self._made = (made.kind, name), None
            made.folder.cleanup()

    def _make(self, ask: Callable[[], Known], acted: Acted) -> _Made | None:
        """A new model, where one is due and can be had."""
        schedule, now = self._equipment.schedule, acted.at
        since = now - max(self.memory.challenger_since, self.memory.history.begin)
        if not self._is_due(self._tried_at, now) or since < schedule.online_every_ms:
            return None
        self._tried_at = now
        folder: TemporaryDirectory[str] = TemporaryDirectory(prefix="alcyon-learn-")
        kind = RETRAINED if since >= schedule.retrain_every_ms else ONLINE
        make = self._retrained if kind == RETRAINED else self._taught
        try:
            why = make(ask(), Path(folder.name) / "model")
        except InputError as error:
            acted.unpublished, acted.refused = str(error), kind
            return None
        return _Made(kind, why, folder)

    def _retrained(self, known: Known, draft: Path) -> str:
        equipment = self._equipment
        return retrain(known, equipment.catalog, self.memory.policy, equipment.curriculum, draft)

    def _taught(self, known: Known, draft: Path) -> str:
        tenure, equipment = self.memory.tenure, self._equipment
        assert tenure is not None
        name = self._name_of(tenure.champion.decode())
        assert name is not None
        champion = equipment.moving.registry.fetch(name)
        return teach_online(known, tenure.since, champion, equipment.curriculum, draft)

    def _standing(self, alias: str) -> str | None:
        return standing(winners(self._equipment.moving.registry.moves(alias)))

    def _name_of(self, version: str) -> str | None:
        """The registered name of a version, None of no model. InputError: it is not registered."""
        if version == NO_MODEL:
            return None
        model = self._registered(version)
        if model is None:
            raise InputError(
                f"model {version} takes part in decisions and is not registered: "
                "alcyon models register"
            )
        return model.name

    def _registered(self, version: str) -> Registered | None:
        models = self._equipment.moving.registry.models()
        return next((m for m in models if m.files.get(MODEL_FILE, "").startswith(version)), None)


def _recorded(folder: Path, name: str, found: msgspec.Struct) -> Path:
    with writing(folder):
        return record(folder, name, found)
