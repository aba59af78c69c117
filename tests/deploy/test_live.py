"""A real Prometheus and Alertmanager over really running processes: faults are told and end.

The rules and routes are the deployed files, in haste (`services.monitors.hastened`).
"""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from alcyon.domain.record import Topic
from services import ServiceError
from services.monitors import RUNBOOKS_URL, Monitors, Outside, Target
from services.server import free_ports
from tests.cli.run_process import WORKER, Start, child_of, until
from tests.cli.running import transaction
from tests.kafka import Broker
from tests.receiving import MailBox, Receiver, mail_box, receiver
from tests.servers import cannot

PATIENCE_S = 240.0
_PORTS = range(31_000, 32_700)
Watch = Callable[..., Monitors]


@pytest.fixture
def slack() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def mails() -> Iterator[MailBox]:
    with mail_box() as made:
        yield made


@pytest.fixture
def watch(
    slack: Receiver, mails: MailBox, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Watch]:
    """Starts what watches these targets."""
    with ExitStack() as files:

        def begin(*targets: Target) -> Monitors:
            outside = Outside(slack.url, f"127.0.0.1:{mails.port}")
            try:
                made = Monitors(tmp_path / "monitors", targets, outside)
            except ServiceError as error:
                cannot(request.config, f"no Prometheus for tests: {error}")
            return files.enter_context(closing(made))

        yield begin


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


def target(process: str, port: int) -> Target:
    """As files in `targets` name it."""
    return f"alcyon_{process}", process, f"127.0.0.1:{port}"


def test_all_jobs_are_up_and_a_killed_worker_is_told_until_it_is_back(
    start: Start, watch: Watch, slack: Receiver, mails: MailBox
) -> None:
    api_port, port = free_ports(_PORTS, None, None)
    settings = {"STATUS__PORT": port}
    serving = ("--no-browser", "--port", str(api_port))
    # Over files, it starts `alcyon run`, and ends with it.
    api = start(settings, *serving, command="serve")
    wait(lambda: bool(api.lines("worker started")))
    start(settings, command="learn")
    monitors = watch(target("worker", port), target("api", api_port), target("learner", port + 2))
    wait(lambda: monitors.up() == {"worker": True, "api": True, "learner": True})
    wait(lambda: "AlcyonTargetDown" not in monitors.firing())

    worker = child_of(api.process.pid, "run")
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    wait(lambda: "AlcyonTargetDown" in monitors.firing())
    told = message(slack, "critical: AlcyonTargetDown (worker)")
    assert told["title_link"] == f"{RUNBOOKS_URL}/AlcyonTargetDown.md"
    assert "does not answer" in told["text"]
    subject = "critical: AlcyonTargetDown (worker)"
    wait(lambda: subject in [mail["subject"] for mail in mails.mails])
    assert monitors.up()["learner"]
    # It is not ready either: that is known, and nobody is told as well.
    wait(lambda: "AlcyonDecisionAvailabilityBurn" in monitors.suppressed())

    assert api.ended() != 0
    start(settings, *serving, command="serve")
    wait(lambda: all(monitors.up().values()))
    wait(lambda: "AlcyonTargetDown" not in monitors.firing())
    message(slack, "over: AlcyonTargetDown (worker)")


def test_a_flood_of_poison_is_told_until_it_is_over_and_every_record_is_accounted_for(
    broker: Broker, of_broker: dict[str, object], start: Start, watch: Watch, slack: Receiver
) -> None:
    worker = start(of_broker, *WORKER)
    worker.line("worker started")
    monitors = watch(target("worker", worker.line("status port open")["port"]))
    wait(lambda: monitors.up() == {"worker": True})
    sent = itertools.count()

    def flooded() -> bool:
        rows = [transaction(next(sent)) for _ in range(5)]
        with broker.intake() as intake:
            poison = [b"{poison"] * 20
            intake.append(Topic.TRANSACTIONS, [json.dumps(row).encode() for row in rows] + poison)
        return "AlcyonDeadLetters" in monitors.firing()

    wait(flooded)
    told = message(slack, "critical: AlcyonDeadLetters (worker)")
    assert f"{RUNBOOKS_URL}/AlcyonDeadLetters.md" in told["text"]
    assert "cannot be used" in told["text"]
    wait(lambda: "AlcyonDeadLetters" not in monitors.firing())
    message(slack, "over: AlcyonDeadLetters (worker)")
    wait(lambda: [n for _, n in monitors.query("job:alcyon_worker_unaccounted:records")] == [0.0])
    records = 'sum(alcyon_worker_records_total{topic="transactions"})'
    assert [n for _, n in monitors.query(records)] == [25.0 * next(sent) / 5]
