"""`alcyon run`"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from alcyon.cli.options import Detectors, limits, settings
from alcyon.cli.read_model import LOOP, read_model_filled
from alcyon.cli.servers import connection, means, registry, store, topic_names
from alcyon.detectors.loading import Detector, load_detector
from alcyon.domain.errors import FencedError, LogError, UnreachableError
from alcyon.runners.status import Phase, Readiness, StatusServer, utc_ms
from alcyon.telemetry import Telemetry, make_log

if TYPE_CHECKING:
    from alcyon.io.snapshot_reading import ReadAhead
    from alcyon.runners.projection import Projection
    from alcyon.runners.service import Opened
    from alcyon.settings import Settings
    from alcyon.telemetry import Log

_NICER = 15
"""Where processors are short, decisions go before what is stored of them."""
_SWITCH_S = 0.0005
"""How long deciding may keep a commit from going on; Python's own 5 ms would be seen."""
WORKER, PROJECTIONS = "worker", "projections"
SNAPSHOTS = "snapshots"
Only = Annotated[Literal["worker", "projections"] | None, Parameter(name="--only")]
FAILED, FENCED = 1, 3
"""Exit codes: it ended by an error; a later worker took over, and to start it again would only
fence that one."""
END_S = 8.5
"""A process that is to end and still waits for a server by then ends all the same."""
REACH_S = 2.0
_PARENT = "_ALCYON_PARENT"
"""The process that started the projections; they end with it, however it ends."""


def run(*, only: Only = None, catalog: Detectors = "card", model: Path | None = None) -> int:
    """Decide on what comes through Kafka, until stopped.

    The worker reads transactions, labels and control records, and writes decisions, alerts and
    dead letters, exactly once. Projections, in a process of their own, fill Postgres (or SQLite)
    and Redis. /metrics, /healthz and /readyz are on status.port, the projections' on the next.

    While the broker is away it waits. It ends with 1 where waiting helps nothing (wrong
    credentials, a topic missing), and with 3 where a later worker took over.

    An example:
        make services-up && set -a && . .services/env
        alcyon run --model m

    Parameters
    ----------
    only
        Only the worker, or only the projections.
    model
        The folder of the model to begin with, where nothing was decided yet; see alcyon train.
        Without one the rules and the fallback action decide.
    """
    set_to = settings()
    connection(set_to)  # a wrong setting is told before anything starts
    ahead = None if only == PROJECTIONS else _read_ahead(set_to)
    detector = load_detector(catalog)
    loops: tuple[str, ...] = (WORKER,)
    if only == PROJECTIONS:
        loops = ("projection",) if set_to.redis.url is None else ("projection", LOOP)
    process = Process(set_to, loops, Event())
    with _stopped_by_signals(process), ExitStack() as others:
        if only == PROJECTIONS:
            _stop_with_parent(process.stop)
            return _served(process, 1, lambda: _project(process, detector))
        if only is None:
            others.enter_context(_projections(catalog, process.stop))
        return _served(process, 0, lambda: _decide(process, detector, model, ahead))


class Process:
    """What the parts of a running process share."""

    def __init__(self, set_to: Settings, loops: tuple[str, ...], stop: Event) -> None:
        self.set_to, self.stop = set_to, stop
        self.telemetry = Telemetry()
        is_terminal = sys.stderr.isatty()
        self.log: Log = make_log(sys.stderr, is_terminal, self.telemetry.lost_lines.inc)
        self.readiness = Readiness(set_to.status.lag_s_max, loops)


@contextmanager
def _stopped_by_signals(process: Process) -> Iterator[None]:
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


class _ToldError(Exception):
    """An error that was told."""


def _served(process: Process, port_offset: int, work: Callable[[], None]) -> int:
    """Do the work, with the status port open; not 0 where it ended by an error."""
    status = process.set_to.status
    port = status.port + port_offset if status.port else 0
    with closing(StatusServer(status.host, port, process.telemetry, process.readiness)) as server:
        process.log.info("status port open", host=status.host, port=server.port)
        try:
            work()
        except _ToldError as told:
            return FENCED if isinstance(told.__cause__, FencedError) else FAILED
        except Exception as error:
            from alcyon.runners.telling import failure

            process.readiness.become(Phase.FAILED)
            failure(process.telemetry, process.log, error, utc_ms())
            return FAILED
    return 0


