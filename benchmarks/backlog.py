"""A backlog of ten million payments, drained: how fast, and with how much memory beside the state.

    python benchmarks/backlog.py [--transactions 10000000]

Simulated payments are put into the topic while no worker runs; then `alcyon run --only worker`
decides on all of them, over a real broker on this machine. Told are payments per second, processor
time per payment, and the most memory that the worker held beyond its state (Python, Numba, ONNX
Runtime, and the client's and our own buffers). Writes reports/backlog.json.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import psutil
from confluent_kafka import Producer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # `services` lies beside us

from alcyon.codecs.json import encode
from alcyon.io.kafka import Connection, TopicNames, ensure_topics
from alcyon.simulation import Scenario, simulate
from report import write
from services import Folder, Options
from stream_processes import Stage, alcyon_run, await_ready
from stream_traffic import DAY_MS, write_model

DAYS = 30
PORT = 19464


def main() -> None:
    """Fill the topic, then drain it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--transactions", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="for servers and model; kept")
    given = parser.parse_args()
    folder = given.folder or Path(mkdtemp(prefix="alcyon-backlog-"))
    folder.mkdir(parents=True, exist_ok=True)
    write_model(folder / "model")
    servers = Folder(folder / "servers")
    bootstrap = servers.up(["kafka"], Options(throughput=True))["kafka"].bootstrap
    try:
        ensure_topics(Connection(bootstrap), TopicNames(), 10**6, may_create=True)
        began = time.monotonic()
        _fill(bootstrap, given.transactions)
        print(f"{given.transactions:,} sent in {time.monotonic() - began:.0f} s", flush=True)
        with _working(folder, servers, bootstrap) as stage:
            found = _drained(stage, given.transactions)
    finally:
        servers.down()
    write("backlog", found)


@contextmanager
def _working(folder: Path, servers: Folder, bootstrap: str) -> Iterator[Stage]:
    home = folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith("ALCYON_")},
        "ALCYON_HOME": str(home),
        "ALCYON_KAFKA__BOOTSTRAP": bootstrap,
        "OMP_NUM_THREADS": "1",
    }
    with (folder / "worker.log").open("w") as log:
        model = ("--model", str(folder / "model"))
        worker = alcyon_run("worker", model, env, log, [sys.executable, "-m", "alcyon.cli"])
        try:
            await_ready(PORT, is_behind=True)
            yield Stage(bootstrap, PORT, {"worker": psutil.Process(worker.pid)}, 0.0, servers)
        finally:
            worker.terminate()
            worker.wait(30)


def _fill(bootstrap: str, count: int) -> None:
    producer = Producer(
        {
            "bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True,
            "linger.ms": 20, "compression.type": "lz4", "queue.buffering.max.messages": 200_000,
        }
    )  # fmt: skip
    scenario = Scenario(transactions=count, seed=3, duration_ms=DAYS * DAY_MS)
    for piece in simulate(scenario, scenario.create_population()):
        rest = [{"value": payload} for payload in encode(piece.transactions)]
        while rest:
            taken = producer.produce_batch("transactions", rest, partition=0)
            rest = rest[taken:]
            producer.poll(0.01 if rest else 0)
    if left := producer.flush(120):
        raise SystemExit(f"{left} payments could not be sent")


def _drained(stage: Stage, count: int) -> dict[str, float]:
    worker = stage.processes["worker"]
    began, used, beside, decided, state = time.monotonic(), _cpu(worker), 0.0, 0.0, 0.0
    told = began
    while decided < count:
        time.sleep(0.5)
        metrics = stage.metrics()
        if math.isnan(metrics["alcyon_worker_next_sequence"]):  # it is recovering
            continue
        decided = metrics["alcyon_worker_next_sequence"]
        state = metrics["alcyon_worker_state_bytes"]
        beside = max(beside, worker.memory_info().rss - state)
        if time.monotonic() - told > 20:
            told = time.monotonic()
            rate = decided / (told - began)
            mib = beside / 2**20
            print(f"{decided:,.0f} decided, {rate:,.0f}/s, {mib:,.0f} MiB beside the state")
    seconds = time.monotonic() - began
    found = {
        "transactions": count, "seconds": seconds, "per_second": count / seconds,
        "cpu_us": 1e6 * (_cpu(worker) - used) / count, "beside_state_mib_max": beside / 2**20,
        "state_mib": state / 2**20,
    }  # fmt: skip
    print(
        f"{count:,} in {seconds:.0f} s: {count / seconds:,.0f}/s, {found['cpu_us']:.1f} µs of "
        f"processor time each; at most {beside / 2**20:,.0f} MiB beside {state / 2**20:,.0f} MiB "
        "of state"
    )
    return found


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    main()
