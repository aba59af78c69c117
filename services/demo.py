"""Everything at once: servers, history, model, worker, projections and traffic.

    python -m services.demo [--folder .services] [--rate 100] [--history 200000]

The traffic is simulated: its first part trains the model and warms the state, its second part is
sent. Ctrl-C stops what this command started, and nothing else; servers that ran before keep
running.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services import Folder, ServiceError
from services.environment import variables
from services.facts import Facts

READY_SECONDS = 180.0
DAYS = 60
_STATUS_PORT = 9464
_STOP_SECONDS = 12.0


def main() -> int:
    """Start everything, then wait for Ctrl-C or the end of something."""
    parser = argparse.ArgumentParser(
        prog="python -m services.demo", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("--folder", type=Path, default=Path(".services"))
    parser.add_argument("--rate", type=float, default=100.0, help="payments a second (%(default)s)")
    parser.add_argument("--history", type=int, default=200_000, help="payments (%(default)s)")
    given = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupted)
    try:
        with ExitStack() as files:
            _run(given.folder.absolute(), given.rate, given.history, files)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    except (ServiceError, subprocess.CalledProcessError) as error:
        print(f"services: {error}", file=sys.stderr)
        return 1
    return 0


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def _run(folder: Path, rate: float, history: int, files: ExitStack) -> None:
    servers = Folder(folder)
    before = {status.name for status in servers.status() if status.process}
    print("starting Kafka, PostgreSQL, Redis and the schema registry", file=sys.stderr)
    facts = servers.up()
    started = [name for name in facts if name not in before]
    files.callback(lambda: servers.down(started))
    environment = _environment(facts, folder / "home")
    place = folder / "demo"
    _prepare(place, history, environment)
    model = str(place / "model")
    files.enter_context(closing(_Child(environment, "run", "--model", model)))
    _await_ready()
    _show(facts)
    live, labels = str(place / "live.parquet"), str(place / "labels.parquet")
    arguments = ("--input", live, "--labels", labels, "--rate", str(rate))
    traffic = files.enter_context(closing(_Child(environment, "produce", *arguments)))
    traffic.wait()
    print("all traffic is sent; Ctrl-C ends the rest", file=sys.stderr)
    signal.pause()


def _environment(facts: Mapping[str, Facts], home: Path) -> dict[str, str]:
    mine = {k: v for k, v in os.environ.items() if not k.startswith("ALCYON_")}
    for fact in facts.values():
        mine |= {k: v for k, v in variables(fact).items() if k.startswith("ALCYON_")}
    return mine | {"ALCYON_HOME": str(home), "ALCYON_STATUS__PORT": str(_STATUS_PORT)}


def _prepare(place: Path, history: int, environment: Mapping[str, str]) -> None:
    """History, model and warmed state, made anew where the last demo's are not whole."""
    place.mkdir(parents=True, exist_ok=True)
    done, home = place / f"made-{history}", Path(environment["ALCYON_HOME"])
    if not done.exists():
        start = datetime.now(UTC) - timedelta(days=DAYS)
        _alcyon(
            environment, "generate", "--transactions", str(2 * history), "--seed", "1",
            "--start", start.strftime("%Y-%m-%dT%H:%M:%S"), "--out", str(place / "all.parquet"),
            "--labels-out", str(place / "labels.parquet"),
        )  # fmt: skip
        _split(place, history)
        past, labels = str(place / "history.parquet"), str(place / "labels.parquet")
        both = ("--input", past, "--labels", labels)
        _alcyon(environment, "train", *both, "--out", str(place / "model"))
        done.touch()
    if not (home / "snapshots").is_dir():
        both = (
            "--input",
            str(place / "history.parquet"),
            "--labels",
            str(place / "labels.parquet"),
        )
        _alcyon(environment, "warm", *both, "--snapshot", str(home / "snapshots"))


def _split(place: Path, history: int) -> None:
    import pyarrow.parquet as pq

    everything = pq.read_table(place / "all.parquet")
    pq.write_table(everything.slice(0, history), place / "history.parquet")
    pq.write_table(everything.slice(history), place / "live.parquet")


def _alcyon(environment: Mapping[str, str], *arguments: str) -> None:
    print(f"alcyon {arguments[0]} …", file=sys.stderr)
    subprocess.run(
        [sys.executable, "-m", "alcyon.cli", *arguments], env=dict(environment), check=True
    )


class _Child:
    """A command that runs beside us."""

    def __init__(self, environment: Mapping[str, str], *arguments: str) -> None:
        command = [sys.executable, "-m", "alcyon.cli", *arguments]
        # A session of its own: Ctrl-C reaches us alone, and we stop it in order.
        self._process = subprocess.Popen(command, env=dict(environment), start_new_session=True)

    def wait(self) -> None:
        """Until it ends by itself."""
        self._process.wait()

    def close(self) -> None:
        """Stop it, and wait."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _await_ready() -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{_STATUS_PORT}/readyz", timeout=2):
                return
        except (OSError, urllib.error.HTTPError):
            time.sleep(0.2)
    raise ServiceError(f"the worker is not ready after {READY_SECONDS:.0f} s: see its lines above")


def _show(facts: Mapping[str, Facts]) -> None:
    lines = {"worker": f"http://127.0.0.1:{_STATUS_PORT}/metrics  /readyz  /healthz"}
    lines["projections"] = f"http://127.0.0.1:{_STATUS_PORT + 1}/metrics"
    for fact in facts.values():
        lines |= {
            k: v for k, v in variables(fact).items() if not k.startswith("ALCYON_") and k.isupper()
        }
    for name, value in lines.items():
        print(f"{name:<20} {value}")
    print("Ctrl-C stops all that this command started.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
