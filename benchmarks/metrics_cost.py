"""What the metrics cost: processor time of telling a step, and how long a scrape takes.

Steps of 1, 64 and 1,024 decisions, made as a worker makes them, are told with their metrics and
without, in turn; the difference of each pair is what the metrics cost. Finding out the facts
within the worker is timed too, and added.

    python benchmarks/metrics_cost.py [--seconds 30]
"""

from __future__ import annotations

import argparse
import io
import time
from collections import Counter
from types import MappingProxyType, SimpleNamespace
from typing import cast

import numpy as np
from prometheus_client import generate_latest

from alcyon.api.app import PARTS
from alcyon.domain.columns import Batch
from alcyon.domain.decision import Versions
from alcyon.pipeline import Outcome
from alcyon.runners.process.status import Readiness
from alcyon.runners.stream.counting import Counting
from alcyon.runners.stream.measuring import Measured
from alcyon.runners.stream.telling import Telling
from alcyon.runners.stream.worker import Stepped
from alcyon.telemetry.lines import make_log
from alcyon.telemetry.metrics import PARTS_OF, Telemetry
from alcyon.telemetry.words import PARTS as STAGES

DECISION_S = 30e-6
"""What a decision costs the worker in large batches."""
SHARE_MAX, SCRAPE_S_MAX = 0.02, 0.05
SIZES = (1, 64, 1024)
RULES = tuple(f"rule_{n}" for n in range(20))
NOW = 1_700_000_000_000


class Uncounted(Counting):
    """Counts nothing."""

    def count(self, stepped: Stepped, now_ms: int) -> None:
        """Nothing."""


def step(size: int) -> Stepped:
    """A step of so many decisions, one in fifty not approved."""
    rng = np.random.default_rng(size)
    declined = size // 50
    actions = {"APPROVE": size - declined} | ({"DECLINE": declined} if declined else {})
    measured = Measured(
        event_times=[NOW - rng.integers(5, 500, size)],
        probabilities=[rng.beta(0.3, 20, size)],
        amounts=Counter({action: 5000 * count for action, count in actions.items()}),
        rule_hits=Counter(dict.fromkeys(RULES[:3], declined) if declined else {}),
        inference_s=10e-6 * size,
    )
    return Stepped(
        records=size, decisions=size, actions=MappingProxyType(actions), duplicates=0, labels=0,
        controls=0, dead_letters=(), times=NOW - rng.integers(1, 40, size),
        seconds=MappingProxyType(dict.fromkeys(STAGES, 0.001)), measured=measured,
        live_rules=RULES, base_minor_units=100, committed_ago_s=0.001, next_sequence=size,
        position=size, front=NOW, versions=Versions(*["v"] * 8), model_missing=None, snapshot=None,
    )  # fmt: skip


def cost_s(size: int, seconds: float) -> float:
    """Median over pairs, each of as many steps as take about a millisecond."""
    telemetry = Telemetry(PARTS_OF["worker"])
    log = make_log(io.StringIO(), False, lambda: None)
    told = Telling(telemetry, log, Readiness(5.0))
    untold = Telling(telemetry, log, Readiness(5.0))
    untold._counting = Uncounted(telemetry.worker)
    stepped, repeats = step(size), 20
    pairs = list[float]()
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        spent = list[float]()
        for telling in (untold, told):
            began = time.thread_time()
            for _ in range(repeats):
                telling.stepped(stepped, NOW, 0, 1)
            spent.append((time.thread_time() - began) / repeats)
        pairs.append(spent[1] - spent[0])
    return float(np.median(pairs))


class _Decided(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.actions)


def measured_s(size: int, seconds: float) -> float:
    """What it takes to find out the facts, median."""
    rng = np.random.default_rng(size)
    decided = _Decided(
        event_times=NOW - rng.integers(5, 500, size),
        probability_ppm=rng.integers(0, 10**6, size),
        is_scored=np.ones(size, np.bool_),
        actions=np.where(rng.random(size) < 0.02, 4, 1).astype(np.int8),
        rule_hits=dict.fromkeys(range(0, size, 50), RULES[:1]),
    )
    observed = SimpleNamespace(status=np.zeros(size, np.int64))
    outcome = SimpleNamespace(decided=decided, observed=observed, rows=np.arange(size))
    batch = Batch({"amount_base_minor": rng.integers(1, 10**6, size)})
    taken = list[float]()
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        began = time.thread_time()
        for _ in range(20):
            Measured().add(batch, cast(Outcome, outcome))
        taken.append((time.thread_time() - began) / 20)
    return float(np.median(taken))


def scrape_s(telemetry: Telemetry, seconds: float) -> tuple[float, int]:
    """Processor time of making the text, median; its lines."""
    taken, text = list[float](), b""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        began = time.thread_time()
        text = generate_latest(telemetry.registry)
        taken.append(time.thread_time() - began)
    return float(np.median(taken)), text.count(b"\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    each = parser.parse_args().seconds / (len(SIZES) + 2)
    for size in SIZES:
        cost = cost_s(size, each / 2) + measured_s(size, each / 2)
        share = cost / size / DECISION_S
        print(f"{size:>5} decisions: {1e6 * cost:8.1f} us a step, {share:8.2%} of 30 us each")
        if size == SIZES[-1]:
            assert share <= SHARE_MAX, f"more than {SHARE_MAX:.0%}"
    worker, api = Telemetry(PARTS_OF["worker"]), Telemetry(PARTS_OF["api"])
    worker.worker.rule_hits.know(f"rule_{n}" for n in range(200))
    routes = [(r.path, m) for part in PARTS for r in part.router.routes
              for m in getattr(r, "methods", ())]  # fmt: skip
    api.api.requests.know(routes)
    for name, telemetry in (("worker", worker), ("api", api)):
        taken, lines = scrape_s(telemetry, each)
        print(f"scrape of the {name}: {1e3 * taken:.1f} ms for {lines} lines")
        assert taken <= SCRAPE_S_MAX, f"more than {1e3 * SCRAPE_S_MAX:g} ms"


if __name__ == "__main__":
    main()
