"""The whole engine on one core: JSON bytes to encoded decisions, beside its floor and its peers.

    python benchmarks/engine.py [--rounds 7] [--history 1000000] [--without-peers]

Default card catalog, XGBoost and Isolation Forest fused in one ONNX file, the card detector's
twelve rules; every decision carries its features as scored, those not approved their reasons. The
traffic is simulated (`alcyon.simulation`) and goes on where the history that warmed the state
ended; no payload is decided twice. Each round runs every variant on fresh traffic, in alternating
order; figures are medians over rounds, in µs per transaction: wall, and beside it what other work
on the machine swells less, the processor time of the process and the lower quartile of single
batches ("quiet"; the floor is made of lower quartiles, too). Writes reports/engine.json.

The floor is explained in engine_floor.py, the peers in peers.py.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before a library reads it

import numpy as np

from alcyon.codecs.json import TransactionDecoder, encode
from alcyon.domain.columns import Batch, concatenate
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.tokens import TokenKeys
from alcyon.features.compiled.observe import DUPLICATE
from alcyon.pipeline import Pipeline
from alcyon.scoring.conduct import Conduct
from alcyon.scoring.policy import Policy
from alcyon.scoring.verdict import act, explain, score
from alcyon.simulation import Slice
from engine_floor import PARTS, Floor
from engine_model import Warm, truth_of, warm
from engine_redis import NAIVE_ROWS, TUNED_ROWS, Peers, started
from engine_tables import ratios, row_of, show, verdicts
from report import write

BATCHES = {1024: 16, 64: 128, 1: 1500}
"""Batch size, and how many batches of it one variant gets in a round."""
LEAN = (
    "transaction_id", "event_time", "amount_minor", "currency", "card_id", "merchant_id",
    "device_id", "ip", "email_hash", "country", "channel", "latitude", "longitude",
    "utc_offset_minutes", "amount_base_minor",
)  # fmt: skip
"""What the catalog and the rules read, and the columns every transaction must have."""
STAGES = ("decode", "observe", "score", "rules", "reasons", "encode")
"""`rules` with the policy; `reasons` with putting the decisions together."""
Found = dict[tuple[str, int], dict[str, list[float]]]


@dataclass(frozen=True)
class Variant:
    """One way of running the engine."""

    name: str
    not_approved: float
    columns: tuple[str, ...] | None = None


VARIANTS = (
    Variant("full payload", 0.015),
    Variant("full, 30 % not approved", 0.30),
    Variant("lean payload", 0.015, LEAN),
)


class Engine:
    """Decoder and pipeline, whole or stage by stage."""

    def __init__(self, ready: Warm) -> None:
        self.decoder = TransactionDecoder(TokenKeys(1, bytes(32)), DEFAULT_RATES)
        conduct = Conduct.of(ready.detector.catalog, ready.detector.rules, Policy())
        self.pipeline = Pipeline(ready.kernel, conduct.with_model(ready.model))
        self.floor = Floor(self.decoder, ready.kernel, ready.model)

    def adopt(self, policy: Policy) -> None:
        """Decide by this policy."""
        self.pipeline.adopt(replace(self.pipeline.conduct, policy=policy))
        _ = self.pipeline.conduct.explainer, self.pipeline.versions

    def decide(self, payloads: list[bytes]) -> list[bytes]:
        """What is measured."""
        return self.pipeline.decide(self.decoder.decode(payloads).batch).decided.encode()

    def staged(self, payloads: list[bytes]) -> list[int]:
        """Nanoseconds of each of `STAGES`: `Pipeline.decide`, step by step."""
        pipeline, clock = self.pipeline, time.perf_counter_ns
        at = [clock()]
        batch = self.decoder.decode(payloads).batch
        at.append(clock())
        observed = pipeline.kernel.observe(batch)
        at.append(clock())
        scored = score(pipeline.conduct, observed, np.flatnonzero(observed.status < DUPLICATE))
        at.append(clock())
        acted = act(pipeline.conduct, pipeline.kernel, batch, observed, scored)
        at.append(clock())
        decided = explain(pipeline.conduct, batch, observed, scored, acted)
        at.append(clock())
        decided.encode()
        at.append(clock())
        return [b - a for a, b in pairwise(at)]


class Traffic:
    """Payloads in the order of arrival."""

    def __init__(self, slices: Iterator[Slice]) -> None:
        self._slices = slices
        self._held: list[Batch] = []

    def payloads(
        self, rows: int, columns: tuple[str, ...] | None = None, size: int = 0
    ) -> list[list[bytes]]:
        """The next payloads, in batches of `size` (0: one batch), with some columns or all."""
        while sum(map(len, self._held)) < rows:
            self._held.append(next(self._slices).transactions)
        held = concatenate(self._held)
        part, self._held = held.slice(0, rows), [held.slice(rows, len(held))]
        names = part.columns if columns is None else columns
        made = encode(Batch({name: part.columns[name] for name in names}))
        return [made[at : at + (size or rows)] for at in range(0, rows, size or rows)]


def one_round(
    engine: Engine, policies: dict[Variant, Policy], traffic: Traffic, found: Found, turn: int
) -> None:
    """Every variant at every batch size, whole and staged, and the floor."""
    for size, count in BATCHES.items():
        for variant in VARIANTS[:: 1 if turn % 2 else -1]:
            engine.adopt(policies[variant])
            figures = found[variant.name, size]
            _whole(engine, traffic.payloads(size * count, variant.columns, size), figures)
            batches = traffic.payloads(size * count, variant.columns, size)
            stages = np.median([engine.staged(batch) for batch in batches], axis=0)
            for name, taken in zip(STAGES, (stages / 1000 / size).tolist(), strict=True):
                figures[name].append(taken)
        parts = engine.floor.run(traffic.payloads(size * count, None, size))
        for name in PARTS:
            found["floor", size][name].append(parts[name])
        for name in ("wall_us", "quiet_us"):
            found["floor", size][name].append(sum(parts.values()))


def _whole(engine: Engine, batches: list[list[bytes]], figures: dict[str, list[float]]) -> None:
    rows, out = sum(map(len, batches)), []
    taken = []
    cpu, start = time.process_time_ns(), time.perf_counter_ns()
    for batch in batches:
        before = time.perf_counter_ns()
        out.append(engine.decide(batch))
        taken.append(time.perf_counter_ns() - before)
    wall, cpu = time.perf_counter_ns() - start, time.process_time_ns() - cpu
    decisions = [decision for batch in out for decision in batch]
    assert len(decisions) == rows
    approved = sum(b'"action":"APPROVE"' in decision for decision in decisions)
    figures["wall_us"].append(wall / 1000 / rows)
    figures["cpu_us"].append(cpu / 1000 / rows)
    figures["quiet_us"].append(float(np.percentile(taken, 25)) / 1000 / len(batches[0]))
    figures["not_approved_%"].append(100 * (1 - approved / rows))
    figures["bytes_in"].append(sum(len(p) for batch in batches for p in batch) / rows)
    figures["bytes_out"].append(sum(map(len, decisions)) / rows)
    if len(batches[0]) == 1:
        figures["latency_us"] += [ns / 1000 for ns in taken]


def _peers(peers: Peers, traffic: Traffic, found: Found) -> None:
    payloads = traffic.payloads(NAIVE_ROWS + TUNED_ROWS)[0]
    for name, (wall, cpu) in peers.round(payloads).items():
        figures = found[f"{name} peer", 1 if name == "naive" else 64]
        figures["wall_us"].append(wall)
        figures["cpu_us"].append(cpu)


def main() -> None:
    """Measure, print, write the report."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--history", type=int, default=1_000_000, help="payments seen before")
    arguments.add_argument("--without-peers", action="store_true")
    chosen = arguments.parse_args()
    cores = os.sched_getaffinity(0)
    core = max(cores)
    passes = sum(size * count for size, count in BATCHES.items()) * (2 * len(VARIANTS) + 1)
    needed = (passes + NAIVE_ROWS + TUNED_ROWS) * (chosen.rounds + 1)
    ready = warm(chosen.history, needed, seed=1)
    policies = {v: ready.policy(v.not_approved) for v in VARIANTS}
    engine, traffic = Engine(ready), Traffic(ready.traffic)
    frauds = truth_of(ready.recent, ready.labels)
    recent = [] if chosen.without_peers else ready.recent
    del ready
    os.sched_setaffinity(0, {core})
    with started(recent, frauds, cores - {core} or cores) as peers:
        found: Found = defaultdict(lambda: defaultdict(list))
        for turn in range(chosen.rounds + 1):
            if turn == 1:  # the round before compiled, loaded and warmed
                found.clear()
                _forget_peak()
            one_round(engine, policies, traffic, found, turn)
            if peers is not None:
                _peers(peers, traffic, found)
    _tell(found, chosen.history, "" if peers is None else peers.notes)


