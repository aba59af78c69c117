"""The status port over real HTTP, with good, slow and hostile clients."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from alcyon.domain.errors import SettingsError
from alcyon.runners.process import status
from alcyon.runners.process.status import Phase, Readiness, StatusServer
from alcyon.telemetry.metrics import Telemetry
from alcyon.telemetry.words import VERSIONS

HOST = "127.0.0.1"
NOW = 1_700_000_000_000


@dataclass
class Site:
    """A server, and clocks that stand until a test moves them."""

    now_ms: int = NOW
    monotonic_s: float = 100.0
    telemetry: Telemetry = field(default_factory=Telemetry)

    def __post_init__(self) -> None:
        self.readiness = Readiness(
            5.0, clock_ms=lambda: self.now_ms, monotonic_s=lambda: self.monotonic_s
        )
        self.server = StatusServer(HOST, 0, self.telemetry, self.readiness)

    def get(self, path: str, method: str = "GET", accept: str = "") -> tuple[HTTPResponse, str]:
        """The answer and its body."""
        connection = HTTPConnection(HOST, self.server.port, timeout=10)
        connection.request(method, path, headers={"Accept": accept} if accept else {})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer, body

    def ready(self) -> tuple[int, dict[str, object]]:
        """Status and body of /readyz."""
        answer, body = self.get("/readyz")
        return answer.status, json.loads(body)

    def connected(self) -> socket.socket:
        """A connection that has sent nothing yet."""
        return socket.create_connection((HOST, self.server.port), timeout=10)

    def metric(self, name: str) -> float | None:
        """A value of /metrics."""
        _, body = self.get("/metrics")
        return {s.name: s.value for f in parse(body) for s in f.samples}.get(name)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.server.close()


def test_metrics_are_prometheus_text(site: Site) -> None:
    site.telemetry.worker.decisions.add("DECLINE", 2)
    answer, body = site.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["Content-Length"] == str(len(body.encode()))
    values = {(s.name, *s.labels.values()): s.value for f in parse(body) for s in f.samples}
    assert values["alcyon_worker_decisions_total", "DECLINE"] == 2
    assert values["alcyon_worker_decisions_total", "APPROVE"] == 0


def test_metrics_are_openmetrics_for_who_asks(site: Site) -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    answer, body = site.get("/metrics", accept=accept)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.endswith("# EOF\n")
    assert len(list(parse_openmetrics(body))) > 30  # type: ignore[no-untyped-call]


def test_no_answer_is_older_than_its_question(site: Site) -> None:
    for count in range(1, 6):
        site.telemetry.worker.alerts.inc()
        assert site.metric("alcyon_worker_alerts_total") == count


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/nothing"])
def test_head_has_the_head_alone(site: Site, path: str) -> None:
    got, body = site.get(path)
    head, nothing = site.get(path, method="HEAD")
    assert (head.status, nothing) == (got.status, "")
    if path != "/metrics":  # the process's own figures change their length
        assert head.headers["Content-Length"] == str(len(body))


def test_head_sends_no_byte_more(site: Site) -> None:
    with site.connected() as connection:
        connection.sendall(b"HEAD /metrics HTTP/1.0\r\n\r\n")
        assert _answer(connection).endswith(b"\r\n\r\n")


@pytest.mark.parametrize("path", ["/", "/metricsx", "/metrics/", "/../metrics"])
def test_other_paths_are_not_found(site: Site, path: str) -> None:
    assert site.get(path)[0].status == 404


def test_a_query_is_no_part_of_the_path(site: Site) -> None:
    assert site.get("/healthz?x=1")[0].status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "<script>"])
def test_other_methods_are_refused_without_an_echo(site: Site, method: str) -> None:
    answer, body = site.get("/metrics", method=method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert "<" not in body


def test_neither_server_nor_python_is_named(site: Site) -> None:
    answer, _ = site.get("/healthz")
    assert answer.headers["Server"] is None


def test_ready_while_it_runs_only(site: Site) -> None:
    seen = [site.ready()]
    for phase in (Phase.RECOVERING, Phase.RUNNING, Phase.STOPPING):
        site.readiness.become(phase)
        seen.append(site.ready())
    assert [code for code, _ in seen] == [503, 503, 200, 503]
    assert [body["ready"] for _, body in seen] == [False, False, True, False]
    assert [body["reasons"] for _, body in seen] == [["starting"], ["recovering"], [], ["stopping"]]


def test_readiness_is_a_metric(site: Site) -> None:
    assert site.metric("alcyon_run_readiness_bool") == 0
    site.readiness.become(Phase.RUNNING)
    assert site.metric("alcyon_run_readiness_bool") == 1


def test_failed_is_for_ever(site: Site) -> None:
    for phase in (Phase.RUNNING, Phase.FAILED, Phase.STOPPING, Phase.RUNNING):
        site.readiness.become(phase)
    assert site.ready()[1]["reasons"] == ["failed"]
    assert site.get("/healthz")[0].status == 503


def test_not_ready_while_a_record_waits_too_long(site: Site) -> None:
    site.readiness.become(Phase.RUNNING)
    assert site.metric("alcyon_worker_lag_seconds") != 0  # NaN: not known
    site.readiness.waits_since(NOW)
    site.now_ms = NOW + 5000
    assert site.ready()[0] == 200
    site.now_ms = NOW + 5001
    code, body = site.ready()
    assert code == 503
    assert body["reasons"] == ["lag: a record has waited for 5.0 s, status.lag_s_max is 5"]
    assert site.metric("alcyon_worker_lag_seconds") == 5.001
    site.readiness.waits_since(None)
    assert site.ready()[0] == 200
    assert site.metric("alcyon_worker_lag_seconds") == 0


def test_a_clock_that_is_behind_the_logs_gives_no_negative_lag(site: Site) -> None:
    site.readiness.waits_since(NOW + 60_000)
    assert site.metric("alcyon_worker_lag_seconds") == 0


def test_reasons_come_and_go_one_by_one(site: Site) -> None:
    site.readiness.become(Phase.RUNNING)
    site.readiness.refuse("broker_away", "see the log")
    site.readiness.refuse("older_snapshot_out_of_reach", "it stands at 4")
    assert site.ready() == (503, {
        "ready": False, "phase": "running", "notes": [],
        "reasons": ["broker_away: see the log", "older_snapshot_out_of_reach: it stands at 4"],
    })  # fmt: skip
    site.readiness.refuse("broker_away", None)
    site.readiness.refuse("never_was", None)
    assert site.ready()[1]["reasons"] == ["older_snapshot_out_of_reach: it stands at 4"]
    site.readiness.refuse("older_snapshot_out_of_reach", None)
    assert site.ready()[0] == 200


def test_a_missing_model_is_said_and_no_reason(site: Site) -> None:
    site.readiness.become(Phase.RUNNING)
    site.readiness.note("model_missing", "rules decide")
    code, body = site.ready()
    assert (code, body["notes"]) == (200, ["model_missing: rules decide"])


def test_alive_while_the_loop_beats(site: Site) -> None:
    site.readiness.become(Phase.RUNNING)
    for _ in range(3):
        site.monotonic_s += 60
        assert site.get("/healthz")[0].status == 200
        site.readiness.beat()
    site.monotonic_s += 60.1
    answer, body = site.get("/healthz")
    assert answer.status == 503
    assert json.loads(body) == {"alive": False, "phase": "running", "silent": ["worker"]}
    site.readiness.beat()
    assert site.get("/healthz")[0].status == 200


def test_a_loop_that_never_beats_hangs(site: Site) -> None:
    site.monotonic_s += 1000
    site.readiness.become(Phase.RUNNING)
    assert site.get("/healthz")[0].status == 200
    site.monotonic_s += 61
    assert site.get("/healthz")[0].status == 503


def test_one_loop_does_not_beat_for_another(site: Site) -> None:
    site.readiness.become(Phase.RUNNING)
    site.readiness.beat("projection")
    site.monotonic_s += 61
    site.readiness.beat("worker")
    assert json.loads(site.get("/healthz")[1])["silent"] == ["projection"]


def test_a_long_recovery_is_no_hang(site: Site) -> None:
    site.readiness.become(Phase.RECOVERING)
    site.monotonic_s += 10_000
    assert site.get("/healthz")[0].status == 200


def test_a_taken_port_is_one_clear_line(site: Site) -> None:
    with pytest.raises(SettingsError, match=r"^status\.port \d+ on .* ALCYON_STATUS__PORT"):
        StatusServer(HOST, site.server.port, Telemetry(), Readiness(5.0))


def test_a_host_that_is_not_ours_is_one_clear_line() -> None:
    with pytest.raises(SettingsError, match=r"^status\."):
        StatusServer("192.0.2.1", 0, Telemetry(), Readiness(5.0))
    with pytest.raises(SettingsError, match=r"^status\.host"):
        StatusServer("no such host", 0, Telemetry(), Readiness(5.0))


def test_a_closed_server_gives_its_port_back() -> None:
    first = StatusServer(HOST, 0, Telemetry(), Readiness(5.0))
    port = first.port
    first.close()
    StatusServer(HOST, port, Telemetry(), Readiness(5.0)).close()


def test_a_fault_of_the_page_is_500_and_counted(site: Site) -> None:
    site.telemetry.worker.lag_records.set_function(lambda: 1 / 0)
    assert site.get("/metrics")[0].status == 500
    value = site.telemetry.registry.get_sample_value
    site.telemetry.worker.lag_records.set_function(lambda: 1)
    assert value("alcyon_run_failures_total", {"kind": "other"}) == 1
    assert site.get("/metrics")[0].status == 200


def _answer(connection: socket.socket) -> bytes:
    """All that comes until the end; a reset is an end too."""
    got = b""
    try:
        while part := connection.recv(65536):
            got += part
    except ConnectionError:
        pass
    return got


def test_a_long_request_line_is_refused(site: Site) -> None:
    with site.connected() as connection:
        connection.sendall(b"GET /" + b"x" * (status.REQUEST_BYTES_MAX - 5))
        assert _answer(connection).startswith(b"HTTP/1.0 414 ")
    assert site.get("/healthz")[0].status == 200


def test_long_headers_are_refused(site: Site) -> None:
    head = b"GET /healthz HTTP/1.1\r\n"
    with site.connected() as connection:
        connection.sendall(head + (b"X: " + b"y" * 100 + b"\r\n") * 90)
        assert _answer(connection).startswith(b"HTTP/1.0 431 ")


@pytest.mark.parametrize(
    "sent", [b"\r\n", b"GET\r\n", b"\x00\xff\r\n\r\n", b"GET /metrics HTTP/9.9\r\n\r\n", b""]
)
def test_what_is_no_request_harms_nobody(site: Site, sent: bytes) -> None:
    with site.connected() as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        assert b"200 OK" not in _answer(connection)
    assert site.get("/healthz")[0].status == 200


def test_slow_clients_hold_up_nobody(site: Site) -> None:
    slow = [site.connected() for _ in range(status.CONNECTIONS_MAX + 20)]
    try:
        for connection in slow[-30:]:
            connection.sendall(b"GET /metrics HTT")
        started = time.monotonic()
        assert site.get("/healthz")[0].status == 200
        assert site.get("/metrics")[0].status == 200
        assert time.monotonic() - started < 2
        handlers = [t for t in threading.enumerate() if "process_request_thread" in t.name]
        assert len(handlers) <= status.CONNECTIONS_MAX + 1
    finally:
        for connection in slow:
            connection.close()


def test_who_drips_is_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "CONNECTION_S_MAX", 0.5)
    started = time.monotonic()
    with site.connected() as connection:
        try:
            while time.monotonic() - started < 5:
                connection.sendall(b"x")
                time.sleep(0.05)
        except ConnectionError:
            pass
    assert 0.4 < time.monotonic() - started < 3


def test_who_does_not_read_is_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "CONNECTION_S_MAX", 0.5)
    site.telemetry.worker.versions(dict.fromkeys(VERSIONS, "x" * 4_000_000))
    with site.connected() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        started = time.monotonic()
        while not _handlers():
            time.sleep(0.01)
        while time.monotonic() - started < 5 and _handlers():
            time.sleep(0.05)
        assert 0.4 < time.monotonic() - started < 3


def _handlers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if "process_request_thread" in t.name]


def test_a_flood_is_answered_from_few_renderings(site: Site) -> None:
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            try:
                site.get("/metrics")
            except OSError:
                continue

    renders_before = _pace_of_renders(site, 0.0)
    clients = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for client in clients:
        client.start()
    renders = _pace_of_renders(site, 1.0)
    ended.set()
    for client in clients:
        client.join()
    assert renders_before == 0
    assert 2 <= renders <= 21


def _pace_of_renders(site: Site, seconds: float) -> int:
    """How often the metrics were rendered in so many seconds."""
    renders = [0]

    def count() -> float:
        renders[0] += 1
        return 0.0

    site.telemetry.worker.lag_records.set_function(count)
    time.sleep(seconds)
    return renders[0]
