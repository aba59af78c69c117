"""Telling: what the runners say they did, as metrics, log lines and readiness.

Put on from outside: a runner hands over facts and knows nothing of this. Times come in as `now_ms`
(UTC ms); methods of one object are called from one thread at a time. An outage is one line where
it begins and one where it ends; what may come in floods is one line a second, with counts.
"""

from __future__ import annotations

import traceback
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np

from alcyon.domain.decision import Action, Versions
from alcyon.domain.errors import (
    AccessError,
    AlcyonError,
    CatalogError,
    ConflictError,
    FencedError,
    InputError,
    LogError,
    ModelError,
    SettingsError,
    SlowError,
    SnapshotError,
    StateError,
    UnreachableError,
)
from alcyon.domain.projected import StoreError
from alcyon.domain.record import Topic
from alcyon.features.compiled.memory import BLOCK_WORDS
from alcyon.io.snapshot_writing import Written
from alcyon.runners.deciding import CONTROL_REFUSED, INVALID_CONTROL
from alcyon.runners.pacing import Gathered, Outage
from alcyon.runners.recovery import Recovered
from alcyon.runners.status import Phase, Readiness
from alcyon.runners.worker import Stepped
from alcyon.telemetry import (
    APPLIED,
    FAILED,
    OTHER,
    REFUSED,
    WRITTEN,
    Log,
    Telemetry,
)

_BLOCK_BYTES = BLOCK_WORDS * 8
_REFUSED_CONTROLS = (INVALID_CONTROL, CONTROL_REFUSED)
_KINDS: tuple[tuple[type[AlcyonError], str], ...] = (
    (FencedError, "fenced"),
    (UnreachableError, "unreachable"),
    (LogError, "log"),
    (StateError, "state"),
    (SnapshotError, "snapshot"),
    (ModelError, "model"),
    (ConflictError, "conflict"),
    (SettingsError, "settings"),
    (CatalogError, "catalog"),
    (InputError, "input"),
    (StoreError, "store"),
    (AccessError, "access"),
    (SlowError, "slow"),
)
"""The more special before the more general."""


