"""`alcyon run` as a process: what each fault comes to, and that nothing is lost by it."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import msgspec
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import TopicPartition

from alcyon.domain.record import Topic
from alcyon.io.kafka import TopicNames
from alcyon.io.snapshots import snapshot_names
from services import Kafka
from services.process import started
from tests.cli.running import transaction
from tests.kafka import Broker
from tests.servers import _new_folder

WAIT_S = 60.0
WORKER = ("--only", "worker")


class Running:
    """`alcyon run` in a process of its own."""

    def __init__(
        self,
        environment: Mapping[str, object],
        *arguments: str,
        before: Callable[[], object] = lambda: None,
    ) -> None:
        named = {k: v for k, v in os.environ.items() if not k.startswith("ALCYON_")}
        named |= {f"ALCYON_{key}": str(value) for key, value in environment.items()}
        named.setdefault("ALCYON_STATUS__PORT", "0")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "alcyon.cli", "run", *arguments],
            env=named, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=before,  # noqa: PLW1509
        )  # fmt: skip
        self.raw: list[str] = []
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.raw.extend(iter(self.process.stderr.readline, ""))

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The lines of an event so far."""
        told = [json.loads(line) for line in list(self.raw) if line.startswith("{")]
        return [line for line in told if line["event"] == event]

    def line(self, event: str, count: int = 1) -> dict[str, Any]:
        """The line of an event, waited for."""
        until(lambda: len(self.lines(event)) >= count or self.process.poll() is not None)
        assert len(self.lines(event)) >= count, self.raw
        return self.lines(event)[count - 1]

    def get(self, path: str) -> tuple[int, str]:
        """A page of the status port."""
        try:
            with urlopen(f"http://127.0.0.1:{self.line('status port open')['port']}{path}") as page:
                return page.status, page.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str) -> float:
        """A metric's value."""
        found = [x for x in self.get("/metrics")[1].splitlines() if x.startswith(f"alcyon_{name} ")]
        return float(found[0].rpartition(" ")[2])

    def comes_to(self, sequence: int) -> None:
        """Wait until so many records are decided."""
        until(lambda: self.metric("worker_next_sequence") >= sequence)

    def stop(self, within_s: float = 10.0) -> int:
        """Its exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended(within_s)

    def ended(self, within_s: float = WAIT_S) -> int:
        """Its exit code."""
        code = self.process.wait(within_s)
        self._reader.join(5.0)
        return code


Start = Callable[..., Running]


def until(holds: Callable[[], bool], within_s: float = WAIT_S) -> None:
    """Wait for it; TimeoutError."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)


def kafka_settings(
    bootstrap: str, names: TopicNames | None = None, mark: str = "x", **more: object
) -> dict[str, object]:
    """As variables."""
    named = {} if names is None else {n: getattr(names, n) for n in names.__dataclass_fields__}
    given = {"bootstrap": bootstrap, "transactional_id": mark, **named, **more}
    return {f"KAFKA__{name.upper()}": value for name, value in given.items()}


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Starts processes, which end with the test."""
    running: list[Running] = []

    def begin(
        environment: Mapping[str, object], *arguments: str, before: Callable[[], object] = int
    ) -> Running:
        given = {"HOME": home, **environment}
        running.append(Running(given, *(arguments or WORKER), before=before))
        return running[-1]

    yield begin
    for each in running:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def of_broker(broker: Broker) -> dict[str, object]:
    """Settings of this test's topics."""
    return kafka_settings(broker.connection.bootstrap, broker.names, broker.transactional_id)


def send(broker: Broker, first: int, count: int = 1, **given: Any) -> None:
    """Plain payments."""
    rows = [transaction(i, **given) for i in range(first, first + count)]
    with broker.intake() as intake:
        intake.append(Topic.TRANSACTIONS, [msgspec.json.encode(row) for row in rows])


def decided(broker: Broker) -> list[str]:
    """The ids of all decisions."""
    log, found, index = broker.commits(), list[str](), 0
    while log.last() is not None and (commits := log.read(index, 500)):
        index += len(commits)
        found += [json.loads(d)["transaction_id"] for c in commits for d in c.decisions]
    log.close()
    return found


