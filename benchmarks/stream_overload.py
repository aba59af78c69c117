"""Ten times too much for a while: how soon decisions are in time again.

    python benchmarks/stream_overload.py [--rate 5000] [--times 10] [--burst 10] [--after 40]

As stream.py (servers, worker, projections, generator and consumer on this machine), but payments
are due at `rate` for 10 s, at `times` as much for `burst` seconds, and at `rate` again. Latency is
from when a payment was due; told is the p99 of each second, by the second in which decisions were
read, and how long after the burst the last second with a p99 of 100 ms or more ended. Writes
reports/stream_overload.json. All traffic is simulated.
"""

from __future__ import annotations

import argparse
import time
from multiprocessing import get_context
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition
from numpy.typing import NDArray

from report import write
from stream_measuring import payment_id
from stream_processes import Stage, staged
from stream_traffic import Lines, made

BEFORE_S = 10.0
BAR_MS = 100.0


def main() -> None:
    """Send, read, and tell the p99 of each second."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rate", type=float, default=5000.0)
    parser.add_argument("--times", type=float, default=10.0)
    parser.add_argument("--burst", type=float, default=10.0)
    parser.add_argument("--after", type=float, default=40.0)
    parser.add_argument("--history", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="for servers and traffic; kept")
    given = parser.parse_args()
    rate = given.rate
    spans = [(BEFORE_S, rate), (given.burst, given.times * rate), (given.after, rate)]
    due = schedule(spans)
    folder = given.folder or Path(mkdtemp(prefix="alcyon-overload-"))
    traffic = made(folder, given.history, len(due))
    with staged(folder, traffic, given.history, True) as stage:
        seconds = _measured(stage, Lines(traffic.payloads).take(len(due)), due)
    over = BEFORE_S + given.burst
    slow = [at for at, p99 in seconds if at >= over and p99 >= BAR_MS]
    back_s = max(slow, default=over - 1) + 1 - over
    for at, p99 in seconds:
        print(f"{at:4d} s  p99 {p99:9.1f} ms" + "  burst" * (BEFORE_S <= at < over))
    print(f"p99 below {BAR_MS:.0f} ms again {back_s:.0f} s after the burst")
    write("stream_overload", {"seconds": seconds, "back_s": back_s, "spans": spans})


def schedule(spans: list[tuple[float, float]]) -> NDArray[np.float64]:
    """float64[n]: when each payment is due, seconds from the beginning; spans: (seconds, rate)."""
    parts, begin = [], 0.0
    for seconds, rate in spans:
        parts.append(begin + np.arange(1, round(seconds * rate) + 1) / rate)
        begin += seconds
    return np.concatenate(parts)


def _measured(
    stage: Stage, payloads: list[bytes], due: NDArray[np.float64]
) -> list[tuple[int, float]]:
    """(second, p99 in ms) of what was read in each second."""
    context = get_context("fork")
    begin_at, ready, results = context.Value("d", 0.0), context.Event(), context.Queue()
    index = {payment_id(p): i for i, p in enumerate(payloads)}
    consumer = context.Process(target=_consume, args=(stage, index, begin_at, due, ready, results))
    consumer.start()
    ready.wait(30)
    begin_at.value = time.time() + 1.0
    sender = context.Process(target=_send, args=(stage, payloads, begin_at.value, due))
    sender.start()
    found: list[tuple[int, float]] = results.get()
    for process in (sender, consumer):
        process.join(30)
    return found


def _send(stage: Stage, payloads: list[bytes], begin: float, due: NDArray[np.float64]) -> None:
    producer = Producer(
        {
            "bootstrap.servers": stage.bootstrap, "acks": "all", "enable.idempotence": True,
            "linger.ms": 3, "compression.type": "lz4", "queue.buffering.max.messages": 2_000_000,
        }
    )  # fmt: skip
    sent = 0
    while sent < len(payloads):
        upto = int(np.searchsorted(due, time.time() - begin, side="right"))
        if upto == sent:
            time.sleep(0.002)
            continue
        messages = [{"value": p} for p in payloads[sent:upto]]
        producer.produce_batch(stage.topics[0], messages, partition=0)
        producer.poll(0)
        sent = upto
    producer.flush(60)


def _consume(
    stage: Stage,
    index: dict[bytes, int],
    begin_at: Any,
    due: NDArray[np.float64],
    ready: Any,
    results: Any,
) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": stage.bootstrap, "group.id": "bench", "enable.auto.commit": False,
            "isolation.level": "read_committed", "fetch.wait.max.ms": 100,
        }
    )  # fmt: skip
    place = TopicPartition(stage.topics[1], 0)
    _, end = consumer.get_watermark_offsets(place, timeout=10)
    consumer.assign([TopicPartition(stage.topics[1], 0, end)])
    consumer.consume(1, 1.0)
    ready.set()
    by_second: dict[int, list[NDArray[np.float64]]] = {}
    decided, last = 0, time.time() + 30
    while decided < len(index) and time.time() < last + 60:
        messages = [*consumer.consume(1, 0.1), *consumer.consume(5000, 0)]
        now = time.time() - begin_at.value
        at = np.array([index.get(m.key(), -1) for m in messages if m.error() is None], np.int64)
        at = at[at >= 0]
        if len(at):
            last, decided = time.time(), decided + len(at)
            by_second.setdefault(int(now), []).append(1000 * (now - due[at]))
    percentile = {s: np.percentile(np.concatenate(of), 99) for s, of in by_second.items()}
    results.put([(second, round(float(p99), 1)) for second, p99 in sorted(percentile.items())])


if __name__ == "__main__":
    main()