def _read_ahead(set_to: Settings) -> ReadAhead | None:
    """Gigabytes of state are read while the imports run and the broker is being reached."""
    from alcyon.io.snapshot_reading import read_ahead

    return read_ahead(set_to.home / SNAPSHOTS, set_to.kernel.state_bytes_max)


def _decide(
    process: Process, detector: Detector, model: Path | None, ahead: ReadAhead | None
) -> None:
    from alcyon.features.kernel import Kernel
    from alcyon.features.layout import Layout
    from alcyon.runners.service import Equipment, WorkerService
    from alcyon.runners.telling import Telling
    from alcyon.runners.worker import Pace

    sys.setswitchinterval(_SWITCH_S)
    set_to, worker = process.set_to, process.set_to.worker
    telling = Telling(process.telemetry, process.log, process.readiness)
    telling.starting(version("alcyon"), utc_ms())
    layout = Layout(detector.catalog)
    begin = _Beginning(set_to, detector, model, ahead)
    service = WorkerService(
        Equipment(
            lambda: Kernel(layout, limits(set_to)),
            means(set_to, detector),
            Pace(worker.batch_max, worker.snapshot_every, worker.snapshots_kept),
            begin.open_ports,
        ),
        telling,
        process.stop,
    )
    try:
        sequence = service.run()
        telling.stopped(utc_ms(), sequence)
    except Exception as error:
        telling.failed(error, utc_ms())
        raise _ToldError from error


class _Beginning:
    """Opens the ports; where nothing was ever decided, it first says by what to decide."""

    def __init__(
        self,
        set_to: Settings,
        detector: Detector,
        model: Path | None,
        ahead: ReadAhead | None,
    ) -> None:
        self._set_to, self._detector, self._model = set_to, detector, model
        self._ahead = ahead
        self._connection, self._names = connection(set_to), topic_names(set_to)
        self._has_opened = False

    def open_ports(self, files: ExitStack) -> Opened:
        """Open them anew. SettingsError: at the start, what waiting does not cure."""
        try:
            self._connection.reached(REACH_S)
            opened = self._opened(files)
        except UnreachableError as error:
            from alcyon.runners.diagnosis import refusal

            if not self._has_opened and (refused := refusal(error)) is not None:
                raise refused from error
            raise
        self._has_opened = True
        return opened

    def _opened(self, files: ExitStack) -> Opened:
        from alcyon.io.kafka import KafkaDecisions, KafkaSource, ensure_topics
        from alcyon.io.kafka.entries import Entry, Segment
        from alcyon.io.kafka.source import HandedOver
        from alcyon.runners.service import Opened
        from alcyon.runners.worker import Ports

        set_to, kafka = self._set_to, self._set_to.kafka
        may_create = set_to.environment == "development"
        partitions = ensure_topics(
            self._connection, self._names, kafka.retention_hours, may_create=may_create
        )
        handed_over = HandedOver()
        log = files.enter_context(
            closing(
                KafkaDecisions(self._connection, self._names, kafka.transactional_id, handed_over)
            )
        )
        if log.last() is None:
            self._say_by_what()
        source = files.enter_context(
            closing(
                KafkaSource(
                    self._connection, self._names, partitions, handed_over, kafka.buffer_kib_max
                )
            )
        )

        nothing = Entry(-1, 0, 0, 0, 0, {}, (), (), *[Segment(0, 0, 0)] * 3)

        def keeps(commit_index: int) -> bool:
            try:
                entry = log.entry(commit_index - 1) if commit_index else nothing
            except LogError:  # it has left the commits topic
                return False
            return entry is not None and source.has_kept(entry)

        ports = Ports(source, log, set_to.home / SNAPSHOTS, self._ahead)
        return Opened(ports, keeps, source.waiting)

    def _say_by_what(self) -> None:
        """The detector's rules, the rates and the model are the first control records."""
        from alcyon.domain.currency import DEFAULT_RATES
        from alcyon.domain.record import Topic
        from alcyon.io.kafka import KafkaIntake
        from alcyon.io.kafka.control import control_payloads
        from alcyon.runners.in_force import bootstrap_controls
        from alcyon.scoring.policy import Policy

        if control_payloads(self._connection, self._names):
            return
        name, policy = None, self._detector.policy or Policy()
        if self._model is not None:
            models = registry(self._set_to, self._detector)
            name = models.put(self._model)
            policy = self._detector.policy or models.load(name).manifest.policy
        controls = bootstrap_controls(self._detector.rules, policy, DEFAULT_RATES, name)
        with closing(KafkaIntake(self._connection, self._names)) as intake:
            intake.append(Topic.CONTROL, controls)