class Telling:
    """Tells of a worker, from its start to its end.

    Order: `starting`, `recovering`, `recovered`, `stepped` after each step, `stopping`, `stopped`;
    `failed` at any time, last but for `stopped`.
    """

    def __init__(self, telemetry: Telemetry, log: Log, readiness: Readiness) -> None:
        self._telemetry, self._log, self._readiness = telemetry, log, readiness
        self._versions: Versions | None = None
        self._model_missing: str | None = None
        self._is_out_of_reach = False
        self._letters, self._controls = Gathered(), Gathered()
        self._broker = Outage(
            telemetry.broker_outages.inc,
            telemetry.broker_away.set,
            lambda why, now_ms: log.error("broker away", why=why, now_ms=now_ms),
            lambda away_s, now_ms: log.info("broker back", away_s=away_s, now_ms=now_ms),
        )
        self._registry = Outage(
            lambda: telemetry.failures.add("unreachable"),
            lambda _: None,
            lambda why, now_ms: log.error("registry away", why=why, now_ms=now_ms),
            lambda away_s, now_ms: log.info("registry back", away_s=away_s, now_ms=now_ms),
        )

    def starting(self, engine: str, now_ms: int) -> None:
        """The process is up; settings are read."""
        self._log.info("worker starting", engine=engine, now_ms=now_ms)

    def recovering(self, now_ms: int) -> None:
        """The state is being made; this may take a while. Each retry of an outage begins so."""
        self._readiness.become(Phase.RECOVERING)
        if not self._broker.is_open:
            self._log.info("recovering", now_ms=now_ms)

    def recovered(self, recovered: Recovered, seconds: float, now_ms: int) -> None:
        """The worker decides from now on. seconds: what that took."""
        telemetry, place = self._telemetry, recovered.place
        telemetry.recoveries.inc()
        telemetry.replayed.inc(recovered.replayed)
        telemetry.refused_snapshots.inc(len(recovered.refused))
        telemetry.next_sequence.set(place.next_sequence)
        for name, why in recovered.refused:
            self._log.error("snapshot refused", snapshot=name, why=why, now_ms=now_ms)
        self._log.info(
            "worker started", epoch=recovered.epoch, snapshot=recovered.snapshot,
            replayed=recovered.replayed, next_sequence=place.next_sequence,
            position=place.position, seconds=round(seconds, 3), now_ms=now_ms,
        )  # fmt: skip
        self._tell_model(recovered.model_missing, now_ms)
        if recovered.challenger_missing is not None:
            self._log.warning("challenger missing", why=recovered.challenger_missing, now_ms=now_ms)
        self._readiness.become(Phase.RUNNING)

    def stepped(
        self,
        stepped: Stepped,
        now_ms: int,
        waiting: int | None = None,
        state_bytes: int | None = None,
    ) -> None:
        """A step has ended, just now.

        waiting: records in the intake behind it, where the source can say. state_bytes: memory
        taken by the state. None: not known this time.
        """
        self._readiness.beat()
        self._count(stepped)
        self._time(stepped, now_ms)
        if waiting is not None:
            self._telemetry.lag_records.set(waiting)
        self._readiness.waits_since(_waits_since(stepped, waiting))
        if state_bytes is not None:
            self._telemetry.state_bytes.set(state_bytes)
        self._tell_versions(stepped.versions, now_ms)
        self._tell_model(stepped.model_missing, now_ms)
        if stepped.snapshot is not None:
            self.snapshot(stepped.snapshot, now_ms)
        self._tell_gathered(now_ms)

    def snapshot(self, written: Written, now_ms: int) -> None:
        """A snapshot has ended; those that end in a step are told with it."""
        telemetry, seconds = self._telemetry, round(written.seconds, 3)
        if written.error is not None:
            telemetry.snapshots.add(FAILED)
            self._log.error(
                "snapshot failed", snapshot=written.name, why=written.error, seconds=seconds,
                now_ms=now_ms,
            )  # fmt: skip
            return
        size = written.blocks * _BLOCK_BYTES
        telemetry.snapshots.add(WRITTEN)
        telemetry.snapshot_seconds.set(written.seconds)
        telemetry.snapshot_bytes.set(size)
        telemetry.snapshot_at.set(now_ms / 1000)
        self._log.info(
            "snapshot written", snapshot=written.name, bytes=size, seconds=seconds,
            next_sequence=written.next_sequence, now_ms=now_ms,
        )  # fmt: skip

    def kept(self, older_snapshot: int | None, first_kept: int, now_ms: int) -> None:
        """Where the older of the snapshots stands, and the first position that the intake keeps.

        Once the log has dropped what follows that snapshot, only the newest one is of use: not
        ready. None: there is only one yet.
        """
        is_out = older_snapshot is not None and older_snapshot < first_kept
        if is_out is self._is_out_of_reach:
            return
        self._is_out_of_reach = is_out
        why = (
            f"it stands at {older_snapshot}, the intake begins at {first_kept}; write snapshots "
            "more often, or keep records longer"
        )
        self._readiness.refuse("older_snapshot_out_of_reach", why if is_out else None)
        if is_out:
            self._log.error("older snapshot out of reach", why=why, now_ms=now_ms)
        else:
            self._log.info("older snapshot within reach again", now_ms=now_ms)

    def broker_away(self, why: str, now_ms: int) -> None:
        """The broker cannot be reached; may be told again and again."""
        self._readiness.refuse("broker_away", "the broker cannot be reached; see the log")
        self._readiness.beat()
        self._broker.goes_on(why, now_ms)

    def broker_back(self, now_ms: int) -> None:
        """The broker answers; may be told again and again."""
        self._readiness.refuse("broker_away", None)
        self._broker.is_over(now_ms)

    def registry_away(self, why: str, now_ms: int) -> None:
        """A schema cannot be had, and what was written with it waits; told again and again."""
        self._readiness.refuse("registry_away", "a record's schema cannot be had; see the log")
        self._readiness.become(Phase.RECOVERING)
        self._readiness.beat()
        self._registry.goes_on(why, now_ms)

    def registry_back(self, now_ms: int) -> None:
        """The registry answers; may be told again and again."""
        self._readiness.refuse("registry_away", None)
        self._registry.is_over(now_ms)

    def failed(self, error: BaseException, now_ms: int) -> None:
        """The worker ended with this error; nothing is decided any more."""
        self._readiness.become(Phase.FAILED)
        self._tell_gathered(now_ms, is_last=True)
        failure(self._telemetry, self._log, error, now_ms)

    def stopping(self, why: str, now_ms: int) -> None:
        """Asked to stop: the step that runs is the last."""
        self._readiness.become(Phase.STOPPING)
        self._log.info("worker stopping", why=why, now_ms=now_ms)

    def stopped(self, now_ms: int, next_sequence: int) -> None:
        """Everything is closed."""
        self._tell_gathered(now_ms, is_last=True)
        self._log.info("worker stopped", next_sequence=next_sequence, now_ms=now_ms)

    def _count(self, stepped: Stepped) -> None:
        telemetry = self._telemetry
        for part, seconds in stepped.seconds.items():
            telemetry.step_seconds.add(part, seconds)
        if not stepped.records:
            return
        telemetry.batches.inc()
        telemetry.batch_records.observe(np.array([stepped.records], np.float64))
        for topic, count in _by_topic(stepped).items():
            telemetry.records.add(topic.name.lower(), count)
        for action, count in stepped.actions.items():
            telemetry.decisions.add(action, count)
        telemetry.alerts.inc(stepped.decisions - stepped.actions.get(Action.APPROVE.value, 0))
        telemetry.duplicates.inc(stepped.duplicates)
        telemetry.labels.inc(stepped.labels)
        telemetry.controls.add(APPLIED, stepped.controls)
        if stepped.controls:
            self._controls.add(APPLIED, stepped.controls)
        for reason, count in Counter(each.reason for each in stepped.dead_letters).items():
            telemetry.dead_letters.add(reason, count)
            if reason in _REFUSED_CONTROLS:
                telemetry.controls.add(REFUSED, count)
        for letter in stepped.dead_letters:
            gathered = self._controls if letter.reason in _REFUSED_CONTROLS else self._letters
            gathered.add(letter.reason, 1, letter.sequence)

    def _time(self, stepped: Stepped, now_ms: int) -> None:
        telemetry = self._telemetry
        telemetry.next_sequence.set(stepped.next_sequence)
        if stepped.front is not None:
            telemetry.front.set(stepped.front / 1000)
        if len(stepped.times):
            # A broker's clock may be ahead.
            committed_ms = now_ms - 1000 * stepped.committed_ago_s
            ages_ms = np.maximum(np.rint(committed_ms - stepped.times), 0.0)
            telemetry.latency.observe(ages_ms / 1000)

    def _tell_versions(self, versions: Versions, now_ms: int) -> None:
        if versions == self._versions:
            return
        self._versions = versions
        named = msgspec.structs.asdict(versions)
        self._telemetry.versions(named)
        self._log.info("in force", **named, now_ms=now_ms)

    def _tell_model(self, missing: str | None, now_ms: int) -> None:
        """missing: the model that should decide, or why it cannot."""
        if (missing is None) is (self._model_missing is None):
            return
        self._model_missing = missing
        self._telemetry.model_missing.set(missing is not None)
        what = "rules and the fallback action decide; see the log"
        self._readiness.note("model_missing", what if missing is not None else None)
        if missing is not None:
            self._log.error("model missing", why=missing, now_ms=now_ms)
        else:
            self._log.info("model decides again", now_ms=now_ms)

    def _tell_gathered(self, now_ms: int, is_last: bool = False) -> None:
        if self._letters.is_due(now_ms, is_last):
            self._log.warning("dead letters", **self._letters.taken(now_ms), now_ms=now_ms)
        if self._controls.is_due(now_ms, is_last):
            has_refused = self._controls.has_other_than(APPLIED)
            say = self._log.warning if has_refused else self._log.info
            event = "controls, some refused" if has_refused else "controls applied"
            say(event, **self._controls.taken(now_ms), now_ms=now_ms)


