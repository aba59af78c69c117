"""Metrics: all those of one process, on a registry of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Literal

from prometheus_client import CollectorRegistry, ProcessCollector

from alcyon.telemetry.api import ApiMetrics
from alcyon.telemetry.delivery import DeliveryMetrics
from alcyon.telemetry.instruments import Described, Maker, Registry
from alcyon.telemetry.learner import LearnerMetrics
from alcyon.telemetry.projections import ProjectionMetrics
from alcyon.telemetry.words import KINDS
from alcyon.telemetry.worker import WorkerMetrics

Part = Literal["worker", "projections", "learner", "api", "delivery"]
Named = Literal["worker", "projections", "learner", "api", "duties"]
"""A process: alcyon run, its projections, alcyon learn, alcyon serve, its duties."""
PARTS_OF: Mapping[Named, tuple[Part, ...]] = MappingProxyType(
    {
        "worker": ("worker",),
        "projections": ("projections",),
        "learner": ("learner",),
        "api": ("api", "delivery"),
        "duties": ("delivery", "projections"),
    }
)
"""What each process tells of, beside itself. The API delivers labels alone and tells of the whole
outbox; the projection of the duties opens cases."""
ALL: tuple[Part, ...] = ("worker", "projections", "learner", "api", "delivery")


class ProcessMetrics:
    """What every process tells of itself. Thread-safe."""

    def __init__(self, make: Maker) -> None:
        self.readiness = make.gauge("run_readiness_bool", "1: ready, as /readyz tells")
        self.failures = make.counts("run_failures", "Errors that ended a part", "kind", KINDS)
        self.child_failures = make.counter(
            "child_failures", "Times a process that this one keeps beside it ended by itself"
        )
        self.lost_lines = make.counter("log_lost_lines", "Log lines that could not be written")
        self.broker_outages = make.counter("broker_outages", "Times the broker went out of reach")
        self.broker_away = make.gauge("broker_away_bool", "1: the broker is out of reach", 0)


class Telemetry:
    """All metrics of one process. Thread-safe.

    parts: what there is to tell of; the rest may be told and is read by nobody.
    """

    def __init__(self, parts: Collection[Part] = ALL) -> None:
        self.registry: CollectorRegistry = Registry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        self._makers: dict[str, Maker] = {}

        def make(part: Part | None) -> Maker:
            read = part is None or part in parts
            return self._makers.setdefault(
                part or "process", Maker(self.registry if read else None)
            )

        self.process = ProcessMetrics(make(None))
        self.worker = WorkerMetrics(make("worker"))
        self.projections = ProjectionMetrics(make("projections"))
        self.learner = LearnerMetrics(make("learner"))
        self.api = ApiMetrics(make("api"))
        self.delivery = DeliveryMetrics(make("delivery"))

    def described(self) -> Mapping[str, Collection[Described]]:
        """All metrics by part, `process` the first."""
        return {part: tuple(maker.described) for part, maker in self._makers.items()}
