"""The API measured from nothing: a home, a model, `alcyon serve`, a key, and benchmarks/api.py.

    make perf

Everything is on one machine, the load generator and the worker too; what else it does meanwhile is
told first. With ALCYON_KAFKA__BOOTSTRAP it goes through that broker, whose topics must be empty,
and starts `alcyon run` itself.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

ALCYON = (sys.executable, "-m", "alcyon.cli")
START_S = 120.0
STATUS_PORT = 19_464
LOAD = Path(__file__).parent / "api.py"


def model_in(folder: Path) -> Path:
    """A model of the card detector, from 40,000 simulated payments."""
    transactions, labels = folder / "t.parquet", folder / "l.parquet"
    for arguments in (
        ("generate", "--transactions", "40000", "--seed", "3", "--fraud-rate", "0.02",
         "--out", transactions, "--labels-out", labels),
        ("train", "--input", transactions, "--labels", labels, "--label-delay", "5d",
         "--out", folder / "m"),
    ):  # fmt: skip
        subprocess.run([*ALCYON, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)
    return folder / "m"


@contextmanager
def process(*arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """A command of ours, ended at the end."""
    started = subprocess.Popen([*ALCYON, *map(str, arguments)], stderr=subprocess.DEVNULL)
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(30)


def until_ready(address: str, server: subprocess.Popen[bytes]) -> None:
    """Wait; SystemExit where it ends before."""
    deadline = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(f"{address}/readyz", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise SystemExit(f"{address} is not ready after {START_S:.0f} s")


def main() -> int:
    """Start all, measure, and end all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--port", type=int, default=18_080)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rate", type=float, default=2_000)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="alcyon-perf-") as folder:
        os.environ.update(ALCYON_HOME=folder, ALCYON_STATUS__PORT=str(STATUS_PORT))
        model = given.model or model_in(Path(folder))
        return measure(given, model, "ALCYON_KAFKA__BOOTSTRAP" in os.environ)


def measure(given: argparse.Namespace, model: Path, is_kafka: bool) -> int:
    """Serve, and ask."""
    address = f"http://127.0.0.1:{given.port}"
    serve = ("serve", "--port", given.port, "--no-browser", "--model", model)
    with process(*serve) as server:
        if is_kafka:
            with process("run", "--model", model):
                return asked(given, address, server)
        return asked(given, address, server)


def asked(given: argparse.Namespace, address: str, server: subprocess.Popen[bytes]) -> int:
    """The measurements, one after the other."""
    until_ready(address, server)
    made = [*ALCYON, "keys", "create", "--role", "ingest"]
    key = subprocess.run(made, check=True, capture_output=True, text=True).stdout.split()[-1]
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors", flush=True)
    load = [sys.executable, str(LOAD), "--base-url", address, "--key", key]
    load += ["--server", str(server.pid)]
    usual = ["--requests", str(given.requests), "--concurrency", str(given.concurrency)]
    codes = [
        subprocess.run([*load, *more], check=False).returncode
        for more in (
            [*usual, "--rate", str(given.rate)],
            usual,
            ["--requests", "100", "--concurrency", "2", "--batch", "1000"],
        )
    ]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
