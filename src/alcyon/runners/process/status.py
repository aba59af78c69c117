"""Status: the port with /metrics, /healthz and /readyz, and what a process knows of itself.

The port stands beside the work: whoever connects, and however slowly or often, holds up nobody
else, and takes only a bounded share of the interpreter from the loop that decides.
"""

from __future__ import annotations

import json
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from socketserver import TCPServer
from threading import Lock, Thread
from typing import Protocol, cast

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from alcyon.domain.errors import SettingsError
from alcyon.telemetry.instruments import NAN
from alcyon.telemetry.metrics import Telemetry
from alcyon.telemetry.words import OTHER

BEAT_S_MAX = 60.0
CONNECTIONS_MAX = 64
"""Beyond it the oldest is cut off: whoever comes now is served."""
CONNECTION_S_MAX = 5.0
"""From first byte to last; a scrape takes milliseconds."""
REQUEST_BYTES_MAX = 8192
"""Request line and headers."""
_ACCEPT_PAUSE_S = 0.005
_RENDER_PAUSE_S = 0.05
_SWEEP_S = 0.25

_PLAIN, _JSON = "text/plain; charset=utf-8", "application/json"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"
_OPENMETRICS = "application/openmetrics-text"
_FAILED = b"the status could not be told\n"


class Phase(Enum):
    """Where in its life a process is; ready only while it runs."""

    STARTING = "starting"
    RECOVERING = "recovering"
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"


@dataclass(frozen=True)
class Answer:
    """What /readyz says."""

    ready: bool
    phase: Phase
    reasons: tuple[str, ...]
    """Why it is not ready; empty if it is."""
    notes: tuple[str, ...]
    """What is wrong and no reason to send nobody here."""


def utc_ms() -> int:
    """Now, by this machine's clock."""
    return time.time_ns() // 1_000_000


