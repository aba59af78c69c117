"""Services: a worker that goes on until it is told to stop, whatever befalls it.

An error of the log or of a server ends the attempt, not the service: everything is opened anew and
goes on exactly where the log ends. Only a later worker (fenced), or what no waiting cures, ends it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from threading import Event
from typing import NamedTuple

from alcyon.domain.errors import FencedError, LogError, UnreachableError
from alcyon.features.kernel import Kernel
from alcyon.io.snapshots import headers
from alcyon.runners.process.status import utc_ms
from alcyon.runners.stream.asked_schemas import AskedSchemas, RegistryAwayError
from alcyon.runners.stream.deciding import Means
from alcyon.runners.stream.looking import Kept, Looking
from alcyon.runners.stream.recovery import recover
from alcyon.runners.stream.telling import Telling
from alcyon.runners.stream.worker import Pace, Ports, Stepped, Worker

SAVE_TIMEOUT_S = 6.0
"""For the snapshot at the end: a worker is to be gone ten seconds after it was asked."""
RETRY_S, RETRY_S_MAX = 0.5, 10.0
KEPT_EVERY_MS = 60_000
"""How often it is looked whether the records behind the older snapshot are still kept, and whether
every partition is read."""
IDLE_EVERY_MS = 5_000
"""The same where nothing arrives, which may be because the broker is gone: who asks, hears so."""


class Opened(NamedTuple):
    """A worker's ports, and what else they can say.

    keeps: whether all records behind the commit before an index are there (0: of no commit), asked
    of the broker; UnreachableError. waiting: records in the intake behind the last poll, asked of
    nobody; None: not known. check: LogError where all must be opened anew to read everything that
    comes, asked of the broker. `keeps` and `check` are called in a thread of their own.
    """

    ports: Ports
    keeps: Callable[[int], bool]
    waiting: Callable[[], int | None] = lambda: None
    check: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Equipment:
    """What a worker is made of.

    open_ports: opens them anew, to be closed with the stack; UnreachableError, LogError as for
    what it opens.
    """

    kernel: Callable[[], Kernel]
    means: Means
    pace: Pace
    open_ports: Callable[[ExitStack], Opened]


class WorkerService:
    """Recovers a worker and lets it decide, again and again, until it is told to stop."""

    def __init__(self, equipment: Equipment, telling: Telling, stop: Event) -> None:
        self._equipment, self._telling, self._stop = equipment, telling, stop
        self._means, self._schemas = equipment.means, AskedSchemas(equipment.means.schemas)
        if self._means.schemas is not None:
            self._means = replace(self._means, schemas=self._schemas)

    def run(self) -> int:
        """Until stopped; the next sequence. FencedError: a later worker took over.

        SettingsError, SnapshotError, InputError: see `recover` and what opens the ports; waiting
        does not cure them.
        """
        retry_s, sequence = RETRY_S, 0
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                sequence = self._reign()
            except FencedError:
                raise
            except RegistryAwayError as error:
                self._wait_for_registry(error)
                continue
            except (LogError, UnreachableError):
                pass  # it was told
            else:
                break
            retry_s = RETRY_S if time.monotonic() - began > RETRY_S_MAX else retry_s
            self._stop.wait(retry_s)
            retry_s = min(2 * retry_s, RETRY_S_MAX)
        return sequence

    def _reign(self) -> int:
        equipment, began = self._equipment, time.monotonic()
        self._telling.recovering(utc_ms())
        with ExitStack() as files, self._outage_told():
            opened = equipment.open_ports(files)
            worker, recovered = recover(
                equipment.kernel(), opened.ports, self._means, equipment.pace
            )
            files.callback(worker.close)
            self._telling.broker_back(utc_ms())
            self._telling.recovered(recovered, time.monotonic() - began, utc_ms())
            gc.collect()
            gc.freeze()  # what is there now stays: the collector need not look at it again
            looking = files.enter_context(closing(Looking(partial(_kept, opened))))
            worker.run(
                self._stop.is_set,
                lambda stepped: self._stepped(stepped, worker, opened.waiting(), looking),
            )
            self._telling.stopping("asked to", utc_ms())
            if (written := worker.save(SAVE_TIMEOUT_S)) is not None:
                self._telling.snapshot(written, utc_ms())
            return worker.place.next_sequence

    @contextmanager
    def _outage_told(self) -> Iterator[None]:
        """At once: closing what was open takes a while where nobody answers."""
        try:
            yield
        except (FencedError, RegistryAwayError):
            raise
        except (LogError, UnreachableError) as error:
            self._telling.broker_away(str(error), utc_ms())
            raise

    def _wait_for_registry(self, error: RegistryAwayError) -> None:
        """Until it answers: recovering again and again meanwhile would only press on the broker."""
        retry_s, why = RETRY_S, str(error)
        while not self._stop.is_set():
            self._telling.registry_away(why, utc_ms())
            self._stop.wait(retry_s)
            retry_s = min(2 * retry_s, RETRY_S_MAX)
            if self._schemas.answers():
                self._telling.registry_back(utc_ms())
                return

    def _stepped(
        self, stepped: Stepped, worker: Worker, waiting: int | None, looking: Looking
    ) -> None:
        now_ms = utc_ms()
        self._telling.stepped(stepped, now_ms, waiting, worker.state_bytes)
        every_ms = KEPT_EVERY_MS if stepped.records else IDLE_EVERY_MS
        kept = looking.look(now_ms, every_ms, stepped.snapshot is not None)
        if kept is not None:
            self._telling.kept(*kept, now_ms)


def _kept(opened: Opened) -> Kept:
    """Whether the older snapshot could still be gone on from. Errors as `Opened.check`."""
    opened.check()
    found = headers(opened.ports.snapshots)
    older = found[1] if len(found) > 1 else None
    position, index = (older.position, older.commit_index) if older else (0, 0)
    is_kept = opened.keeps(index)  # asked in any case: a silent broker is noticed by it
    return Kept(position, is_kept or index == 0)
