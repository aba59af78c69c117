"""A running process: its log, metrics and status port, and how it is stopped."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

from alcyon.domain.errors import FencedError

if TYPE_CHECKING:
    from alcyon.settings import Settings
    from alcyon.telemetry.lines import Log
    from alcyon.telemetry.metrics import Named

FAILED, FENCED = 1, 3
"""Exit codes: it ended by an error; a later worker took over, and to start it again would only
fence that one."""
END_S = 8.5
"""A process that is to end and still waits for a server by then ends all the same."""
JOIN_S = 2.0
"""For a thread to end, once it was asked to."""


class Process:
    """What the parts of a running process share. named: whose metrics it has."""

    def __init__(self, set_to: Settings, loops: tuple[str, ...], stop: Event, named: Named) -> None:
        from alcyon.runners.process.status import Readiness
        from alcyon.telemetry.lines import make_log
        from alcyon.telemetry.metrics import PARTS_OF, Telemetry

        self.set_to, self.stop = set_to, stop
        self.telemetry = Telemetry(PARTS_OF[named])
        is_terminal = sys.stderr.isatty()
        self.log: Log = make_log(sys.stderr, is_terminal, self.telemetry.process.lost_lines.inc)
        self.readiness = Readiness(set_to.status.lag_s_max, loops)


@contextmanager
def stopped_by_signals(process: Process) -> Iterator[None]:
    """SIGTERM and SIGINT stop it; `END_S` later it ends, wherever it is.

    A handler of Python's runs between two instructions of the main thread, so not while that waits
    for a server, and may not touch what that holds: a thread is told by the descriptor. Nothing is
    lost, as by kill -9.
    """
    told, tells = socket.socketpair()
    tells.setblocking(False)
    is_over = Event()

    def listen() -> None:
        if not told.recv(1) or is_over.is_set():
            return
        process.stop.set()
        if not is_over.wait(END_S):
            process.log.warning(
                "stopped while waiting", why="a server did not answer; what was committed is kept"
            )
            os._exit(0)

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: None) for number in numbers]
    descriptor = signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
    Thread(target=listen, name="signals", daemon=True).start()
    try:
        yield
    finally:
        is_over.set()
        signal.set_wakeup_fd(descriptor)
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        tells.close()


class ToldError(Exception):
    """An error that was told."""


def served(process: Process, port_offset: int, work: Callable[[], None]) -> int:
    """Do the work, with the status port open; not 0 where it ended by an error."""
    from alcyon.runners.process.status import StatusServer

    status = process.set_to.status
    port = status.port + port_offset if status.port else 0
    with closing(StatusServer(status.host, port, process.telemetry, process.readiness)) as server:
        process.log.info("status port open", host=status.host, port=server.port)
        try:
            work()
        except ToldError as told:
            return FENCED if isinstance(told.__cause__, FencedError) else FAILED
        except Exception as error:
            tell_failed(process, error)
            return FAILED
    return 0


def tell_failed(process: Process, error: BaseException) -> None:
    """An error ends the process: told at once, wherever it was raised."""
    from alcyon.runners.process.failing import failure
    from alcyon.runners.process.status import Phase, utc_ms

    process.readiness.become(Phase.FAILED)
    failure(process.telemetry, process.log, error, utc_ms())


@contextmanager
def beside(process: Process, name: str, work: Callable[[], None]) -> Iterator[None]:
    """Do it in a thread meanwhile. An error of it is told when it is raised, and ends the process:
    ToldError at the end."""
    failed = list[BaseException]()

    def told() -> None:
        try:
            work()
        except BaseException as error:
            tell_failed(process, error)
            failed.append(error)
            process.stop.set()

    thread = Thread(target=told, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        process.stop.set()
        thread.join(JOIN_S)
    if failed:
        raise ToldError from failed[0]