class Readiness:
    """What the loops of a process tell of themselves. Thread-safe.

    loops: each calls `beat` from `Phase.RUNNING` on, or the process counts as hung. Until then
    nothing is asked of them: a long recovery is no hang.
    """

    def __init__(
        self,
        lag_s_max: float,
        loops: tuple[str, ...] = ("worker",),
        beat_s_max: float = BEAT_S_MAX,
        clock_ms: Callable[[], int] = utc_ms,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lag_s_max, self._beat_s_max = lag_s_max, beat_s_max
        self._clock_ms, self._monotonic_s = clock_ms, monotonic_s
        self._lock = Lock()
        self._phase = Phase.STARTING
        self._beats = dict.fromkeys(loops, monotonic_s())
        self._waits, self._is_lag_known = cast("int | None", None), False
        self._reasons: dict[str, str] = {}
        self._notes: dict[str, str] = {}

    def become(self, phase: Phase) -> None:
        """A failed process stays failed."""
        with self._lock:
            if self._phase is not Phase.FAILED:
                self._phase = phase
            self._beats = dict.fromkeys(self._beats, self._monotonic_s())

    def beat(self, loop: str = "worker") -> None:
        """This loop goes on."""
        with self._lock:
            self._beats[loop] = self._monotonic_s()

    def waits_since(self, time_ms: int | None) -> None:
        """When the log took the oldest record that is known to wait; None: none is."""
        with self._lock:
            self._waits, self._is_lag_known = time_ms, True

    def refuse(self, code: str, why: str | None) -> None:
        """Not ready for this reason; None: no more."""
        with self._lock:
            _put(self._reasons, code, why)

    def note(self, code: str, what: str | None) -> None:
        """Say this beside; None: no more."""
        with self._lock:
            _put(self._notes, code, what)

    def lag_s(self) -> float:
        """Age of the oldest record known to wait, 0 without one, NaN before anything is known."""
        with self._lock:
            if self._waits is None:
                return 0.0 if self._is_lag_known else NAN
            return max(0.0, (self._clock_ms() - self._waits) / 1000)

    def answer(self) -> Answer:
        """Ready or not, as of now."""
        lag_s = self.lag_s()
        with self._lock:
            reasons = [f"{code}: {why}" for code, why in self._reasons.items()]
            if self._phase is not Phase.RUNNING:
                reasons.insert(0, self._phase.value)
            if lag_s > self._lag_s_max:
                reasons.append(
                    f"lag: a record has waited for {lag_s:.1f} s, "
                    f"status.lag_s_max is {self._lag_s_max:g}"
                )
            notes = tuple(f"{code}: {what}" for code, what in self._notes.items())
            return Answer(not reasons, self._phase, tuple(reasons), notes)

    def silent(self) -> tuple[str, ...]:
        """The loops that should have told of themselves and did not: the process hangs."""
        with self._lock:
            if self._phase is not Phase.RUNNING:
                return ()
            oldest = self._monotonic_s() - self._beat_s_max
            return tuple(loop for loop, at in self._beats.items() if at < oldest)


def _put(words: dict[str, str], code: str, what: str | None) -> None:
    if what is None:
        words.pop(code, None)
    else:
        words[code] = what


class StatusServer:
    """Serves from construction to `close`, in threads that end with the process.

    SettingsError: the port cannot be had.
    """

    def __init__(self, host: str, port: int, telemetry: Telemetry, readiness: Readiness) -> None:
        telemetry.worker.lag_seconds.set_function(readiness.lag_s)
        telemetry.process.readiness.set_function(lambda: float(readiness.answer().ready))
        self._server = _bound(host, port, _Pages(telemetry, readiness))
        self._thread = Thread(
            target=self._server.serve_forever, args=(_SWEEP_S,), name="status", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Called once, last; who is being served is cut off."""
        self._server.shutdown()
        self._server.server_close()
        self._server.cut_off(0)
        self._thread.join()


@dataclass(frozen=True)
class _Page:
    code: int
    kind: str
    body: bytes


class _Pages:
    """What there is to see."""

    def __init__(self, telemetry: Telemetry, readiness: Readiness) -> None:
        self._telemetry, self._readiness = telemetry, readiness
        self._texts = {
            _METRICS: _Rendered(telemetry.registry, generate_latest),
            openmetrics.CONTENT_TYPE_LATEST: _Rendered(
                telemetry.registry, openmetrics.generate_latest
            ),
        }

    def page(self, path: str, accept: str) -> _Page:
        """The page at a path; never raises."""
        try:
            match path:
                case "/metrics":
                    kind = openmetrics.CONTENT_TYPE_LATEST if _OPENMETRICS in accept else _METRICS
                    return _Page(200, kind, self._texts[kind].text())
                case "/healthz":
                    return self._health()
                case "/readyz":
                    return self._ready()
        except Exception:
            # Whatever it is, it is not the worker's: it is counted, and the port goes on.
            self._telemetry.process.failures.add(OTHER)
            return _Page(500, _PLAIN, _FAILED)
        return _Page(404, _PLAIN, b"there are /metrics, /healthz and /readyz\n")

    def _health(self) -> _Page:
        phase, silent = self._readiness.answer().phase, self._readiness.silent()
        alive = not silent and phase is not Phase.FAILED
        body = {"alive": alive, "phase": phase.value, "silent": silent}
        return _Page(200 if alive else 503, _JSON, _line(body))

    def _ready(self) -> _Page:
        answer = self._readiness.answer()
        body = {
            "ready": answer.ready, "phase": answer.phase.value, "reasons": answer.reasons,
            "notes": answer.notes,
        }  # fmt: skip
        return _Page(200 if answer.ready else 503, _JSON, _line(body))


def _line(body: object) -> bytes:
    return json.dumps(body).encode() + b"\n"


class _Render(Protocol):
    def __call__(self, registry: CollectorRegistry) -> bytes: ...


class _Rendered:
    """The metrics as text, made at most 20 times a second: all who wait get the same, none an older
    one than they asked for."""

    def __init__(self, registry: CollectorRegistry, render: _Render) -> None:
        self._registry, self._render = registry, render
        self._lock, self._begun, self._text = Lock(), float("-inf"), b""

    def text(self) -> bytes:
        """As of now."""
        asked = time.monotonic()
        with self._lock:
            if self._begun < asked:
                time.sleep(max(0.0, self._begun + _RENDER_PAUSE_S - time.monotonic()))
                begun = time.monotonic()
                self._begun, self._text = begun, self._render(self._registry)
            return self._text


def _bound(host: str, port: int, pages: _Pages) -> _Server:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise SettingsError(f"status.host {host} is no address of this machine: {error}") from None
    try:
        return _Server(family, (str(address[0]), port), pages)
    except OSError as error:
        raise SettingsError(
            f"status.port {port} on {host} cannot be used ({error.strerror}): set "
            "ALCYON_STATUS__PORT to another, or to 0 for a free one"
        ) from None


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, family: int, address: tuple[str, int], pages: _Pages) -> None:
        self.address_family = socket.AddressFamily(family)
        self.pages = pages
        self._open: OrderedDict[socket.socket, float] = OrderedDict()
        self._open_lock = Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Without the name look-up of `HTTPServer`, which may take seconds."""
        TCPServer.server_bind(self)

    def get_request(self) -> tuple[socket.socket, object]:
        try:
            return super().get_request()
        except OSError:  # no descriptor is left: not again at once
            time.sleep(_RENDER_PAUSE_S)
            raise

    def process_request(self, request: object, client_address: object) -> None:
        with self._open_lock:
            self._open[cast(socket.socket, request)] = time.monotonic() + CONNECTION_S_MAX
        super().process_request(request, client_address)  # type: ignore[arg-type]
        time.sleep(_ACCEPT_PAUSE_S)  # a flood waits in the backlog, and takes no processor time

    def shutdown_request(self, request: object) -> None:
        with self._open_lock:
            self._open.pop(cast(socket.socket, request), None)
        super().shutdown_request(request)  # type: ignore[arg-type]

    def service_actions(self) -> None:
        """Called after each connection, and while there is none."""
        self.cut_off(CONNECTIONS_MAX)

    def cut_off(self, connections_max: int) -> None:
        """End the connections that last too long, and the oldest of too many."""
        now = time.monotonic()
        with self._open_lock:
            while self._open:
                oldest, until = next(iter(self._open.items()))
                if len(self._open) <= connections_max and until > now:
                    return
                del self._open[oldest]
                with suppress(OSError):  # it has ended by itself
                    oldest.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no error of ours."""


class _Bounded:
    """Reads lines until `REQUEST_BYTES_MAX` are read, then none."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream, self.left = stream, REQUEST_BYTES_MAX

    def readline(self, size: int = -1) -> bytes:
        line = self._stream.readline(self.left if size < 0 else min(size, self.left))
        self.left -= len(line)
        return line

    def close(self) -> None:
        self._stream.close()


class _Handler(BaseHTTPRequestHandler):
    timeout = CONNECTION_S_MAX
    raw_requestline: bytes
    rfile: _Bounded  # type: ignore[assignment]

    def setup(self) -> None:
        super().setup()
        self.rfile = _Bounded(cast(BufferedIOBase, self.rfile))

    def parse_request(self) -> bool:
        self.requestline, self.request_version, self.command = "", "", ""
        if self.raw_requestline[-1:] != b"\n":
            self.send_error(414)
            return False
        if not super().parse_request():
            return False
        if self.rfile.left <= 0:
            self.send_error(431)
            return False
        return True

    def do_GET(self) -> None:
        server = cast(_Server, self.server)
        path = self.path.partition("?")[0]
        self._send(server.pages.page(path, self.headers.get("Accept", "")))

    do_HEAD = do_GET  # noqa: N815

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Few words, and nothing of what was sent."""
        code = 405 if code == 501 else int(code)
        self._send(_Page(code, _PLAIN, f"{code} {self.responses[code][0]}\n".encode()))

    def _send(self, page: _Page) -> None:
        self.send_response_only(page.code)
        if page.code == 405:
            self.send_header("Allow", "GET, HEAD")
        self.send_header("Content-Type", page.kind)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: what a client sends stands in no log."""
