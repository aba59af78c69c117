"""`alcyon run`"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from importlib.metadata import version
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from alcyon.cli.options import Detectors, limits, settings
from alcyon.cli.read_model import LOOP, read_model_filled
from alcyon.cli.servers import connection, means, registry, store, topic_names
from alcyon.detectors.loading import Detector, load_detector
from alcyon.domain.errors import AlcyonError
from alcyon.runners.status import Phase, Readiness, StatusServer, utc_ms
from alcyon.telemetry import Telemetry, make_log

if TYPE_CHECKING:
    from alcyon.runners.projection import Projection
    from alcyon.runners.service import Opened
    from alcyon.settings import Settings
    from alcyon.telemetry import Log

WORKER, PROJECTIONS = "worker", "projections"
Only = Annotated[Literal["worker", "projections"] | None, Parameter(name="--only")]
FAILED = 1


def run(*, only: Only = None, catalog: Detectors = "card", model: Path | None = None) -> int:
    """Decide on what comes through Kafka, until stopped.

    The worker reads transactions, labels and control records, and writes decisions, alerts and
    dead letters, exactly once. Projections, in a process of their own, fill Postgres (or SQLite)
    and Redis. /metrics, /healthz and /readyz are on status.port, the projections' on the next.

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
    set_to, detector = settings(), load_detector(catalog)
    connection(set_to)  # a wrong setting is told before anything starts
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if only == PROJECTIONS:
        loops = ("projection",) if set_to.redis.url is None else ("projection", LOOP)
        return _served(set_to, 1, loops, stop, lambda p: _project(p, detector))
    with ExitStack() as others:
        if only is None:
            others.enter_context(_projections(catalog))
        return _served(set_to, 0, (WORKER,), stop, lambda p: _decide(p, detector, model))


class Process:
    """What the parts of a running process share."""

    def __init__(self, set_to: Settings, loops: tuple[str, ...], stop: Event) -> None:
        self.set_to, self.stop = set_to, stop
        self.telemetry = Telemetry()
        is_terminal = sys.stderr.isatty()
        self.log: Log = make_log(sys.stderr, is_terminal, self.telemetry.lost_lines.inc)
        self.readiness = Readiness(set_to.status.lag_s_max, loops)


def _served(
    set_to: Settings,
    port_offset: int,
    loops: tuple[str, ...],
    stop: Event,
    work: Callable[[Process], None],
) -> int:
    """Do the work, with the status port open; 1 where it ended by an error."""
    process, status = Process(set_to, loops, stop), set_to.status
    port = status.port + port_offset if status.port else 0
    with closing(StatusServer(status.host, port, process.telemetry, process.readiness)) as server:
        process.log.info("status port open", host=status.host, port=server.port)
        try:
            work(process)
        except AlcyonError as error:
            from alcyon.runners.telling import failure

            process.readiness.become(Phase.FAILED)
            failure(process.telemetry, process.log, error, utc_ms())
            return FAILED
    return 0


def _decide(process: Process, detector: Detector, model: Path | None) -> None:
    from alcyon.features.kernel import Kernel
    from alcyon.features.layout import Layout
    from alcyon.runners.service import Equipment, WorkerService
    from alcyon.runners.telling import Telling
    from alcyon.runners.worker import Pace

    set_to, worker = process.set_to, process.set_to.worker
    telling = Telling(process.telemetry, process.log, process.readiness)
    telling.starting(version("alcyon"), utc_ms())
    layout = Layout(detector.catalog)
    begin = _Beginning(set_to, detector, model)
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
    sequence = service.run()
    telling.stopped(utc_ms(), sequence)


class _Beginning:
    """Opens the ports; where nothing was ever decided, it first says by what to decide."""

    def __init__(self, set_to: Settings, detector: Detector, model: Path | None) -> None:
        self._set_to, self._detector, self._model = set_to, detector, model
        self._connection, self._names = connection(set_to), topic_names(set_to)

    def open_ports(self, files: ExitStack) -> Opened:
        from alcyon.io.kafka import KafkaDecisions, KafkaSource, ensure_topics
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

        def keeps(commit_index: int) -> bool:
            entry = log.entry(commit_index - 1)
            return entry is not None and source.has_kept(entry)

        return Opened(Ports(source, log, set_to.home / "snapshots"), keeps)

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

    broker, names = connection(set_to), topic_names(set_to)
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


class _projections:  # noqa: N801
    """The projections as a process of their own: they take no time from the worker's.

    It is started again when it ends by itself, and ends with us.
    """

    def __init__(self, catalog: str) -> None:
        self._command = [
            sys.executable, "-m", "alcyon.cli", "run", "--only", PROJECTIONS, "--catalog", catalog,
        ]  # fmt: skip
        self._is_over = Event()
        self._process = subprocess.Popen(self._command)
        self._watch = Thread(target=self._keep, name="projections", daemon=True)

    def __enter__(self) -> None:
        self._watch.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._process.terminate()
        try:
            self._process.wait(3.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _keep(self) -> None:
        while not self._is_over.is_set():
            self._process.wait()
            if not self._is_over.wait(1.0):
                self._process = subprocess.Popen(self._command)
