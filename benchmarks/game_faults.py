"""The faults of the game day: what is done to a running Alcyon, and what heals it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread
from typing import NamedTuple

from confluent_kafka import Producer

from game_stage import LABELS, Stage


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
    stop, producer = Event(), Producer({"bootstrap.servers": stage.bootstrap})

    def flood() -> None:
        while not stop.wait(0.1):
            for _ in range(round(stage.rate / 10)):
                producer.produce("transactions", b"{poison")
            producer.poll(0)
        producer.flush(10)

    began, thread = time.monotonic(), Thread(target=flood, daemon=True)
    thread.start()

    def heal() -> None:
        stop.set()
        thread.join()

    return Injected(began, heal)


def shift_traffic(stage: Stage) -> Injected:
    """Four of ten payments are fraud, by the attacks of the simulation."""
    began = stage.replace_traffic(2, "--fraud-rate", "0.4", *LABELS)
    return Injected(began, lambda: stage.replace_traffic(3, *LABELS))


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
        "shift", "frauds rise from 0.7 to 40 % of payments", "AlcyonFraudRateJump", "critical",
        True, ("overview/Share not approved", "models/Share of high scores"), shift_traffic,
    ),
    Fault(
        "labels", "labels stop, payments go on", "AlcyonLabelsStopped", "warning", True,
        ("worker/Records read", "models/Labels read"), freeze_labels,
    ),
)  # fmt: skip