SECURE = {
    "scram": lambda k: kafka_settings(
        k.sasl_ssl_bootstrap, security="SASL_SSL", username=k.username, password=k.password, ca=k.ca
    ),
    "mtls": lambda k: kafka_settings(
        k.mtls_bootstrap, security="SSL", ca=k.ca, certificate=k.certificate,
        certificate_key=k.certificate_key,
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", SECURE)
def test_it_decides_through_a_listener_that_asks_who_it_is(
    how: str, kafka: Kafka, broker: Broker, of_broker: dict[str, object], start: Start
) -> None:
    run = start(of_broker | {k: v for k, v in SECURE[how](kafka).items() if "TRANS" not in k})
    run.line("worker started")
    send(broker, 0, 3)
    run.comes_to(6)
    assert run.get("/readyz")[0] == 200
    assert decided(broker) == ["t0", "t1", "t2"]
    assert run.stop() == 0


WRONG: dict[str, tuple[Callable[[Kafka], dict[str, object]], str]] = {
    "password": (
        lambda k: SECURE["scram"](k) | {"KAFKA__PASSWORD": "secret-wrong"},
        "kafka.username and kafka.password",
    ),
    "ca": (lambda k: SECURE["scram"](k) | {"KAFKA__CA": k.certificate}, "kafka.ca"),
    "mechanism": (
        lambda k: SECURE["scram"](k) | {"KAFKA__SASL_MECHANISM": "SCRAM-SHA-256"},
        "kafka.sasl_mechanism",
    ),
    "no certificate": (
        lambda k: kafka_settings(k.mtls_bootstrap, security="SSL", ca=k.ca),
        "kafka.certificate and kafka.certificate_key",
    ),
    "plain listener": (
        lambda k: kafka_settings(k.bootstrap, security="SSL", ca=k.ca),
        "kafka.security",
    ),
    "topics missing in production": (
        lambda k: (
            kafka_settings(k.bootstrap, TopicNames(*"abcdefg"))
            | {"ENVIRONMENT": "production", "TOKEN__KEY": "a-key-of-this-test-alone"}
        ),
        "kafka-topics.sh --bootstrap-server",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_waiting_does_not_cure_ends_it_with_one_line(
    what: str, kafka: Kafka, start: Start
) -> None:
    made, look = WRONG[what]
    run = start(made(kafka))
    assert run.ended() == 1
    (line,) = run.lines("failed")  # a slow machine may have told "broker away" before
    assert line["kind"] == "settings"
    assert look in line["error"]
    assert "secret" not in "".join(run.raw)


def test_a_status_port_that_is_taken_is_one_line(
    of_broker: dict[str, object], start: Start
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        run = start(of_broker | {"STATUS__PORT": taken.getsockname()[1]})
        assert run.ended() == 2
    (line,) = run.raw
    assert "ALCYON_STATUS__PORT" in line


def test_a_second_worker_fences_the_first(
    broker: Broker, of_broker: dict[str, object], start: Start
) -> None:
    first = start(of_broker)
    first.line("worker started")
    first.comes_to(3)
    second = start(of_broker)
    second.line("worker started")
    send(broker, 0, 5)
    assert first.ended() == 3
    (line,) = first.lines("fenced by a later worker")
    assert (line["kind"], "kafka.transactional_id" in line["error"]) == ("fenced", True)
    second.comes_to(8)
    assert decided(broker) == [f"t{i}" for i in range(5)]
    assert second.stop() == 0


def test_stopped_under_load_it_goes_on_with_no_replay_then_with_one_snapshot_less(
    broker: Broker, of_broker: dict[str, object], start: Start, home: Path
) -> None:
    run = start(of_broker | {"WORKER__BATCH_MAX": 50})
    run.line("worker started")
    send(broker, 0, 6_000)
    run.comes_to(100)
    began = time.monotonic()
    assert run.stop() == 0
    assert time.monotonic() - began < 10
    at = run.line("worker stopped")["next_sequence"]
    assert len(decided(broker)) == at - 3 < 6_000
    run = start(of_broker)
    started = run.line("worker started")
    assert (started["replayed"], started["next_sequence"]) == (0, at)
    run.comes_to(6_003)
    until(lambda: run.metric("worker_lag_records") == run.metric("worker_lag_seconds") == 0)
    assert run.stop() == 0
    assert decided(broker) == [f"t{i}" for i in range(6_000)]

    newest, older = snapshot_names(home / "snapshots")
    torn = home / "snapshots" / newest
    torn.write_bytes(torn.read_bytes()[:-20])
    run = start(of_broker)
    started = run.line("worker started")
    assert (started["snapshot"], started["replayed"]) == (older, 6_003 - at)
    assert run.line("snapshot refused")["snapshot"] == newest
    assert run.metric("worker_refused_snapshots_total") == 1
    assert run.get("/readyz")[0] == 200
    assert run.stop() == 0

    forget(broker, broker.names.transactions, 5_999)
    run = start(of_broker)
    assert f"it stands at {at}" in run.line("older snapshot out of reach")["why"]
    code, said = run.get("/readyz")
    assert (code, "older_snapshot_out_of_reach" in said) == (503, True)
    assert run.stop() == 0


def test_a_full_disk_stops_no_decision(
    broker: Broker, of_broker: dict[str, object], start: Start
) -> None:
    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    run = start(of_broker | {"WORKER__SNAPSHOT_EVERY": 20}, before=full)
    run.line("worker started")
    send(broker, 0, 30)
    assert "make room" in run.line("snapshot failed")["why"]
    send(broker, 30, 10)
    run.comes_to(43)
    assert run.metric('worker_snapshots_total{outcome="failed"}') >= 1
    assert len(decided(broker)) == 40
    assert run.stop() == 0


def test_a_broker_that_comes_late_and_falls_silent(start: Start) -> None:
    folder = _new_folder()
    try:
        facts = folder.up(["kafka"])["kafka"]
        assert isinstance(facts, Kafka)
        broker = Broker.of(facts.bootstrap)
        named = kafka_settings(facts.bootstrap, broker.names, "w") | {"WORKER__BATCH_MAX": 20}
        folder.down(keep=True)
        run = start(named)
        assert "kafka.bootstrap" in run.line("broker away")["why"]
        assert run.get("/readyz")[0] == 503
        assert run.metric("broker_away_bool") == 1
        folder.up(["kafka"])
        run.line("worker started")
        assert len(run.lines("broker away")) == len(run.lines("broker back")) == 1
        server = next(s.process for s in folder.status() if s.process)

        send(broker, 0, 2_000)
        run.comes_to(50)

        os.kill(server.pid, signal.SIGSTOP)
        time.sleep(1.0)  # now a commit waits for it
        assert run.stop() == 0
        assert run.lines("stopped while waiting")
        os.kill(server.pid, signal.SIGCONT)
        run = start(named)
        run.comes_to(2_003)
        assert decided(broker) == [f"t{i}" for i in range(2_000)]
        assert run.stop() == 0
    finally:
        for status in folder.status():
            if status.process:
                os.kill(status.process.pid, signal.SIGCONT)
        folder.down()
        shutil.rmtree(folder.path, ignore_errors=True)


def test_an_unexpected_error_is_told_by_type_and_place(
    of_broker: dict[str, object], start: Start, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text(
        "from alcyon.detectors.card import catalog\n"
        "from alcyon.runners.worker import Worker\n"
        "def step(self):\n    raise ValueError('secret')\n"
        "Worker.step = step\n"
    )
    run = start(of_broker, *WORKER, "--catalog", str(broken))
    assert run.ended() == 1
    (line,) = run.lines("failed")
    assert (line["kind"], line["error"], line["where"]) == (
        "other", "ValueError", "broken.py:4 in step",
    )  # fmt: skip
    assert "secret" not in "".join(run.raw)


def test_projections_end_with_the_worker_however_it_ends(
    broker: Broker, of_broker: dict[str, object], start: Start, home: Path
) -> None:
    run = start(of_broker, "--catalog", "card")
    send(broker, 0, 4)
    run.line("projection starting")
    store = home / "alcyon.sqlite"
    until(lambda: store.exists() and counted(store) == 4)
    (child,) = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text().split()
    run.process.kill()
    until(lambda: started(int(child)) is None)


def counted(store: Path) -> int:
    """Decisions in the projection; 0 while there is no table."""
    with closing(sqlite3.connect(store)) as database, suppress(sqlite3.OperationalError):
        return int(database.execute("SELECT count(*) FROM decisions").fetchone()[0])
    return 0


def forget(broker: Broker, topic: str, before: int) -> None:
    """Let a topic drop its first records, as retention does."""
    client = AdminClient(broker.connection.config())
    for future in client.delete_records([TopicPartition(topic, 0, before)]).values():
        future.result(10)
