"""The projections: in a process of their own, into a store and the read model."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from alcyon.cli.logs import projection_ports
from alcyon.cli.process import Process, beside
from alcyon.cli.servers import read_model, store
from alcyon.cli.starting import PARENT, settle

if TYPE_CHECKING:
    from alcyon.detectors.loading import Detector
    from alcyon.settings import Settings

PROJECTIONS: Final = "projections"
_STORE_LOOP, _READ_MODEL_LOOP = "projection", "read_model"
_NICER = 15
"""Where processors are short, decisions go before what is stored of them."""
RECOVERS_S_MAX = 30.0
"""Projections start by then, whether the worker decides already (its lag is known) or not."""


def loops(set_to: Settings) -> tuple[str, ...]:
    """The loops of this process."""
    return (_STORE_LOOP,) if set_to.redis.url is None else (_STORE_LOOP, _READ_MODEL_LOOP)


def project(process: Process, detector: Detector) -> None:
    """Fill the store, and where there is one the read model, until stopped."""
    from alcyon.domain.read_model import Known
    from alcyon.runners.behind import tell_behind
    from alcyon.runners.filling import fill
    from alcyon.runners.projection_telling import BrokerTelling, ProjectionTelling
    from alcyon.runners.status import Phase

    set_to, stop = process.set_to, process.stop
    ports = projection_ports(set_to, detector)
    told = process.telemetry, process.log, process.readiness
    broker = BrokerTelling(*told)
    kind = "sqlite" if set_to.postgres.dsn is None else "postgres"
    tellings = [ProjectionTelling(kind, *told, broker, _STORE_LOOP)]
    process.log.info("projection starting", store=kind)
    process.readiness.waits_since(None)
    process.readiness.become(Phase.RUNNING)
    settle()
    with ExitStack() as others:
        if (model := read_model(set_to)) is not None:
            known, telling = Known(), ProjectionTelling("redis", *told, broker, _READ_MODEL_LOOP)
            tellings.append(telling)
            others.enter_context(
                beside(
                    process, _READ_MODEL_LOOP,
                    lambda: fill(
                        lambda files: ports.open_read_model(files, model, known), telling, stop
                    ),
                )
            )  # fmt: skip
        others.enter_context(
            beside(process, "behind", lambda: tell_behind(ports.open_end, tellings, stop))
        )
        fill(lambda files: ports.open_projection(files, lambda: store(set_to)), tellings[0], stop)
    process.log.info("projection stopped", store=kind)


class ProjectionsProcess:
    """The projections as a process of their own: they take no time from the worker's.

    It starts once the worker decides, for its own start would take processor time from recovery;
    it is started again when it ends by itself, ever later, and ends with us.
    """

    def __init__(self, catalog: str, process: Process) -> None:
        self._command = [
            sys.executable, "-m", "alcyon.cli", "run", "--only", PROJECTIONS, "--catalog", catalog,
        ]  # fmt: skip
        self._is_over, self._stop, self._readiness = Event(), process.stop, process.readiness
        self._process: subprocess.Popen[bytes] | None = None
        self._watch = Thread(target=self._keep, name="projections", daemon=True)

    def __enter__(self) -> None:
        self._watch.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._watch.join()
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(3.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        env = {**os.environ, PARENT: str(os.getpid())}
        process = subprocess.Popen(self._command, env=env)
        os.setpriority(os.PRIO_PROCESS, process.pid, os.getpriority(os.PRIO_PROCESS, 0) + _NICER)
        return process

    def _keep(self) -> None:
        latest, pause_s = time.monotonic() + RECOVERS_S_MAX, 1.0
        while math.isnan(self._readiness.lag_s()) and time.monotonic() < latest:
            if self._is_over.wait(0.02) or self._stop.is_set():
                return
        process = self._process = self._started()
        while not self._is_over.wait(0.2) and not self._stop.is_set():
            if process.poll() is not None:
                if self._is_over.wait(pause_s) or self._stop.is_set():
                    return
                pause_s = min(2 * pause_s, 30.0)
                process = self._process = self._started()
        process.terminate()
