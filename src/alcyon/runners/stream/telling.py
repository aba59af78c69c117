"""Telling: what the runners say they did, as metrics, log lines and readiness.

Put on from outside: a runner hands over facts and knows nothing of this. Times come in as `now_ms`
(UTC ms); methods of one object are called from one thread at a time. An outage is one line where
it begins and one where it ends; what may come in floods is one line a second, with counts.
"""

from __future__ import annotations

import msgspec

from alcyon.domain.decision import Versions
from alcyon.features.compiled.memory import BLOCK_WORDS
from alcyon.io.snapshot_writing import Written
from alcyon.runners.process.failing import failure
from alcyon.runners.process.pacing import Gathered, Outage
from alcyon.runners.process.status import Phase, Readiness
from alcyon.runners.stream.counting import REFUSED_CONTROLS, Counting
from alcyon.runners.stream.recovery import Recovered
from alcyon.runners.stream.worker import Stepped
from alcyon.telemetry.lines import Log
from alcyon.telemetry.metrics import Telemetry
from alcyon.telemetry.words import APPLIED, FAILED, WRITTEN

_BLOCK_BYTES = BLOCK_WORDS * 8


class Telling:
    """Tells of a worker, from its start to its end.

    Order: `starting`, `recovering`, `recovered`, `stepped` after each step, `stopping`, `stopped`;
    `failed` at any time, last but for `stopped`.
    """

    def __init__(self, telemetry: Telemetry, log: Log, readiness: Readiness) -> None:
        self._telemetry, self._log, self._readiness = telemetry, log, readiness
        self._counting = Counting(telemetry.worker)
        self._versions: Versions | None = None
        self._model_missing: str | None = None
        self._is_out_of_reach = False
        self._letters, self._controls = Gathered(), Gathered()
        self._broker = Outage(
            telemetry.process.broker_outages.inc,
            telemetry.process.broker_away.set,
            lambda why, now_ms: log.error("broker away", why=why, now_ms=now_ms),
            lambda away_s, now_ms: log.info("broker back", away_s=away_s, now_ms=now_ms),
        )
        self._registry = Outage(
            lambda: telemetry.process.failures.add("unreachable"),
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
        metrics, place = self._telemetry.worker, recovered.place
        metrics.recoveries.inc()
        metrics.recovery_seconds.set(seconds)
        metrics.replayed.inc(recovered.replayed)
        metrics.refused_snapshots.inc(len(recovered.refused))
        metrics.next_sequence.set(place.next_sequence)
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
        self._counting.count(stepped, now_ms)
        self._gather(stepped)
        if waiting is not None:
            self._telemetry.worker.lag_records.set(waiting)
        self._readiness.waits_since(_waits_since(stepped, waiting))
        if state_bytes is not None:
            self._telemetry.worker.state_bytes.set(state_bytes)
        self._tell_versions(stepped.versions, now_ms)
        self._tell_model(stepped.model_missing, now_ms)
        if stepped.snapshot is not None:
            self.snapshot(stepped.snapshot, now_ms)
        self._tell_gathered(now_ms)

    def snapshot(self, written: Written, now_ms: int) -> None:
        """A snapshot has ended; those that end in a step are told with it."""
        metrics, seconds = self._telemetry.worker, round(written.seconds, 3)
        if written.error is not None:
            metrics.snapshots.add(FAILED)
            self._log.error(
                "snapshot failed", snapshot=written.name, why=written.error, seconds=seconds,
                now_ms=now_ms,
            )  # fmt: skip
            return
        size = written.blocks * _BLOCK_BYTES
        metrics.snapshots.add(WRITTEN)
        metrics.snapshot_seconds.set(written.seconds)
        metrics.snapshot_pause.set(written.paused_s)
        metrics.snapshot_bytes.set(size)
        metrics.snapshot_at.set(now_ms / 1000)
        self._log.info(
            "snapshot written", snapshot=written.name, bytes=size, seconds=seconds,
            next_sequence=written.next_sequence, now_ms=now_ms,
        )  # fmt: skip

    def kept(self, older_snapshot: int, is_kept: bool, now_ms: int) -> None:
        """At which position the older of the snapshots stands, and whether all records behind it
        are still there.

        Once the log has dropped some of them, only the newest one is of use: not ready.
        """
        is_out = not is_kept
        if is_out is self._is_out_of_reach:
            return
        self._is_out_of_reach = is_out
        why = (
            f"it stands at {older_snapshot}, and records behind that have left the log; write "
            "snapshots more often, or keep records longer"
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

    def _gather(self, stepped: Stepped) -> None:
        if stepped.controls:
            self._controls.add(APPLIED, stepped.controls)
        for letter in stepped.dead_letters:
            gathered = self._controls if letter.reason in REFUSED_CONTROLS else self._letters
            gathered.add(letter.reason, 1, letter.sequence)

    def _tell_versions(self, versions: Versions, now_ms: int) -> None:
        if versions == self._versions:
            return
        self._versions = versions
        named = msgspec.structs.asdict(versions)
        self._telemetry.worker.versions(named)
        self._log.info("in force", **named, now_ms=now_ms)

    def _tell_model(self, missing: str | None, now_ms: int) -> None:
        """missing: the model that should decide, or why it cannot."""
        if (missing is None) is (self._model_missing is None):
            return
        self._model_missing = missing
        self._telemetry.worker.model_missing.set(missing is not None)
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


def _waits_since(stepped: Stepped, waiting: int | None) -> int | None:
    """No record that waits behind a batch is older than the newest of it; none is known to wait
    where nothing was read, or where the source says so."""
    if waiting == 0 or not len(stepped.times):
        return None
    return int(stepped.times.max())
