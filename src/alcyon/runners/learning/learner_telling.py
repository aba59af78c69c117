"""Telling of the learner: what it read, what it found, and what it waits for."""

from __future__ import annotations

from alcyon.domain.errors import AlcyonError
from alcyon.domain.registered import Registered
from alcyon.learning.drift import SCORE, Window
from alcyon.runners.learning.learner import Acted, Learner
from alcyon.runners.learning.teaching import ONLINE
from alcyon.runners.process.pacing import Outage
from alcyon.runners.process.status import Readiness
from alcyon.telemetry.instruments import NAN
from alcyon.telemetry.lines import Log
from alcyon.telemetry.metrics import Telemetry
from alcyon.telemetry.words import ACCEPTED, KEEP, PROMOTE, REFUSED

LOOP = "learner"
AWAY = "learner_away"


class LearnerTelling:
    """Tells of a learner, from its own thread."""

    def __init__(self, telemetry: Telemetry, log: Log, readiness: Readiness) -> None:
        self._telemetry, self._log, self._readiness = telemetry, log, readiness
        self._decisions = self._labels = 0
        self._said = dict[str, str | None]()
        self._away = Outage(
            telemetry.learner.outages.inc,
            telemetry.learner.away.set,
            lambda why, now_ms: log.error("learner waits", why=why, now_ms=now_ms),
            lambda away_s, now_ms: log.info("learner goes on", away_s=away_s, now_ms=now_ms),
        )

    def beat(self) -> None:
        """It goes on."""
        self._readiness.beat(LOOP)

    def read(self, commits: int, learner: Learner) -> None:
        """A step ended well; commits: how many it took, 0 at the end of the log."""
        telemetry, memory = self._telemetry, learner.memory
        telemetry.learner.commits.inc(commits)
        telemetry.learner.decisions.inc(memory.decisions - self._decisions)
        telemetry.learner.labels.inc(memory.labels - self._labels)
        self._decisions, self._labels = memory.decisions, memory.labels
        telemetry.learner.rows.set(len(memory.history))
        telemetry.learner.unknown_labels.set(memory.history.unknown)
        self._readiness.beat(LOOP)

    def behind(self, commits: int) -> None:
        """So many commits are not read yet."""
        self._telemetry.learner.lag.set(commits)

    def acted(self, acted: Acted, now_ms: int) -> None:
        """What it did; nothing may have been due."""
        telemetry, log = self._telemetry, self._log
        self._away.is_over(now_ms)
        self._readiness.note(AWAY, None)
        if acted.rolled_back is not None:
            telemetry.learner.roll_backs.inc()
            departure = acted.rolled_back.departure
            log.error("champion rolled back", why=f"{departure.kind} left its band", now_ms=now_ms)
        if acted.finding is not None:
            telemetry.learner.findings.add(PROMOTE if acted.finding.promote else KEEP)
            codes = " ".join(reason.code for reason in acted.finding.reasons)
            self._once("challenger judged", codes or PROMOTE, now_ms)
        if acted.promoted is not None:
            telemetry.learner.promotions.inc()
            log.info("challenger promoted", name=acted.promoted, now_ms=now_ms)
        if acted.refused == ONLINE:
            telemetry.learner.online_updates.add(REFUSED)
        if acted.published is not None:
            kind, name = acted.published
            if kind == ONLINE:
                telemetry.learner.online_updates.add(ACCEPTED)
            telemetry.learner.published.add(kind)
            log.info("challenger published", kind=kind, name=name, now_ms=now_ms)
        if acted.drift is not None:
            self._drift(acted.drift.window)
            drifted = " ".join(found.signal for found in acted.drift.window.findings)
            if drifted and self._said.get("drift") != drifted:
                log.warning("drift", name=drifted, now_ms=now_ms)
            self._said["drift"] = drifted
        self._once("challenger not judged", acted.waits, now_ms)
        self._once("nothing published", acted.unpublished, now_ms)

    def _drift(self, window: Window) -> None:
        metrics = self._telemetry.learner
        metrics.feature_drift.know(c.signal for c in window.comparisons if c.signal != SCORE)
        for found in window.comparisons:
            psi = found.psi - found.psi_usual
            if found.signal == SCORE:
                metrics.score_drift.set(psi)
            else:
                metrics.feature_drift.set(found.signal, psi)
        if window.findings:
            metrics.drift_alarms.inc()

    def champion(self, model: Registered | None) -> None:
        """What decides; None: nothing that is registered."""
        at = NAN if model is None else model.registered_at / 1000
        self._telemetry.learner.champion_at.set(at)

    def waits(self, error: AlcyonError, now_ms: int) -> None:
        """Something is away, or somebody was faster; told at each attempt."""
        self._readiness.beat(LOOP)
        self._readiness.note(AWAY, "it waits; see the log")
        self._away.goes_on(str(error), now_ms)

    def _once(self, event: str, why: str | None, now_ms: int) -> None:
        """Not again while it is the same."""
        if why is not None and self._said.get(event) != why:
            self._said[event] = why
            self._log.info(event, why=why, now_ms=now_ms)
