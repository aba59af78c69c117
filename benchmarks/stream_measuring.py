"""Measures one rate: a generator and a consumer, each a process of its own."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from hdrh.histogram import HdrHistogram

from stream_processes import PROJECTIONS_PORT, Stage
from stream_traffic import Lines

PARTS = ("poll", "decode", "decide", "commit", "snapshot")
PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}
LEAD_S = 1.0
DRAIN_S = 60.0
FAST = 10_000.0
"""From this rate on the generator looks and sends less often, in ms: what it takes of the machine,
decisions cannot have."""
SEND_MS, SEND_FAST_MS = (2, 1), (5, 5)
"""How long it sleeps, and how long its client waits for more to send together."""
STORED = "alcyon_projection_rows_total/postgres"
UNSTORED = "alcyon_projection_lag_commits/postgres"


class Schedule(NamedTuple):
    """Payment i is due at begin_at + (i + 1) / rate; those of the first seconds do not count."""

    begin_at: Any
    rate: float
    warm_s: float


@dataclass(frozen=True)
class Measured:
    """What one rate came to."""

    rate: float
    seconds: float
    sent: int
    decided: int
    latency_ms: dict[str, float]
    generator_late_ms: float
    cpu_us: dict[str, float]
    steps_us: dict[str, float]
    lag_s: list[float]
    stored_per_s: float
    """Rows that Postgres took a second: a transaction and its decision are two."""
    unstored_commits: tuple[float, float]
    """Commits that Postgres did not have yet, at the beginning and at the end."""


def measured(stage: Stage, lines: Lines, rate: float, seconds: float, warm_s: float) -> Measured:
    """Send at this rate, read the decisions, and put both together."""
    context = get_context("fork")
    payloads = lines.take(round(rate * (seconds + warm_s)))
    index = {payment_id(p): i for i, p in enumerate(payloads)}
    results: Any = context.Queue()
    ready = context.Event()
    begin_at = context.Value("d", 0.0)
    consumer = context.Process(
        target=_consume,
        args=(stage, index, Schedule(begin_at, rate, warm_s), ready, results),
    )
    consumer.start()
    ready.wait(30)
    begin_at.value = time.time() + LEAD_S
    sender = context.Process(
        target=_send,
        args=(stage.bootstrap, stage.topics[0], payloads, begin_at.value, rate, results),
    )
    sender.start()
    time.sleep(max(0.0, begin_at.value + warm_s - time.time()))
    cpu_before, before = _cpu(stage, sender, consumer), stage.metrics()
    stored_before = stage.metrics(PROJECTIONS_PORT)
    lag, counted_from = [], time.time()
    while time.time() < begin_at.value + warm_s + seconds:
        time.sleep(max(0.5, seconds / 20))
        lag.append(stage.metrics().get("alcyon_worker_lag_seconds", 0.0))
    cpu_after, after = _cpu(stage, sender, consumer), stage.metrics()
    stored = stage.metrics(PROJECTIONS_PORT)
    elapsed = time.time() - counted_from
    found = dict(results.get(timeout=DRAIN_S + seconds) for _ in range(2))
    for process in (sender, consumer):
        process.join(10)
    histogram = HdrHistogram.decode(found["consumer"]["histogram"])
    decided = after["alcyon_worker_next_sequence"] - before["alcyon_worker_next_sequence"]
    step = "alcyon_worker_stage_seconds_sum/"
    return Measured(
        rate, elapsed, found["sender"]["sent"], found["consumer"]["decided"],
        {n: histogram.get_value_at_percentile(p) / 1000 for n, p in PERCENTILES.items()},
        found["sender"]["late_ms"],
        {n: 1e6 * (cpu_after[n] - cpu_before[n]) / max(decided, 1) for n in cpu_before},
        {p: round(1e6 * (after[step + p] - before[step + p]) / max(decided, 1), 2) for p in PARTS},
        [round(s, 3) for s in lag],
        (stored[STORED] - stored_before[STORED]) / elapsed,
        (stored_before[UNSTORED], stored[UNSTORED]),
    )  # fmt: skip


def _cpu(stage: Stage, sender: Any, consumer: Any) -> dict[str, float]:
    used = stage.processor_s()
    for name, process in (("generator", sender), ("consumer", consumer)):
        spent = psutil.Process(process.pid).cpu_times()
        used[name] = spent.user + spent.system
    return used


def payment_id(payload: bytes) -> bytes:
    begin = payload.index(b'"transaction_id":"') + 18
    return payload[begin : payload.index(b'"', begin)]


def _send(
    bootstrap: str, topic: str, payloads: list[bytes], begin: float, rate: float, results: Any
) -> None:
    """Open loop: whatever is due is sent, however late we are."""
    sleep_ms, linger_ms = SEND_FAST_MS if rate >= FAST else SEND_MS
    producer = Producer(
        {
            "bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True,
            "linger.ms": linger_ms, "compression.type": "lz4",
            "queue.buffering.max.messages": 1_000_000,
        }
    )  # fmt: skip
    sent, late = 0, 0.0
    while sent < len(payloads):
        now = time.time()
        due = min(len(payloads), int((now - begin) * rate))
        if due <= sent:
            time.sleep(max(sleep_ms / 1000, begin + (sent + 1) / rate - now))
            continue
        late = max(late, now - (begin + (sent + 1) / rate))
        producer.produce_batch(topic, [{"value": p} for p in payloads[sent:due]], partition=0)
        producer.poll(0)
        sent = due
    left = producer.flush(30)
    results.put(("sender", {"sent": sent - left, "late_ms": late * 1000}))


def _consume(
    stage: Stage, index: dict[bytes, int], schedule: Schedule, ready: Any, results: Any
) -> None:
    bootstrap, topic = stage.bootstrap, stage.topics[1]
    begin_at, rate, warm_s = schedule
    os.nice(-5) if os.geteuid() == 0 else None
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False,
            "isolation.level": "read_committed", "fetch.wait.max.ms": 100,
        }
    )  # fmt: skip
    place = TopicPartition(topic, 0)
    _, end = consumer.get_watermark_offsets(place, timeout=10)
    consumer.assign([TopicPartition(topic, 0, end)])
    consumer.consume(1, 1.0)
    ready.set()
    histogram = HdrHistogram(1, 600_000_000, 3)
    decided, last = 0, time.time() + 10
    while decided < len(index) and time.time() < last + DRAIN_S:
        messages = consumer.consume(1, 0.1)
        messages += consumer.consume(5000, 0)
        now = time.time()
        places = [index.get(m.key(), -1) for m in messages if m.error() is None]
        if not places:
            continue
        last = now
        at = np.array(places)
        at = at[at >= 0]
        decided += len(at)
        at = at[at >= warm_s * rate]
        due = begin_at.value + (at + 1) / rate
        micros = np.maximum(1, (now - due) * 1e6).astype(np.int64)
        for value, count in zip(*np.unique(micros // 100 * 100, return_counts=True), strict=True):
            histogram.record_value(int(max(value, 1)), int(count))
    results.put(("consumer", {"decided": decided, "histogram": histogram.encode()}))