def failure(telemetry: Telemetry, log: Log, error: BaseException, now_ms: int) -> None:
    """An error that ended a part of the process: counted by kind, told in one line."""
    kind = next((name for of, name in _KINDS if isinstance(error, of)), OTHER)
    telemetry.failures.add(kind)
    event = "fenced by a later worker" if kind == "fenced" else "failed"
    log.error(event, kind=kind, error=reason_of(error), where=_where(error), now_ms=now_ms)


def reason_of(error: BaseException) -> str:
    """The words of an error that is raised on purpose; the type alone of any other.

    What others put into their messages may be a payload.
    """
    return str(error) if isinstance(error, AlcyonError) else type(error).__name__


def _where(error: BaseException) -> str | None:
    """File, line and function an unexpected error was raised in."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, AlcyonError) or not frames:
        return None
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name}"


def _by_topic(stepped: Stepped) -> dict[Topic, int]:
    dead = Counter(letter.topic for letter in stepped.dead_letters)
    labels = stepped.labels + dead[Topic.LABELS.name]
    controls = stepped.controls + dead[Topic.CONTROL.name]
    return {
        Topic.TRANSACTIONS: stepped.records - labels - controls,
        Topic.LABELS: labels,
        Topic.CONTROL: controls,
    }


def _waits_since(stepped: Stepped, waiting: int | None) -> int | None:
    """No record that waits behind a batch is older than the newest of it; none is known to wait
    where nothing was read, or where the source says so."""
    if waiting == 0 or not len(stepped.times):
        return None
    return int(stepped.times.max())
