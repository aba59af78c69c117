"""`alcyon serve`"""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event
from typing import Annotated

from cyclopts import Parameter

from alcyon.cli.logs import is_embedded
from alcyon.cli.options import Detectors, Flag, settings
from alcyon.cli.starting import hurry, settle
from alcyon.cli.talk import tell

Port = Annotated[int | None, Parameter(name="--port")]
NoBrowser = Annotated[bool, Parameter(name="--no-browser", negative="")]


def serve(
    *,
    port: Port = None,
    no_browser: NoBrowser = False,
    catalog: Detectors = "card",
    model: Path | None = None,
    openapi: Flag = False,
) -> int:
    """Serve the API and the console, until stopped.

    Without a broker (kafka.bootstrap) the logs are files in the home, and alcyon run is started
    beside it and ends with it; with one, alcyon run is yours to start.

    An example:
        alcyon serve --port 8080

    Parameters
    ----------
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
    from alcyon.cli.parts import open_parts
    from alcyon.cli.process import Process, stopped_by_signals
    from alcyon.cli.serving import around, bound, opened_app, running, show, worker_beside
    from alcyon.detectors.loading import load_detector

    detector = load_detector(catalog)
    process = Process(set_to, (), Event(), "api")
    wanted = set_to.serve.port if port is None else port
    with (
        closing(bound(set_to.serve.host, wanted)) as listening,
        stopped_by_signals(process),
        ExitStack() as files,
    ):
        shared = around(set_to, detector, model, (process.telemetry, process.log), files)
        worker = files.enter_context(worker_beside(catalog)) if is_embedded(set_to) else None
        app = opened_app(shared, open_parts)
        settle()
        with running(app, listening) as server:
            address = f"http://{set_to.serve.host}:{listening.getsockname()[1]}"
            tell(f"The console is at {address}, the API is described at {address}/docs")
            if not no_browser:
                show(address)
            while not process.stop.wait(0.2) and not server.should_exit:
                if worker is not None and worker.poll() is not None:
                    process.log.error("worker ended", why=f"alcyon run ended with {worker.poll()}")
                    return worker.returncode or 1
    return 0
