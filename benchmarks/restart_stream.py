"""kill -9 of `alcyon run` over real servers, with tens of millions of events, under traffic.

    python benchmarks/restart_stream.py --folder /tmp/restart --kills 7 --rate 5000

Broker, Postgres, worker, projections and the producer share this machine. The state is that of
`restart.py`, made once in the same folder. The producer never stops; the whole `alcyon run` is
killed at a random moment and started at once, and an outsider that reads committed decisions says
when the first one came that was made after the kill. Writes reports/restart_stream.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # `services` lies beside us

from restart import BEHIND, made
from services import Folder, Options
from stream_kill_victims import Watch, consumer

BAR_S = 5.0
FIRST_S_MAX = 300.0
"""Before the first kill: where nothing is compiled yet, that takes a minute."""
BACK_S_MAX = 60.0
CAUGHT_UP_S_MAX = 120.0
BETWEEN_S = (2.0, 20.0)
"""From when decisions have caught up to the next kill; a snapshot is due after 20 seconds."""


def payloads(folder: Path) -> Path:
    """The payments behind the history, one JSON payload per line, made once."""
    from alcyon.domain.record import Topic
    from alcyon.io.log import EmbeddedSource

    path = folder / "payloads.jsonl"
    if path.exists():
        return path
    source, unfinished = EmbeddedSource(folder / "intake"), folder / "payloads.unfinished"
    with unfinished.open("wb") as out:
        while records := source.poll(4096, 0.1):
            out.writelines(
                record.payload + b"\n" for record in records if record.topic is Topic.TRANSACTIONS
            )
    return unfinished.rename(path)


def produce(bootstrap: str, path: Path, rate: float) -> None:
    """Open loop, in a process of its own, until the lines end or it is killed."""
    from confluent_kafka import Producer

    from stream_traffic import Lines

    lines = Lines(path)
    producer = Producer(
        {
            "bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True,
            "linger.ms": 3, "compression.type": "lz4", "queue.buffering.max.messages": 1_000_000,
        }
    )  # fmt: skip
    began, sent = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - began) * rate) - sent
        taken = lines.take(due)
        if len(taken) < due:
            break
        producer.produce_batch("transactions", [{"value": line} for line in taken], partition=0)
        producer.poll(0)
        sent += due
        time.sleep(0.005)
    producer.flush(30)


class Engine:
    """`alcyon run`: worker and projections."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._log: IO[bytes] = (folder / "run.log").open("ab")
        self._command = [sys.executable, "-m", "alcyon.cli", "run"]
        self._command += ["--model", str(folder / "model")]
        self._env = env
        self.start()

    def start(self) -> None:
        """Anew; the one before is not waited for."""
        self._process = subprocess.Popen(self._command, env=self._env, stderr=self._log)

    def kill(self) -> None:
        """kill -9 of the worker; its projections see that it is gone."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Ask it to end."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def staged(folder: Path, rate: float, every: int | None) -> Iterator[tuple[Engine, Watch, str]]:
    """Servers of our own, the engine and the traffic."""
    home = folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    (home / "snapshots").mkdir(parents=True)
    for path in (folder / "history").iterdir():
        os.link(path, home / "snapshots" / path.name)
    servers = Folder(folder / "servers")
    facts = servers.up(["kafka", "postgres"], Options(throughput=True))
    (folder / "run.log").unlink(missing_ok=True)
    env = {k: v for k, v in os.environ.items() if not k.startswith("ALCYON_")} | {
        "ALCYON_HOME": str(home),
        "ALCYON_KAFKA__BOOTSTRAP": facts["kafka"].bootstrap,
        "ALCYON_POSTGRES__DSN": facts["postgres"].dsn,
        "ALCYON_STATUS__PORT": "0",
    }
    if every is not None:
        env["ALCYON_WORKER__SNAPSHOT_EVERY"] = str(every)
    engine = Engine(folder, env)
    command = [sys.executable, __file__, "--folder", str(folder), "--rate", str(rate)]
    producer, watch = None, None
    try:
        made_topics(facts["kafka"].bootstrap)
        watch = Watch(facts["kafka"].bootstrap)
        producer = subprocess.Popen([*command, "--produce", facts["kafka"].bootstrap])
        yield engine, watch, facts["kafka"].bootstrap
    finally:
        for process in (producer,) if producer else ():
            process.send_signal(signal.SIGKILL)
            process.wait()
        if watch is not None:
            watch.close()
        engine.stop()
        servers.down()


def made_topics(bootstrap: str) -> None:
    """Wait until the engine made them."""
    from confluent_kafka.admin import AdminClient

    client, deadline = AdminClient({"bootstrap.servers": bootstrap}), time.monotonic() + FIRST_S_MAX
    while "commits" not in client.list_topics(timeout=10).topics:
        if time.monotonic() > deadline:
            raise SystemExit("alcyon run makes no topics: see run.log")
        time.sleep(0.1)


def catch_up(bootstrap: str, watch: Watch, rate: float) -> None:
    """Wait until decisions are at most a second behind what was sent."""
    from confluent_kafka import TopicPartition

    intake, deadline = consumer(bootstrap, "read_committed"), time.monotonic() + CAUGHT_UP_S_MAX
    place = TopicPartition("transactions", 0)
    while watch.decisions < intake.get_watermark_offsets(place, 10)[1] - rate:
        if time.monotonic() > deadline:
            raise SystemExit("decisions do not catch up: see run.log")
        time.sleep(0.1)
    intake.close()


def killed(engine: Engine, watch: Watch) -> float:
    """Seconds from the kill to the first decision made after it."""
    engine.kill()
    hit = time.time()
    engine.start()
    arrived = watch.first_after(int(hit * 1000) + 1, BACK_S_MAX)
    if arrived is None:
        raise SystemExit("no decision came after the kill: see run.log")
    return arrived - hit


def started(folder: Path) -> list[dict[str, object]]:
    """What the worker told of each of its recoveries."""
    lines = (folder / "run.log").read_text().splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in told if line.get("event") == "worker started"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--days", type=int, default=104)
    parser.add_argument("--per-day", type=int, default=131_000)
    parser.add_argument("--kills", type=int, default=7)
    parser.add_argument("--rate", type=float, default=5000.0, help="transactions per second")
    parser.add_argument("--every", type=int, help="records between two snapshots")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--produce", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.produce:
        produce(given.produce, given.folder / "payloads.jsonl", given.rate)
        return
    if given.kills * (BETWEEN_S[1] + BAR_S) * given.rate > BEHIND:
        print("the payments may end before the kills do")
    measure(given)


def measure(given: argparse.Namespace) -> None:
    """All kills, the table, the report."""
    from report import write

    made(given.folder, given.days, given.per_day)
    payloads(given.folder)
    facts = json.loads((given.folder / "facts.json").read_text())
    print(
        f"{facts['kept_events']:,} kept events, {facts['state_bytes'] / 2**30:.2f} GiB", flush=True
    )
    rng, back = random.Random(given.seed), list[float]()
    with staged(given.folder, given.rate, given.every) as (engine, watch, bootstrap):
        if watch.first_after(0, FIRST_S_MAX) is None:
            raise SystemExit("no decision came: see run.log")
        if started(given.folder)[0]["snapshot"] is None:
            raise SystemExit("the history is of another version: remove the folder")
        for number in range(1, given.kills + 1):
            catch_up(bootstrap, watch, given.rate)
            time.sleep(rng.uniform(*BETWEEN_S))
            back.append(killed(engine, watch))
            load = os.getloadavg()[0]
            print(
                f"{number:3} {back[-1]:7.2f} s to the first decision, load {load:.1f}", flush=True
            )
        backwards = watch.backwards
    told = started(given.folder)[1:]
    median, longest = statistics.median(back), max(back)
    print(f"median {median:.2f} s, longest {longest:.2f} s; the bar is {BAR_S} s")
    for line in told:
        print(f"    recovered in {line['seconds']} s, {line['replayed']} records replayed")
    write(
        "restart_stream",
        {
            **facts, "rate": given.rate, "back_s": [round(s, 3) for s in back],
            "median_s": round(median, 3), "max_s": round(longest, 3), "bar_s": BAR_S,
            "recovered": told, "backwards": backwards,
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
