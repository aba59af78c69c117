"""The stage of the stream benchmark: servers, `alcyon run`, and what each process costs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil
from prometheus_client.parser import text_string_to_metric_families

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # `services` lies beside us

from services import Folder, Options
from stream_traffic import Traffic

ROOT = Path(__file__).resolve().parent.parent
READY_S = 120.0
PORTS = {"worker": "19464", "projections": "19465"}
PROJECTIONS_PORT = 19466
"""Projections by themselves open the next one."""


@dataclass
class Stage:
    """What is running."""

    bootstrap: str
    port: int
    processes: dict[str, psutil.Process]
    ready_s: float
    servers: Folder
    topics: tuple[str, str] = ("transactions", "decisions")
    dsn: str = ""
    redis_url: str = ""

    def metrics(self, port: int = 0) -> dict[str, float]:
        """The worker's metrics, or those of another port, by name and labels."""
        url = f"http://127.0.0.1:{port or self.port}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            text = answer.read().decode()
        return {
            s.name + "".join(f"/{v}" for v in s.labels.values()): s.value
            for family in text_string_to_metric_families(text)
            for s in family.samples
        }

    def processor_s(self) -> dict[str, float]:
        """Processor time that each has used, children included."""
        return {name: _used(process) for name, process in self.processes.items()}

    def restart(self, name: str) -> None:
        """Start a server that was killed, where it was."""
        self.servers.up([name], Options(throughput=True))

    def settle(self) -> None:
        """Wait until nothing waits for a decision."""
        deadline = time.monotonic() + 60
        while self.metrics().get("alcyon_worker_lag_seconds", 0) > 0:
            if time.monotonic() > deadline:
                return
            time.sleep(0.2)
        time.sleep(1.0)


def _used(process: psutil.Process) -> float:
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        try:
            spent = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += spent.user + spent.system
    return total


@contextmanager
def staged(
    folder: Path, traffic: Traffic, history: int, with_transactions: bool
) -> Iterator[Stage]:
    """Servers of our own, and the worker and projections in processes of their own."""
    servers = Folder(folder / "servers")
    facts = servers.up(["kafka", "postgres", "redis"], Options(throughput=True))
    home = folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    if history:
        shutil.copytree(traffic.snapshots, home / "snapshots")
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith("ALCYON_")},
        "ALCYON_HOME": str(home),
        "ALCYON_KAFKA__BOOTSTRAP": facts["kafka"].bootstrap,
        "ALCYON_POSTGRES__DSN": facts["postgres"].dsn,
        "ALCYON_WORKER__SNAPSHOT_EVERY": "1000000",
        "OMP_NUM_THREADS": "1",
    }
    module = "alcyon.cli" if with_transactions else "stream_without_transactions"
    began = time.monotonic()
    with (folder / "worker.log").open("w") as log, (folder / "projections.log").open("w") as other:
        worker = alcyon_run(
            "worker", ("--model", str(traffic.model)), env, log,
            [sys.executable, "-m", module],
        )  # fmt: skip
        projections = alcyon_run(
            "projections", (), env, other,
            ["nice", "-n", "15", sys.executable, "-m", "alcyon.cli"],
        )  # fmt: skip
        try:
            await_ready(19464)
            yield Stage(
                facts["kafka"].bootstrap,
                19464,
                {
                    "worker": psutil.Process(worker.pid),
                    "projections": psutil.Process(projections.pid),
                    "broker": _server(servers, "kafka"),
                    "postgres": _server(servers, "postgres"),
                },
                time.monotonic() - began,
                servers,
                dsn=facts["postgres"].dsn,
                redis_url=facts["redis"].url,
            )
        finally:
            for process in (worker, projections):
                process.terminate()
            for process in (worker, projections):
                process.wait(20)
            servers.down()


def alcyon_run(
    only: str, arguments: Sequence[str], env: Mapping[str, str], log: IO[str], command: list[str]
) -> subprocess.Popen[bytes]:
    more = {"ALCYON_STATUS__PORT": PORTS[only], "PYTHONPATH": str(ROOT / "benchmarks")}
    program = [*command, "run", "--only", only, *arguments]
    return subprocess.Popen(program, env={**env, **more}, stderr=log)


def _server(servers: Folder, name: str) -> psutil.Process:
    process = next(s.process for s in servers.status() if s.name == name)
    assert process is not None
    return psutil.Process(process.pid)


def await_ready(port: int, is_behind: bool = False) -> None:
    """Wait for a process of ours; is_behind: one that may be late counts, as with a backlog."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            what = "metrics" if is_behind else "readyz"
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{what}", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the worker does not become ready: see worker.log")