def _project(process: Process, detector: Detector) -> None:
    from alcyon.runners.service import ProjectionService
    from alcyon.runners.telling import StoreTelling

    set_to = process.set_to
    kind = "sqlite" if set_to.postgres.dsn is None else "postgres"
    telling = StoreTelling(
        kind, process.telemetry, process.log, process.readiness, loop="projection"
    )
    process.log.info("projection starting", store=kind)
    process.readiness.waits_since(None)
    process.readiness.become(Phase.RUNNING)
    with read_model_filled(process, detector):
        ProjectionService(
            lambda files: _open_projection(files, set_to, detector), telling, process.stop
        ).run()
    process.log.info("projection stopped", store=kind)


def _open_projection(files: ExitStack, set_to: Settings, detector: Detector) -> Projection:
    from alcyon.io.kafka import KafkaCommits, KafkaRecorded
    from alcyon.io.kafka.control import control_payloads
    from alcyon.runners.projection import Projection
    from alcyon.runners.rates import RatesByVersion

    broker, names = connection(set_to).trailing(), topic_names(set_to)
    broker.reached()
    decoding = means(set_to, detector)
    rates = RatesByVersion(lambda: control_payloads(broker, names))
    return Projection(
        files.enter_context(closing(KafkaCommits(broker, names))),
        files.enter_context(closing(KafkaRecorded(broker, names))),
        files.enter_context(closing(store(set_to))),
        lambda rates_version: decoding.transaction_decoder(rates.of(rates_version)),
        decoding.label_decoder(),
    )


def _stop_with_parent(stop: Event) -> None:
    """Stop where the worker that started us is gone: the next one starts projections of its own."""
    parent = int(os.environ.get(_PARENT, "0"))

    def watch() -> None:
        while os.getppid() == parent:
            if stop.wait(0.5):
                return
        stop.set()

    if parent:
        Thread(target=watch, name="parent", daemon=True).start()


class _projections:  # noqa: N801
    """The projections as a process of their own: they take no time from the worker's.

    It is started again when it ends by itself, ever later, and ends with us.
    """

    def __init__(self, catalog: str, stop: Event) -> None:
        self._command = [
            sys.executable, "-m", "alcyon.cli", "run", "--only", PROJECTIONS, "--catalog", catalog,
        ]  # fmt: skip
        self._is_over, self._stop = Event(), stop
        self._process = self._started()
        self._watch = Thread(target=self._keep, name="projections", daemon=True)

    def __enter__(self) -> None:
        self._watch.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._watch.join()
        self._process.terminate()
        try:
            self._process.wait(3.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        env = {**os.environ, _PARENT: str(os.getpid())}
        process = subprocess.Popen(self._command, env=env)
        os.setpriority(os.PRIO_PROCESS, process.pid, os.getpriority(os.PRIO_PROCESS, 0) + _NICER)
        return process

    def _keep(self) -> None:
        pause_s = 1.0
        while not self._is_over.wait(0.2) and not self._stop.is_set():
            if self._process.poll() is not None:
                if self._is_over.wait(pause_s) or self._stop.is_set():
                    return
                pause_s = min(2 * pause_s, 30.0)
                self._process = self._started()
        self._process.terminate()
