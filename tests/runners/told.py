"""A telling whose every line, metric and answer can be looked at."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from alcyon.domain.decision import Versions
from alcyon.domain.record import DeadLetter
from alcyon.runners.process.status import Readiness
from alcyon.runners.stream.measuring import Measured
from alcyon.runners.stream.place import Place
from alcyon.runners.stream.recovery import Recovered
from alcyon.runners.stream.telling import Telling
from alcyon.runners.stream.worker import Stepped
from alcyon.telemetry.lines import make_log
from alcyon.telemetry.metrics import Telemetry
from alcyon.telemetry.words import VERSIONS

NOW = 1_700_000_000_000
VERSION = Versions(*(["v"] * len(VERSIONS)))
IDLE = Stepped(
    records=0, decisions=0, actions=MappingProxyType({}), duplicates=0, labels=0, controls=0,
    dead_letters=(), times=np.empty(0, np.int64), seconds=MappingProxyType({"poll": 0.05}),
    measured=Measured(), live_rules=(), base_minor_units=100, committed_ago_s=0.0, next_sequence=0,
    position=0, front=None, versions=VERSION, model_missing=None, snapshot=None,
)  # fmt: skip


@dataclass
class Told:
    """A telling, and all that it told."""

    stream: io.StringIO = field(default_factory=io.StringIO)
    telemetry: Telemetry = field(default_factory=Telemetry)
    now_ms: int = NOW

    def __post_init__(self) -> None:
        self.log = make_log(self.stream, False, self.telemetry.process.lost_lines.inc)
        self.readiness = Readiness(5.0, clock_ms=lambda: self.now_ms)
        self.telling = Telling(self.telemetry, self.log, self.readiness)

    def lines(self) -> list[dict[str, object]]:
        """Lines since the last call."""
        told = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        self.stream.truncate(0)
        self.stream.seek(0)
        return told

    def events(self) -> list[object]:
        """Their events."""
        return [line["event"] for line in self.lines()]

    def value(self, name: str, **labels: str) -> float:
        """A metric's value."""
        value = self.telemetry.registry.get_sample_value(f"alcyon_{name}", labels)
        assert value is not None, name
        return value


def recovered(**changed: object) -> Recovered:
    """An uneventful recovery."""
    usual = Recovered(3, None, (), 0, Place(), None)
    return replace(usual, **changed)  # type: ignore[arg-type]


def letters(*reasons: str) -> tuple[DeadLetter, ...]:
    """Dead letters, from sequence 10 on."""
    return tuple(
        DeadLetter(10 + i, "CONTROL" if "control_" in r or r == "invalid_control" else "LABELS", i,
                   r, "detail-secret", b"payload-secret")
        for i, r in enumerate(reasons)
    )  # fmt: skip
