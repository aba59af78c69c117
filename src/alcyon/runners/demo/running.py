"""Running: traffic, worker and projection over one folder, each in a thread, to a clean end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass
from threading import Event

from alcyon.codecs.avro import MixedTransactionDecoder
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.errors import LogError
from alcyon.domain.projected import StoreError
from alcyon.io.log import EmbeddedCommits, EmbeddedSource
from alcyon.io.sqlite import SqliteStore
from alcyon.runners.demo.opening import Opened
from alcyon.runners.demo.sending import Sending
from alcyon.runners.demo.traffic import Stretch
from alcyon.runners.projections.projection import Projection
from alcyon.runners.stream.deciding import Means
from alcyon.runners.stream.worker import Stepped
from alcyon.scoring.conduct import NO_MODEL


@dataclass
class Seen:
    """What the threads have to tell; each field is written by one of them."""

    stepped: Stepped | None = None
    snapshot_at: float | None = None
    """When the newest snapshot of this run was complete, in seconds."""
    snapshot_error: str | None = None
    outage: str | None = None
    """Why the store could not be written the last time."""
    stored: int = 0
    """Commits in the store."""

    @property
    def warnings(self) -> list[str]:
        """What is to be told loudly."""
        found = []
        if self.stepped is not None and self.stepped.versions.model == NO_MODEL:
            found.append("no model decides: rules and the fallback action do")
        if self.snapshot_error is not None:
            found.append(f"no snapshot could be written: {self.snapshot_error}")
        if self.outage is not None:
            found.append(f"the store could not be written: {self.outage}")
        return found


class Running:
    """Order: `start`, `wait` until it is False or enough, `end`; in a `with` statement."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._is_stopped, self._is_sent, self._is_decided = Event(), Event(), Event()
        self._threads = ThreadPoolExecutor(3, thread_name_prefix="demo")
        self._running: list[Future[None]] = []
        self.seen = Seen()

    def start(self) -> None:
        """Let traffic flow, be decided and be stored."""
        store = SqliteStore(self._opened.place.store)  # here: whoever watches finds its tables
        stretches = self._opened.begin_traffic()
        jobs = (lambda: self._send(stretches), self._decide, lambda: self._store(store))
        self._running = [self._threads.submit(job) for job in jobs]

    def wait(self, seconds: float) -> bool:
        """Whether something is still to be done after so long; raises what a thread raised."""
        done, going = wait(self._running, seconds, FIRST_EXCEPTION)
        for thread in done:
            if error := thread.exception():
                self._is_stopped.set()
                raise error
        return bool(going)

    def end(self) -> None:
        """Stop the traffic, decide and store what was sent, and save the state."""
        self._is_stopped.set()
        while self.wait(1.0):
            pass
        written = self._opened.worker.snapshot()
        if written.error is not None:
            raise LogError(f"the state could not be saved: {written.error}")

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        """Let the threads end; they do so soon once one has failed."""
        for event in (self._is_stopped, self._is_sent, self._is_decided):
            event.set()
        self._threads.shutdown()

    @property
    def undecided(self) -> int:
        """Records in the intake that are not decided yet."""
        return self._opened.intake.end - self._opened.worker.place.position

    def _send(self, stretches: Iterator[Stretch]) -> None:
        opened = self._opened
        sending = Sending(
            opened.intake, opened.scoreboard, opened.ahead_ms, lambda: self.undecided,
            self._is_stopped,
        )  # fmt: skip
        try:
            sending.run(stretches)
        finally:
            self._is_sent.set()

    def _decide(self) -> None:
        def is_done() -> bool:
            return self._is_sent.is_set() and self.undecided == 0

        try:
            self._opened.worker.run(is_done, self._note)
        finally:
            self._is_stopped.set()
            self._is_decided.set()

    def _note(self, stepped: Stepped) -> None:
        now, last = time.time(), self._opened.worker.place.last
        if stepped.records and last is not None:
            self._opened.scoreboard.note(last, now - stepped.committed_ago_s)
        if stepped.snapshot is not None:
            self.seen.snapshot_error = stepped.snapshot.error
            if stepped.snapshot.error is None:
                self.seen.snapshot_at = now
        self.seen.stepped = stepped

    def _store(self, store: SqliteStore) -> None:
        opened = self._opened
        with ExitStack() as files:
            files.enter_context(closing(store))
            projection = Projection(
                files.enter_context(closing(EmbeddedCommits(opened.place.decisions))),
                files.enter_context(closing(EmbeddedSource(opened.place.intake))),
                store,
                lambda version: transaction_decoder(opened.equipment.means, version),
                opened.equipment.means.label_decoder(),
            )
            projection.run(self._is_decided.is_set, self._note_outage)
            while projection.step():
                pass
            self.seen.stored = projection.taken().commits

    def _note_outage(self, error: StoreError) -> None:
        self.seen.outage = str(error)


def transaction_decoder(means: Means, rates: str) -> MixedTransactionDecoder:
    """The decoder under a rate table; LogError for one that no demo has set."""
    if rates != DEFAULT_RATES.version:
        raise LogError(f"the decisions name the rate table {rates}, the demo has its own only")
    return means.transaction_decoder(DEFAULT_RATES)
