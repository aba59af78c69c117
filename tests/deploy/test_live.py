"""A real Prometheus and Alertmanager over really running processes: faults are told and end.

The rules and routes are the deployed files, in haste (`services.monitors.hastened`).
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from alcyon.domain.record import Topic
from services import ServiceError
from services.monitors import Monitors, Outside
from services.server import free_ports
from tests.cli.run_process import WORKER, Running, Start, until
from tests.cli.running import transaction
from tests.kafka import Broker
from tests.receiving import MailBox, Receiver, mail_box, receiver
from tests.servers import cannot

PATIENCE_S = 240.0
_PORTS = range(31_000, 32_700)


class Watched:
    """Processes of one Alcyon, and what watches them."""

    def __init__(self, broker: Broker, start: Start, settings: dict[str, object]) -> None:
        self._start, self._settings, self.broker = start, settings, broker
        self._worker_port, self._api_port = free_ports(_PORTS, None, None)
        self.worker = self.start_worker()
        self.api = start(settings, "--no-browser", "--port", str(self._api_port), command="serve")
        self.learner = start(settings, command="learn")
        self.sent = 0

    def start_worker(self) -> Running:
        """At the same port each time."""
        settings = {**self._settings, "STATUS__PORT": self._worker_port}
        self.worker = self._start(settings, *WORKER)
        return self.worker

    def targets(self) -> list[tuple[str, str, str]]:
        """As files in `targets` name them."""
        learner = self.learner.line("status port open")["port"]
        ports = {"worker": self._worker_port, "api": self._api_port, "learner": learner}
        return [(f"alcyon_{name}", name, f"127.0.0.1:{port}") for name, port in ports.items()]

    def send(self, payments: int, poison: int) -> None:
        """So many of each."""
        rows = [transaction(self.sent + i) for i in range(payments)]
        self.sent += payments
        payloads = [json.dumps(row).encode() for row in rows] + [b"{poison"] * poison
        with self.broker.intake() as intake:
            intake.append(Topic.TRANSACTIONS, payloads)


@pytest.fixture
def watched(broker: Broker, of_broker: dict[str, object], start: Start) -> Watched:
    return Watched(broker, start, of_broker)


@pytest.fixture
def slack() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def mails() -> Iterator[MailBox]:
    with mail_box() as made:
        yield made


@pytest.fixture
def monitors(
    watched: Watched,
    slack: Receiver,
    mails: MailBox,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Monitors]:
    outside = Outside(slack.url, f"127.0.0.1:{mails.port}")
    try:
        made = Monitors(tmp_path, watched.targets(), outside)
    except ServiceError as error:
        cannot(request.config, f"no Prometheus for tests: {error}")
    with closing(made):
        yield made


def titles(slack: Receiver) -> list[str]:
    """Of the messages so far."""
    return [json.loads(p.body)["attachments"][0]["title"] for p in list(slack.posted)]


def message(slack: Receiver, title: str) -> dict[str, Any]:
    """The first of this title, waited for."""
    wait(lambda: title in titles(slack))
    told: dict[str, Any] = json.loads(slack.posted[titles(slack).index(title)].body)
    found: dict[str, Any] = told["attachments"][0]
    return found


def wait(holds: Callable[[], bool]) -> None:
    until(holds, PATIENCE_S)


def test_targets_are_up_and_faults_are_told_and_end(
    watched: Watched, monitors: Monitors, slack: Receiver, mails: MailBox
) -> None:
    wait(lambda: monitors.up() == {"worker": True, "api": True, "learner": True})
    ready = 'alcyon_run_readiness_bool{process="worker"}'
    wait(lambda: any(level == 1 for _, level in monitors.query(ready)))

    # 1 A flood of what cannot be used.
    def flooded() -> bool:
        watched.send(5, 20)
        return "AlcyonDeadLetters" in monitors.firing()

    wait(flooded)
    told = message(slack, "critical: AlcyonDeadLetters (worker)")
    assert "/runbook/AlcyonDeadLetters.md" in told["text"]
    assert "cannot be used" in told["text"]
    wait(lambda: "AlcyonDeadLetters" not in monitors.firing())
    message(slack, "over: AlcyonDeadLetters (worker)")
    # Whatever was read became something.
    wait(lambda: [n for _, n in monitors.query("job:alcyon_worker_unaccounted:records")] == [0.0])

    # 2 The worker is killed.
    os.kill(watched.worker.process.pid, signal.SIGKILL)
    wait(lambda: "AlcyonTargetDown" in monitors.firing())
    assert monitors.up() == {"worker": False, "api": True, "learner": True}
    told = message(slack, "critical: AlcyonTargetDown (worker)")
    assert told["title_link"].endswith("/runbook/AlcyonTargetDown.md")
    subject = "critical: AlcyonTargetDown (worker)"
    wait(lambda: subject in [mail["subject"] for mail in mails.mails])
    watched.start_worker()
    wait(lambda: "AlcyonTargetDown" not in monitors.firing())
    message(slack, "over: AlcyonTargetDown (worker)")
