"""The faults of the game day: what is done to a running Alcyon, and what heals it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread
from typing import NamedTuple

from confluent_kafka import Producer

from game_model import LARGE_MINOR
from game_stage import LABELS, Stage

SHIFTED = 0.4
"""Share of the payments that are large, once the traffic has shifted."""


class Injected(NamedTuple):
    """A fault that is there."""

    began: float
    """By the monotonic clock."""
    heal: Callable[[], object]


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong."""

    name: str
    """As `--faults` takes it."""
    what: str
    alert: str
    """The Prometheus alert that must tell of it."""
    severity: str
    needs_usual: bool
    """Whether its rule compares with the day before."""
    panels: tuple[str, ...]
    """Panels of the dashboards that show it: dashboard, slash, title."""
    inject: Callable[[Stage], Injected]


def kill_worker(stage: Stage) -> Injected:
    """kill -9."""
    began = time.monotonic()
    os.kill(stage.worker.pid, signal.SIGKILL)
    stage.worker.wait()

    def heal() -> None:
        stage.worker = stage.start_worker()

    return Injected(began, heal)


def stop_postgres(stage: Stage) -> Injected:
    """Stopped in order; its data stay."""
    began = time.monotonic()
    stage.servers.down(["postgres"], keep=True)
    return Injected(began, lambda: stage.servers.up(["postgres"]))


def flood_poison(stage: Stage) -> Injected:
    """As many unusable records as payments."""
    return _flood(stage, stage.rate, lambda number: b"{poison")


def shift_traffic(stage: Stage) -> Injected:
    """Four of ten payments are now large ones, which the model calls fraud."""
    run = f"{time.time_ns():x}"

    def large(number: int) -> bytes:
        return json.dumps(
            {
                "transaction_id": f"{run}-{number}", "event_time": time.time_ns() // 1_000_000,
                "amount_minor": LARGE_MINOR, "currency": "EUR", "card_id": f"{run}-c{number}",
            }
        ).encode()  # fmt: skip

    return _flood(stage, stage.rate * SHIFTED / (1 - SHIFTED), large)


def _flood(stage: Stage, rate: float, record: Callable[[int], bytes]) -> Injected:
    """So many more records a second, by their number, until it is healed."""
    stop, producer = Event(), Producer({"bootstrap.servers": stage.bootstrap})

    def flood() -> None:
        sent = 0
        while not stop.wait(0.1):
            for _ in range(round(rate / 10)):
                producer.produce("transactions", record(sent))
                sent += 1
            producer.poll(0)
        producer.flush(10)

    began, thread = time.monotonic(), Thread(target=flood, daemon=True)
    thread.start()

    def heal() -> None:
        stop.set()
        thread.join()

    return Injected(began, heal)


def freeze_labels(stage: Stage) -> Injected:
    """Payments go on, labels do not."""
    began = stage.replace_traffic(4, "--no-labels")
    return Injected(began, lambda: stage.replace_traffic(5, *LABELS))


FAULTS = (
    Fault(
        "worker", "the worker is killed (kill -9)", "AlcyonTargetDown", "critical", False,
        ("overview/Ready", "overview/Processes up", "overview/Prometheus alerts"), kill_worker,
    ),
    Fault(
        "postgres", "Postgres is stopped", "AlcyonProjectionAway", "warning", False,
        ("worker/Out of reach, or halted", "worker/Projections behind",
         "overview/Decided per second"),
        stop_postgres,
    ),
    Fault(
        "poison", "as many unusable records as payments", "AlcyonDeadLetters", "critical", False,
        ("overview/Dead letters", "worker/Dead letters by reason", "overview/Decided per second"),
        flood_poison,
    ),
    Fault(
        "shift", "40 % of payments are fraud to the model", "AlcyonFraudRateJump", "critical",
        True, ("overview/Share not approved", "models/Share of high scores"), shift_traffic,
    ),
    Fault(
        "labels", "labels stop, payments go on", "AlcyonLabelsStopped", "warning", True,
        ("worker/Records read", "models/Labels read"), freeze_labels,
    ),
)  # fmt: skip
