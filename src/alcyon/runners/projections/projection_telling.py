"""Telling of projections: what each stored, how far behind it is, and what it waits for.

A projection tells of itself from its own thread. How far behind it is, another thread says, which
asks the log: so a projection that hangs, or stands still without a word, is told all the same.
"""

from __future__ import annotations

from threading import Lock

from alcyon.domain.errors import AlcyonError
from alcyon.runners.process.pacing import Outage
from alcyon.runners.process.status import Readiness
from alcyon.telemetry.lines import Log
from alcyon.telemetry.metrics import Telemetry

STILL_S_MAX = 30.0
"""A projection that is behind and takes nothing for so long, and says nothing, has halted."""


class BrokerTelling:
    """Tells of the broker as the projections of a process see it: away while one of them says so.
    Thread-safe."""

    def __init__(self, telemetry: Telemetry, log: Log, readiness: Readiness) -> None:
        self._readiness, self._lock = readiness, Lock()
        self._without = set[str]()
        self._outage = Outage(
            telemetry.process.broker_outages.inc,
            telemetry.process.broker_away.set,
            lambda why, now_ms: log.error("broker away", why=why, now_ms=now_ms),
            lambda away_s, now_ms: log.info("broker back", away_s=away_s, now_ms=now_ms),
        )

    def away(self, store: str, why: str, now_ms: int) -> None:
        """The projection into this store cannot reach it; told at each attempt."""
        with self._lock:
            self._without.add(store)
            self._readiness.note("broker_away", "the broker cannot be reached; see the log")
            self._outage.goes_on(why, now_ms)

    def reached(self, store: str, now_ms: int) -> None:
        """The projection into this store reached it; told again and again."""
        with self._lock:
            self._without.discard(store)
            if not self._without:
                self._readiness.note("broker_away", None)
                self._outage.is_over(now_ms)


class ProjectionTelling:
    """Tells of the projection into one store, of `telemetry.STORES`. Thread-safe.

    loop: the name under which this projection's loop beats.
    """

    def __init__(
        self,
        store: str,
        telemetry: Telemetry,
        log: Log,
        readiness: Readiness,
        broker: BrokerTelling,
        loop: str,
    ) -> None:
        self._store, self._telemetry, self._readiness = store, telemetry, readiness
        self._broker, self._loop, self._lock = broker, loop, Lock()
        self._next_index: int | None = None
        self._moved_ms: int | None = None  # when it last went on, or was at the end
        self._excused_ms: int | None = None  # when it last said what it waits for
        telemetry.projections.know(store)
        self._away = Outage(
            lambda: telemetry.projections.outages.add(store),
            lambda away: telemetry.projections.away.set(store, away),
            lambda why, now_ms: log.error("store away", store=store, why=why, now_ms=now_ms),
            lambda away_s, now_ms: log.info(
                "store back", store=store, away_s=away_s, now_ms=now_ms
            ),
        )
        self._halted = Outage(
            lambda: telemetry.projections.failures.add(store),
            lambda halted: telemetry.projections.halted.set(store, halted),
            lambda why, now_ms: log.error("projection halted", store=store, why=why, now_ms=now_ms),
            lambda away_s, now_ms: log.info(
                "projection goes on", store=store, away_s=away_s, now_ms=now_ms
            ),
        )

    def stored(self, commits: int, rows: int, next_index: int, now_ms: int) -> None:
        """A step ended well. commits, rows: what it stored; next_index: of the first commit that
        is not stored yet."""
        telemetry, store = self._telemetry, self._store
        telemetry.projections.commits.add(store, commits)
        telemetry.projections.rows.add(store, rows)
        self._broker.reached(store, now_ms)
        with self._lock:
            self._readiness.beat(self._loop)
            self._readiness.note(f"{store}_away", None)
            self._away.is_over(now_ms)
            self._excused_ms = None
            if next_index != self._next_index:
                self._next_index, self._moved_ms = next_index, now_ms
                self._goes_on(now_ms)

    def store_away(self, error: AlcyonError, now_ms: int) -> None:
        """The store could not be written; told at each attempt. Decisions do not wait for it."""
        with self._lock:
            self._waits(now_ms)
            note = "the log keeps what it misses; see the log"
            self._readiness.note(f"{self._store}_away", note)
            self._away.goes_on(str(error), now_ms)

    def broker_away(self, error: AlcyonError, now_ms: int) -> None:
        """The log could not be reached; told at each attempt."""
        with self._lock:
            self._waits(now_ms)
        self._broker.away(self._store, str(error), now_ms)

    def halted(self, error: AlcyonError, now_ms: int) -> None:
        """The log could be reached and not be gone on with; told at each attempt."""
        with self._lock:
            self._waits(now_ms)
            self._stands(str(error), now_ms)

    def behind(self, end: int, now_ms: int) -> None:
        """The log ends before commit `end`, asked beside the projection. Called every few seconds,
        by the thread that asked."""
        with self._lock:
            begun, at = self._moved_ms is not None, self._next_index or 0
            lag = max(0, end - at)
            self._telemetry.projections.lag.set(self._store, lag)
            # A clock that was set back must not make it stand still for ever.
            if not lag or self._moved_ms is None or now_ms < self._moved_ms:
                self._moved_ms = now_ms
            if not lag and begun:
                self._goes_on(now_ms)
            elif now_ms - self._moved_ms >= 1000 * STILL_S_MAX and not self._is_excused(now_ms):
                self._stands(
                    f"{lag} commits from {at} on are not stored, none was for "
                    f"{STILL_S_MAX:g} s; if it does not go on, start the projections anew",
                    now_ms,
                )

    def _waits(self, now_ms: int) -> None:
        self._readiness.beat(self._loop)
        self._excused_ms = now_ms

    def _is_excused(self, now_ms: int) -> bool:
        """Whether it lately said what it waits for."""
        said = self._excused_ms
        return said is not None and 0 <= now_ms - said < 1000 * STILL_S_MAX

    def _stands(self, why: str, now_ms: int) -> None:
        self._readiness.note(f"{self._store}_halted", "its projection stands still; see the log")
        self._halted.goes_on(why, now_ms)

    def _goes_on(self, now_ms: int) -> None:
        self._readiness.note(f"{self._store}_halted", None)
        self._halted.is_over(now_ms)
