"""`alcyon run` as a process: what each fault comes to, and that nothing is lost by it."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from alcyon.io.kafka import TopicNames
from alcyon.io.snapshots import snapshot_names
from services import Kafka
from tests.cli.run_process import WORKER, Start, decided, forget, kafka_settings, send, until
from tests.kafka import Broker
from tests.servers import _new_folder

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
        "from alcyon.runners.stream.worker import Worker\n"
        "def run(self, is_stopped, on_step):\n    raise ValueError('secret')\n"
        "Worker.run = run\n"
    )
    run = start(of_broker, *WORKER, "--catalog", str(broken))
    assert run.ended() == 1
    (line,) = run.lines("failed")
    assert (line["kind"], line["error"], line["where"]) == (
        "other", "ValueError", "broken.py:4 in run",
    )  # fmt: skip
    assert "secret" not in "".join(run.raw)
