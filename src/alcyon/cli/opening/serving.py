"""Serving: the app over the parts, in a thread beside whatever else a process does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alcyon.cli.opening.asked import Around, open_intake, open_live
from alcyon.cli.opening.desk import Parts, open_desk
from alcyon.cli.opening.duties import PORT_OFFSET
from alcyon.cli.opening.followed import followed_beside
from alcyon.cli.opening.logs import first_controls, is_embedded
from alcyon.cli.opening.starting import PARENT
from alcyon.domain.errors import LogError, SettingsError
from alcyon.io.places import place_text

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

    from alcyon.detectors.loading import Detector
    from alcyon.sections import ServeSettings
    from alcyon.settings import Settings
    from alcyon.telemetry.lines import Log
    from alcyon.telemetry.metrics import Telemetry

_WS_BYTES_MAX, _WS_QUEUE = 65_536, 8
_BACKLOG = 2_048
_START_S, _END_S = 20.0, 5.0
_WORKER_END_S = 12.0
_WORKER_OFFSETS = (0, 1)
"""Its status port and its projections', from status.port on."""


def bound(host: str, port: int, else_: str = "give another --port") -> socket.socket:
    """A socket that listens there. SettingsError: the port is taken, or the host is not ours; else_
    is what to do then."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise SettingsError(
            f"{place_text(host, port)} cannot be listened on: {error.strerror}; end what does, or "
            f"{else_}"
        ) from error
    return listening


def status_ports_free(set_to: Settings) -> None:
    """SettingsError: somebody else has the status port of a process that is started beside this
    one. Such a process would end, and the duties be started again and again."""
    status = set_to.status
    offsets = (*_WORKER_OFFSETS, PORT_OFFSET) if is_embedded(set_to) else (PORT_OFFSET,)
    for offset in offsets if status.port else ():
        bound(status.host, status.port + offset, "set ALCYON_STATUS__PORT to another").close()


def around(
    set_to: Settings,
    detector: Detector,
    model: Path | None,
    told: tuple[Telemetry, Log],
    files: ExitStack,
) -> Around:
    """The log, held, with what first decides where it is empty; closed with `files`."""
    from alcyon.runners.over_files import begin_intake

    intake = open_intake(set_to, files)
    if is_embedded(set_to):
        from alcyon.io.log import EmbeddedIntake

        assert isinstance(intake, EmbeddedIntake)
        begin_intake(intake, lambda: first_controls(set_to, detector, model))
    controls, follows = followed_beside(set_to, detector, intake, files)
    return Around(set_to, detector, intake, controls, follows, *told, files)


def opened_app(around: Around, open_parts: Callable[[Around], Parts]) -> FastAPI:
    """The app; what it is over is closed with `around.files`."""
    from alcyon.api.app import create_app
    from alcyon.api.guarding import Limits

    live = open_live(around)
    desk = open_desk(around, live, open_parts(around))
    serve: ServeSettings = around.set_to.serve
    limits = Limits(serve.body_bytes_max, serve.requests_per_s, serve.strangers_per_s)
    return create_app(desk, limits)


@contextmanager
def running(app: FastAPI, listening: socket.socket) -> Iterator[uvicorn.Server]:
    """The app served meanwhile, by a thread. It ends by itself only by an error."""
    import uvicorn

    from alcyon.cli.opening.arriving import Arriving

    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=Arriving,
            ws="websockets-sansio",
            ws_max_size=_WS_BYTES_MAX,
            ws_max_queue=_WS_QUEUE,
            ws_per_message_deflate=False,  # messages are small, and slow watchers are many
            access_log=False,
            log_config=None,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=int(_END_S),
        )
    )
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listening]}, name="serving", daemon=True
    )
    thread.start()
    deadline = time.monotonic() + _START_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise LogError("the server did not start; see what was told before")
        time.sleep(0.01)
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(2 * _END_S)


def show(address: str) -> None:
    """Open it in a browser, where there is a screen for one."""
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(address)


@contextmanager
def worker_beside(catalog: str) -> Iterator[subprocess.Popen[bytes]]:
    """`alcyon run` as a process of its own: it ends with us, however we end."""
    command = [sys.executable, "-m", "alcyon.cli", "run", "--catalog", catalog]
    process = subprocess.Popen(command, env={**os.environ, PARENT: str(os.getpid())})
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_WORKER_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
