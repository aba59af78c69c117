"""`alcyon run` as a process: what each fault comes to, and that nothing is lost by it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import msgspec
import pytest

from alcyon.domain.record import Topic
from alcyon.io.kafka import TopicNames
from services import Kafka
from tests.cli.running import transaction
from tests.kafka import Broker

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


def dead(broker: Broker) -> list[str]:
    """The reasons of all dead letters."""
    log, found, index = broker.commits(), list[str](), 0
    while log.last() is not None and (commits := log.read(index, 500)):
        index += len(commits)
        found += [json.loads(d)["reason"] for c in commits for d in c.dead_letters]
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
    until(lambda: run.metric("worker_next_sequence") >= 6)
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