def _tell(found: Found, history: int, notes: str) -> None:
    rows = [row_of(name, size, figures) for (name, size), figures in found.items()]
    resident, peak = _status("VmRSS"), _status("VmHWM")
    load = [round(x, 2) for x in os.getloadavg()]
    print(f"one pinned core; load average {load}: other work shared the machine")
    print(f"{history:,} payments of history; {resident:,} MB resident, {peak:,} MB at most")
    columns = {"batch": "batch", "per_s": "per s", "wall_us": "wall µs", "cpu_us": "cpu µs"}
    columns["quiet_us"] = "quiet µs"
    stages = {name: name for name in (*STAGES, "windows", "model")}
    show(rows, {**columns, "p50_us": "p50", "p99_us": "p99", "not_approved_%": "not appr. %"})
    show(rows, {"batch": "batch", "wall_us": "wall µs", **stages})
    show(rows, {"batch": "batch", "bytes_in": "bytes in", "bytes_out": "bytes out"})
    said = [*verdicts(rows), *ratios(rows), *([notes] if notes else [])]
    print("\n" + "\n".join(said))
    report = {"rows": rows, "said": said, "load_average": load, "history": history}
    print(write("engine", {**report, "resident_mb": resident, "peak_mb": peak}).name)


def _forget_peak() -> None:
    """Let the peak count from here on, where the system can (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> int:
    """A size from /proc/self/status, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) // 1024


if __name__ == "__main__":
    main()
