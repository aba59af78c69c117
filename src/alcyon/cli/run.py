"""`alcyon run`"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Parameter

from alcyon.cli.opening.logs import SNAPSHOTS, first_controls, is_embedded, worker_ports
from alcyon.cli.opening.process import Process, ToldError, served, stopped_by_signals
from alcyon.cli.opening.projections import PROJECTIONS, loops, project, projections_beside
from alcyon.cli.opening.servers import connection, means
from alcyon.cli.opening.starting import OpenedEarly, hurry, settle, stop_with_parent, without
from alcyon.cli.showing.options import Detectors, limits, settings

if TYPE_CHECKING:
    from alcyon.detectors.loading import Detector
    from alcyon.io.snapshot_reading import ReadAhead
    from alcyon.settings import Settings

WORKER: Final = "worker"
Only = Annotated[Literal["worker", "projections"] | None, Parameter(name="--only")]


def run(*, only: Only = None, catalog: Detectors = "card", model: Path | None = None) -> int:
    """Decide on what comes through Kafka, until stopped.

    Without a broker (kafka.bootstrap) it decides on what alcyon serve writes into the home's log.
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
    hurry()
    set_to = settings()
    ahead = None if only == PROJECTIONS else _read_ahead(set_to)
    if not is_embedded(set_to):
        connection(set_to)  # a wrong setting is told before anything starts
    from alcyon.detectors.loading import load_detector

    detector = load_detector(catalog)
    if only == PROJECTIONS:
        process = Process(set_to, loops(set_to), Event(), PROJECTIONS)
    else:
        process = Process(set_to, (WORKER,), Event(), WORKER)
    with stopped_by_signals(process), ExitStack() as others:
        stop_with_parent(process.stop)
        if only == PROJECTIONS:
            return served(process, 1, lambda: project(process, detector))
        if only is None:
            others.enter_context(projections_beside(catalog, process))
        return served(process, 0, lambda: _decide(process, detector, model, ahead))


def _read_ahead(set_to: Settings) -> ReadAhead | None:
    """Gigabytes of state are read while the imports run and the broker is being reached."""
    from alcyon.io.snapshot_reading import read_ahead

    return read_ahead(set_to.home / SNAPSHOTS, set_to.kernel.state_bytes_max)


def _decide(
    process: Process, detector: Detector, model: Path | None, ahead: ReadAhead | None
) -> None:
    is_imported = Event()

    def begin() -> Sequence[bytes]:
        is_imported.wait()  # two threads must not import the compiler's modules at once
        return first_controls(process.set_to, detector, model)

    opening = OpenedEarly(worker_ports(process.set_to, begin, ahead).open)
    with without("scipy"):
        from alcyon.features.kernel import Kernel
        from alcyon.features.layout import Layout
        from alcyon.runners.stream.service import Equipment, WorkerService
    is_imported.set()
    from alcyon.runners.process.status import utc_ms
    from alcyon.runners.stream.telling import Telling
    from alcyon.runners.stream.worker import Pace

    set_to, worker = process.set_to, process.set_to.worker
    telling = Telling(process.telemetry, process.log, process.readiness)
    telling.starting(version("alcyon"), utc_ms())
    layout = Layout(detector.catalog)
    service = WorkerService(
        Equipment(
            lambda: Kernel(layout, limits(set_to)),
            means(set_to, detector),
            Pace(worker.batch_max, worker.snapshot_every, worker.snapshots_kept),
            opening.open,
        ),
        telling,
        process.stop,
    )
    settle()
    try:
        sequence = service.run()
        telling.stopped(utc_ms(), sequence)
    except Exception as error:
        telling.failed(error, utc_ms())
        raise ToldError from error
    finally:
        opening.close()
