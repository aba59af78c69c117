"""Beside: a process of ours that another one starts for itself, and keeps running."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import TYPE_CHECKING

from alcyon.cli.opening.starting import PARENT

if TYPE_CHECKING:
    from alcyon.cli.opening.process import Process

NICER = 15
"""Where processors are short, decisions go before what is done about them."""
PAUSE_S, PAUSE_S_MAX = 1.0, 30.0
"""Before it is started again: twice as long each time, until it has lasted for longer than that."""
END_S = 3.0
"""For it to end by itself."""


class Beside:
    """A command of ours as a process of its own: it takes no time from the one that starts it.

    It is started again when it ends by itself, ever later, and ends with us, however we end. By
    kill -9 too: see `starting.stop_with_parent`, which the command calls.

    name: what to call it. may_begin: waited for until `begins_s_max` are over.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        process: Process,
        may_begin: Callable[[], bool] = lambda: True,
        begins_s_max: float = 0.0,
    ) -> None:
        self._name, self._command = name, [sys.executable, "-m", "alcyon.cli", *arguments]
        self._told, self._stop = process, process.stop
        self._may_begin, self._begins_s_max = may_begin, begins_s_max
        self._is_over = Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._watch = Thread(target=self._keep, name=name, daemon=True)

    def __enter__(self) -> None:
        self._watch.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._watch.join()
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _keep(self) -> None:
        latest, pause_s = time.monotonic() + self._begins_s_max, PAUSE_S
        while not self._may_begin() and time.monotonic() < latest:
            if self._ends_within(0.02):
                return
        while not self._ends_within(0.0):
            begun = time.monotonic()
            try:
                process = self._started()
            except OSError as error:  # no memory, or no more processes: later there may be
                ended = f"it could not be started: {error.strerror}"
            else:
                while process.poll() is None:
                    if self._ends_within(0.2):
                        process.terminate()
                        return
                ended = f"it ended by itself, with {process.returncode}"
            if time.monotonic() - begun > PAUSE_S_MAX:
                pause_s = PAUSE_S
            if self._ends_within(pause_s):
                return
            self._tell_ended(ended)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

    def _started(self) -> subprocess.Popen[bytes]:
        env = {**os.environ, PARENT: str(os.getpid())}
        process = self._process = subprocess.Popen(self._command, env=env)
        os.setpriority(os.PRIO_PROCESS, process.pid, os.getpriority(os.PRIO_PROCESS, 0) + NICER)
        return process

    def _ends_within(self, seconds: float) -> bool:
        return self._is_over.wait(seconds) or self._stop.is_set()

    def _tell_ended(self, why: str) -> None:
        self._told.telemetry.process.child_failures.inc()
        self._told.log.warning("process started again", name=self._name, why=why)
