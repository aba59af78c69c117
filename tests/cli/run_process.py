"""`alcyon run`, and what runs beside it, as processes on topics of a test's own."""

from __future__ import annotations

import json
import math
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
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import TopicPartition

from alcyon.domain.record import Topic
from alcyon.io.kafka import TopicNames
from tests.cli.running import transaction
from tests.kafka import Broker

WAIT_S = 60.0
WORKER = ("--only", "worker")


class Running:
    """`alcyon run`, or another command that runs on, in a process of its own."""

    def __init__(
        self,
        environment: Mapping[str, object],
        *arguments: str,
        before: Callable[[], object] = lambda: None,
        command: str = "run",
    ) -> None:
        named = {k: v for k, v in os.environ.items() if not k.startswith("ALCYON_")}
        named |= {f"ALCYON_{key}": str(value) for key, value in environment.items()}
        named.setdefault("ALCYON_STATUS__PORT", "0")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "alcyon.cli", command, *arguments],
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
        """A metric's value; not a number where it is not there (yet)."""
        found = [x for x in self.get("/metrics")[1].splitlines() if x.startswith(f"alcyon_{name} ")]
        return float(found[0].rpartition(" ")[2]) if found else math.nan

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


def child_of(pid: int, word: str) -> int | None:
    """The process that another one started with this word among its arguments."""
    command = ["ps", "-o", "pid=,args=", "--ppid", str(pid)]
    shown = subprocess.run(command, capture_output=True, check=False, text=True).stdout
    return next((int(x.split()[0]) for x in shown.splitlines() if word in x.split()), None)


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
        environment: Mapping[str, object],
        *arguments: str,
        before: Callable[[], object] = int,
        command: str = "run",
    ) -> Running:
        given = {"HOME": home, **environment}
        if command == "run":
            arguments = arguments or WORKER
        running.append(Running(given, *arguments, before=before, command=command))
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


def forget(broker: Broker, topic: str, before: int) -> None:
    """Let a topic drop its first records, as retention does."""
    client = AdminClient(broker.connection.config())
    for future in client.delete_records([TopicPartition(topic, 0, before)]).values():
        future.result(10)
