"""`alcyon learn`"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final

from alcyon.cli.opening.learn_logs import intake_of, opener
from alcyon.cli.opening.process import Process, ToldError, served, stopped_by_signals, tell_failed
from alcyon.cli.showing.learn_shown import show_learnt
from alcyon.cli.showing.options import Detectors, Flag, Json, settings
from alcyon.detectors.loading import Detector, load_detector
from alcyon.runners.process.status import Phase

if TYPE_CHECKING:
    from alcyon.domain.columns import Batch
    from alcyon.learning.promotion import StandingApproval
    from alcyon.learning.trust import Trust
    from alcyon.runners.learning.following import Open
    from alcyon.runners.learning.learner import Learner, Schedule
    from alcyon.runners.learning.learner_telling import LearnerTelling
    from alcyon.runners.learning.teaching import Curriculum
    from alcyon.sections import LearnSettings
    from alcyon.settings import Settings

PORT_OFFSET = 2
"""Behind those of the worker and the projections."""
_DAY_MS = 86_400_000
_LOOP: Final = "learner"


def learn(
    *,
    once: Flag = False,
    labels: Path | None = None,
    catalog: Detectors = "card",
    as_json: Json = False,
) -> int:
    """Learn from late labels: publish, judge, promote and roll back challengers.

    Reads what was decided and what became known, from the oldest record kept on, and goes on until
    stopped: of the broker where kafka.bootstrap is set, else of the demo, else of alcyon serve.
    It publishes challengers, over the logs of alcyon serve through that process (learn.key, of the
    role learner); one becomes the champion by itself only under a standing approval
    (learn.approval). A
    champion that behaves otherwise than its evaluation predicted is rolled back. /metrics,
    /healthz and /readyz are on status.port + 2.

    An example:
        alcyon learn --once
        alcyon learn --labels chargebacks.parquet

    Parameters
    ----------
    once
        Go to the end of the log, do what is due, report and end.
    labels
        Labels from a file, beside those of the log.
    as_json
        Print the report as JSON; with --once.
    """
    set_to, detector = settings(), load_detector(catalog)
    open_logs = opener(set_to, detector)
    process, asked = Process(set_to, (_LOOP,), Event(), _LOOP), _Asked(once, labels, as_json)
    with stopped_by_signals(process):
        return served(process, PORT_OFFSET, lambda: _learn(process, detector, open_logs, asked))


@dataclass(frozen=True)
class _Asked:
    once: bool
    labels: Path | None
    as_json: bool


def _learn(process: Process, detector: Detector, open_logs: Open, asked: _Asked) -> None:
    from alcyon.domain.errors import AlcyonError
    from alcyon.learning.drift import AMOUNT
    from alcyon.runners.learning.following import StoppedError, follow, follow_once
    from alcyon.runners.learning.learner_telling import LearnerTelling

    signals = (*detector.catalog.model_names, AMOUNT)
    process.telemetry.learner.feature_drift.know(signals)
    telling = LearnerTelling(process.telemetry, process.log, process.readiness)
    labels = None if asked.labels is None else _from_file(asked.labels, process.set_to)
    learner = _learner(process, detector, telling, 0 if labels is None else len(labels))
    if labels is not None:
        learner.memory.history.tell(labels)
    process.readiness.waits_since(None)
    process.readiness.become(Phase.RUNNING)
    try:
        if not asked.once:
            follow(open_logs, learner, telling, process.stop)
        elif acted := follow_once(open_logs, learner, telling, process.stop):
            show_learnt(learner.memory, acted, asked.as_json)
    except StoppedError:
        pass
    except AlcyonError as error:
        tell_failed(process, error)
        raise ToldError from error
    process.log.info("learner stopped")


def _learner(
    process: Process, detector: Detector, telling: LearnerTelling, of_a_file: int
) -> Learner:
    """of_a_file: labels that are there before any decision is read, so that all of them wait."""
    from alcyon.cli.opening.models_place import Place
    from alcyon.learning.history import Bounds
    from alcyon.learning.trust import Trust
    from alcyon.runners.learning.learner import Equipment, Learner
    from alcyon.runners.learning.models import Moving, loader
    from alcyon.runners.learning.remembering import Memory

    set_to, given = process.set_to, process.set_to.learn
    place = Place.of(set_to)
    trust = Trust(given.author_labels_per_day_max, given.author_share_max)
    moving = Moving(
        place.registry, loader(place.registry, detector.catalog), intake_of(set_to, place)
    )
    equipment = Equipment(
        detector.catalog,
        moving,
        set_to.home / "learner",
        lambda: _approval(given.approval),
        _curriculum(process, trust, telling),
        _schedule(given),
    )
    labels_max = given.decisions_max + of_a_file
    bounds = Bounds(given.decisions_max, labels_max, Bounds.waiting_max + of_a_file)
    return Learner(equipment, Memory(detector.catalog, trust, bounds))


def _curriculum(process: Process, trust: Trust, telling: LearnerTelling) -> Curriculum:
    from alcyon.learning.lessons import LessonRules
    from alcyon.learning.member import FitSettings
    from alcyon.runners.learning.following import StoppedError
    from alcyon.runners.learning.teaching import Curriculum

    def heard(name: str, done: int, total: int) -> None:
        telling.beat()
        if process.stop.is_set():
            raise StoppedError

    maturity_ms = round(process.set_to.learn.maturity_days * _DAY_MS)
    return Curriculum(LessonRules(maturity_ms, trust=trust), fit=FitSettings(progress=heard))


def _schedule(given: LearnSettings) -> Schedule:
    from alcyon.runners.learning.learner import HOUR_MS, Schedule

    return Schedule(
        judge_every_ms=round(given.judge_every_hours * HOUR_MS),
        online_every_ms=round(given.online_every_days * _DAY_MS),
        retrain_every_ms=round(given.retrain_every_days * _DAY_MS),
        watch_ms=round(given.watch_days * _DAY_MS),
        stand_ms=round(given.stand_days * _DAY_MS),
    )


def _approval(file: Path | None) -> StandingApproval | None:
    """What stands now: the file may have been put there, changed or removed meanwhile."""
    import msgspec

    from alcyon.domain.errors import InputError
    from alcyon.learning.promotion import StandingApproval

    if file is None or not file.is_file():
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=StandingApproval)
    except (msgspec.DecodeError, OSError) as error:
        raise InputError(
            f"{file} is no standing approval: {error}; see docs/learning.md"
        ) from error


def _from_file(path: Path, set_to: Settings) -> Batch:
    from alcyon.domain.admission import admit_labels
    from alcyon.domain.label import LABEL_COLUMNS
    from alcyon.io.files import read_all, read_labels

    parts = [admit_labels(raw, set_to.token.keys()) for raw in read_labels(path)]
    return read_all([part.batch for part in parts], LABEL_COLUMNS)
