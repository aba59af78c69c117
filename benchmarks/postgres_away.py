"""PostgreSQL away for an hour under traffic: decisions go on, and afterwards every row is there.

    python benchmarks/postgres_away.py [--rate 500] [--minutes 60]

Real servers, worker, projections, a generator and a consumer on this machine. PostgreSQL is killed
(kill -9) one minute after the first payment and started again `--minutes` later; payments never
stop. Told: how long decisions took before and while it was away, how long the projection needed to
catch up, and how many ids are missing or doubled in PostgreSQL, compared with what the broker
acknowledged. Writes reports/postgres_away.json. All traffic is simulated.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import psutil
import psycopg
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from rich.progress import track

from report import write
from stream_measuring import payment_id
from stream_processes import Stage, staged
from stream_traffic import Lines, made

BEFORE_S, AFTER_S = 60.0, 300.0
CATCH_UP_S = 1800.0


def main() -> None:
    """Send, take PostgreSQL away, bring it back, count."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rate", type=float, default=500.0, help="transactions per second")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long it is away")
    parser.add_argument("--history", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="for servers and traffic; kept")
    given = parser.parse_args()
    folder = given.folder or Path(mkdtemp(prefix="alcyon-away-"))
    away_s = 60 * given.minutes
    wanted = round(given.rate * (BEFORE_S + away_s + AFTER_S))
    traffic = made(folder, given.history, wanted)
    payloads = Lines(traffic.payloads).take(wanted)
    with staged(folder, traffic, given.history, True) as stage:
        found = _run(stage, payloads, given.history, given.rate, away_s)
    for name, value in found.items():
        print(f"{name.replace('_', ' ')}: {value}")
    write("postgres_away", {"rate": given.rate, "minutes": given.minutes, **found})


def _run(
    stage: Stage, payloads: list[bytes], history: int, rate: float, away_s: float
) -> dict[str, Any]:
    context = get_context("fork")
    done, acked, read = context.Event(), context.Queue(), context.Queue()
    begin = time.time() + 2.0
    consumer = context.Process(target=_consume, args=(stage, payloads, begin, rate, done, read))
    sender = context.Process(target=_send, args=(stage, payloads, begin, rate, acked))
    consumer.start()
    sender.start()
    _wait_until(begin + BEFORE_S, "before")
    _kill(stage.processes["postgres"])
    _wait_until(begin + BEFORE_S + away_s, "away")
    stage.restart("postgres")
    behind_s = _caught_up_s(stage, history, rate)
    acknowledged: list[int] = acked.get()
    sender.join(30)
    done.set()
    seen, at, latency_ms = read.get()
    consumer.join(30)
    _await_rows(stage.dsn, len(acknowledged))
    wanted = {payment_id(payloads[i]).decode() for i in acknowledged}
    with psycopg.connect(stage.dsn) as connection:
        rows = [r for (r,) in connection.execute("SELECT transaction_id FROM transactions")]
    is_away = (at >= BEFORE_S) & (at < BEFORE_S + away_s)
    return {
        "acknowledged": len(acknowledged),
        "read_by_a_read_committed_consumer_once_each": len(seen) == len(set(seen)) == len(wanted),
        "rows_of_transactions": len(rows),
        "rows_of_decisions": _rows(stage.dsn),
        "missing_in_postgres": len(wanted - set(rows)),
        "doubled_in_postgres": len(rows) - len(set(rows)),
        "decided_while_away": int(is_away.sum()),
        "p50_p99_ms_before": _percentiles(latency_ms[at < BEFORE_S]),
        "p50_p99_ms_while_away": _percentiles(latency_ms[is_away]),
        "seconds_until_caught_up": round(behind_s, 1),
    }


def _percentiles(latency_ms: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    return [round(float(x), 1) for x in np.percentile(latency_ms, (50, 99))]


def _wait_until(moment: float, words: str) -> None:
    for _ in track(range(max(0, round(moment - time.time()))), words):
        time.sleep(1)
    time.sleep(max(0.0, moment - time.time()))


def _kill(process: psutil.Process) -> None:
    for one in [process, *process.children(recursive=True), process]:
        if one.is_running():
            os.kill(one.pid, signal.SIGKILL)


def _caught_up_s(stage: Stage, history: int, rate: float) -> float:
    """Seconds until the store held all but the last second's decisions."""
    back_at = time.time()
    while time.time() < back_at + CATCH_UP_S:
        decided = stage.metrics()["alcyon_worker_next_sequence"] - history
        if _rows(stage.dsn) >= decided - rate:
            break
        time.sleep(0.5)
    return time.time() - back_at


def _await_rows(dsn: str, wanted: int) -> None:
    """Return once the store holds as many decisions, or after `CATCH_UP_S`."""
    deadline = time.time() + CATCH_UP_S
    while time.time() < deadline and _rows(dsn) < wanted:
        time.sleep(2)


def _rows(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT count(*) FROM decisions").fetchone()
    assert found is not None
    return int(found[0])


def _send(stage: Stage, payloads: list[bytes], begin: float, rate: float, acked: Any) -> None:
    producer = Producer(
        {
            "bootstrap.servers": stage.bootstrap, "acks": "all", "enable.idempotence": True,
            "linger.ms": 3, "compression.type": "lz4",
        }
    )  # fmt: skip
    taken: list[int] = []
    for number, payload in enumerate(payloads):
        while time.time() < begin + number / rate:
            producer.poll(0.002)

        def told(error: KafkaError | None, _: Message, number: int = number) -> None:
            if error is None:
                taken.append(number)

        producer.produce(stage.topics[0], payload, partition=0, on_delivery=told)
    producer.flush(60)
    acked.put(taken)


def _consume(
    stage: Stage, payloads: list[bytes], begin: float, rate: float, done: Event, read: Any
) -> None:
    index = {payment_id(p): i for i, p in enumerate(payloads)}
    consumer = Consumer(
        {
            "bootstrap.servers": stage.bootstrap, "group.id": "bench", "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )  # fmt: skip
    place = TopicPartition(stage.topics[1], 0)
    _, end = consumer.get_watermark_offsets(place, timeout=10)
    consumer.assign([TopicPartition(stage.topics[1], 0, end)])
    seen: list[int] = []
    at: list[float] = []
    while True:
        messages = [*consumer.consume(1, 0.1), *consumer.consume(5000, 0)]
        if not messages and done.is_set() and len(seen) >= len(payloads):
            break
        if not messages and done.is_set() and time.time() > begin + len(payloads) / rate + 120:
            break
        keys = (m.key() for m in messages if m.error() is None)
        found = [index[key] for key in keys if key in index]
        seen += found
        at += [time.time()] * len(found)
    due = begin + np.array(seen) / rate
    read.put((seen, due - begin, 1000 * (np.array(at) - due)))


if __name__ == "__main__":
    main()
