"""`alcyon serve`"""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from alcyon.cli.opening.beside import Beside
from alcyon.cli.opening.duties import CASES, DUTIES, PORT_OFFSET, do_duties
from alcyon.cli.opening.logs import is_embedded
from alcyon.cli.opening.offices import channels
from alcyon.cli.opening.process import Process, served, stopped_by_signals
from alcyon.cli.opening.starting import hurry, settle, stop_with_parent
from alcyon.cli.showing.options import Detectors, Flag, Port, settings
from alcyon.cli.showing.talk import tell
from alcyon.io.places import place_text

if TYPE_CHECKING:
    from alcyon.detectors.loading import Detector
    from alcyon.settings import Settings

Only = Annotated[Literal["duties"] | None, Parameter(name="--only")]
NoBrowser = Annotated[bool, Parameter(name="--no-browser", negative="")]


def serve(
    *,
    only: Only = None,
    port: Annotated[int | None, Port] = None,
    no_browser: NoBrowser = False,
    catalog: Detectors = "card",
    model: Path | None = None,
    openapi: Flag = False,
) -> int:
    """Serve the API and the console, until stopped.

    Without a broker (kafka.bootstrap) the logs are files in the home, and alcyon run is started
    beside it and ends with it; with one, alcyon run is yours to start. Cases are opened and
    messages delivered by a process of its own, which is started again when it ends: its /metrics,
    /healthz and /readyz are on status.port + 3.

    An example:
        alcyon serve --port 8080

    Parameters
    ----------
    only
        Only those duties, which alcyon serve starts by itself.
    port
        Where to listen; serve.port otherwise.
    no_browser
        Do not open the console.
    model
        The folder of the model to begin with, where nothing was decided yet; see alcyon train.
    openapi
        Only print the API's description, as JSON.
    """
    if openapi:
        from alcyon.api.app import description

        sys.stdout.write(description())
        return 0
    hurry()
    set_to = settings()
    from alcyon.detectors.loading import load_detector

    detector = load_detector(catalog)
    if only == DUTIES:
        process = Process(set_to, (CASES,), Event(), DUTIES)
        with stopped_by_signals(process):
            stop_with_parent(process.stop)
            return served(process, PORT_OFFSET, lambda: do_duties(process, detector))
    return _serve(set_to, detector, model, (port, no_browser))


def _serve(
    set_to: Settings, detector: Detector, model: Path | None, shown: tuple[int | None, bool]
) -> int:
    """shown: the port, and whether no browser is opened."""
    from alcyon.cli.opening.parts import open_parts
    from alcyon.cli.opening.serving import (
        around,
        bound,
        opened_app,
        running,
        show,
        status_ports_free,
        worker_beside,
    )

    process = Process(set_to, (), Event(), "api")
    with ExitStack() as files:
        channels(set_to, files)  # a wrong setting is told before anything starts
    port, no_browser = shown
    wanted = set_to.serve.port if port is None else port
    with (
        closing(bound(set_to.serve.host, wanted)) as listening,
        stopped_by_signals(process),
        ExitStack() as files,
    ):
        shared = around(set_to, detector, model, (process.telemetry, process.log), files)
        status_ports_free(set_to)
        worker = None
        if is_embedded(set_to):
            worker = files.enter_context(worker_beside(detector.name))
        app = opened_app(shared, open_parts)
        duties = ("serve", "--only", DUTIES, "--catalog", detector.name)
        files.enter_context(Beside(DUTIES, duties, process))
        settle()
        with running(app, listening) as server:
            address = f"http://{place_text(set_to.serve.host, listening.getsockname()[1])}"
            tell(f"The console is at {address}, the API is described at {address}/docs")
            if not no_browser:
                show(address)
            while not process.stop.wait(0.2) and not server.should_exit:
                if worker is not None and worker.poll() is not None:
                    process.log.error("worker ended", why=f"alcyon run ended with {worker.poll()}")
                    return worker.returncode or 1
    return 0
