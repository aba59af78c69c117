"""Lasting: work in threads beside whatever else a process does, until it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from threading import Event, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alcyon.telemetry.lines import Log
    from alcyon.telemetry.metrics import Telemetry

END_S = 5.0
"""For all of it to end, once it was asked to."""
_AGAIN_S = 1.0

Work = Callable[[Event], None]
"""Goes on until the event is set."""


def begin(work: Sequence[tuple[str, Work]], told: tuple[Telemetry, Log], files: ExitStack) -> None:
    """Do each, by a thread of that name, until `files` is closed."""
    from alcyon.runners.process.failing import failure
    from alcyon.runners.process.status import utc_ms

    stop = Event()

    def tell_failed(error: Exception) -> None:
        failure(*told, error, utc_ms())

    threads = [
        Thread(target=lasting, args=(job, stop, tell_failed), name=name, daemon=True)
        for name, job in work
    ]

    def end() -> None:
        stop.set()
        deadline = time.monotonic() + END_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    files.callback(end)
    for thread in threads:
        thread.start()


def lasting(work: Work, stop: Event, tell: Callable[[Exception], None]) -> None:
    """Do it until stopped, whatever befalls it: undelivered labels would be missed late."""
    while not stop.is_set():
        try:
            work(stop)
        except Exception as error:  # what is awaited is handled within
            tell(error)
            stop.wait(_AGAIN_S)
