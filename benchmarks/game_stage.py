"""The stage of the game day: servers and processes of ours on loopback, and what watches them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # `tests`, `services`

from confluent_kafka import OFFSET_END, Consumer, TopicPartition
from tests.receiving import Receiver, mail_box, receiver

from game_model import make_model
from services import Folder, Kafka
from services.environment import variables
from services.monitors import Every, Monitors, Outside
from services.server import HOST, free_ports

START_S_MAX = 300.0
"""A first start compiles the features."""
LABELS = ("--label-delays", "0.000001")
"""Labels come at once: the simulation's own delays are weeks, and a day here is a minute."""


class Stage:
    """All processes, and what is done to them. They end with `files`."""

    def __init__(self, work: Path, rate: float, files: ExitStack) -> None:
        self.work, self.rate, self._files = work, rate, files
        self.servers = Folder(work / "servers")
        files.callback(self.servers.down)
        tell("starting a broker and Postgres")
        facts = self.servers.up(["kafka", "postgres"])
        broker = facts["kafka"]
        assert isinstance(broker, Kafka)
        self.bootstrap = broker.bootstrap
        self.port, self.api_port = free_ports(range(31_000, 32_000), None, None)
        mine = {k: v for k, v in os.environ.items() if not k.startswith("ALCYON_")}
        for fact in facts.values():
            mine |= {k: v for k, v in variables(fact).items() if k.startswith("ALCYON_")}
        more = {"ALCYON_HOME": str(work / "home"), "ALCYON_STATUS__PORT": str(self.port)}
        self.environment = mine | more
        tell("making a model")
        self.model = work / "model"
        make_model(self.model)
        tell("starting the worker")
        self.worker = self.start_worker()
        await_ready(self.port)
        tell("starting projections, learner, API and payments")
        self.begin("run", "--only", "projections")
        self.begin("learn")
        self.begin("serve", "--no-browser", "--port", str(self.api_port))
        self.traffic = self._send(1, *LABELS)

    def targets(self) -> list[tuple[str, str, str]]:
        """Of Prometheus: job, process, address."""
        return [
            ("alcyon_worker", "worker", f"{HOST}:{self.port}"),
            ("alcyon_worker", "projections", f"{HOST}:{self.port + 1}"),
            ("alcyon_learner", "learner", f"{HOST}:{self.port + 2}"),
            ("alcyon_api", "api", f"{HOST}:{self.api_port}"),
            ("alcyon_api", "duties", f"{HOST}:{self.port + 3}"),
        ]

    def start_worker(self) -> subprocess.Popen[bytes]:
        """The worker alone."""
        return self.begin("run", "--only", "worker", "--model", str(self.model))

    def begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command of ours beside us."""
        with (self.work / f"{arguments[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "alcyon.cli", *arguments], env=self.environment,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._files.callback(ended, process)
        return process

    def replace_traffic(self, seed: int, *options: str) -> float:
        """Other payments from now on, and no more of those before; since when, by the monotonic
        clock."""
        with closing(self._tail()) as tail:
            before = {run_of(tail)}
            fresh = self._send(seed, *options)
            while run_of(tail) in before:
                pass
        self.traffic.kill()  # asked to stop, it would first send what it has
        self.traffic.wait()
        self.traffic = fresh
        return time.monotonic()

    def _tail(self) -> Consumer:
        """Of the topic of payments."""
        tail = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "game"})
        tail.assign([TopicPartition("transactions", 0, OFFSET_END)])
        return tail

    def _send(self, seed: int, *options: str) -> subprocess.Popen[bytes]:
        rate = ("--rate", str(self.rate), "--seed", str(seed))
        return self.begin("produce", "--generate", *rate, *options)


def run_of(tail: Consumer) -> str:
    """Which run of the simulation the next payment is of; SystemExit: there is none."""
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline:
        message = tail.poll(1.0)
        if message is not None and message.error() is None:
            payment = json.loads(message.value() or b"")
            return str(payment["transaction_id"]).rpartition("-")[0]
    raise SystemExit("no payments come")


@contextmanager
def staged(rate: float, haste: int, every: Every) -> Iterator[tuple[Stage, Monitors, Receiver]]:
    """Everything, running and watched. haste: by how much the rules' times are shorter."""
    with ExitStack() as files:
        work = Path(files.enter_context(temporary()))
        slack, mails = files.enter_context(receiver()), files.enter_context(mail_box())
        stage = Stage(work, rate, files)
        outside = Outside(slack.url, f"{HOST}:{mails.port}")
        tell("starting Prometheus and Alertmanager")
        monitors = files.enter_context(
            closing(Monitors(work / "monitors", stage.targets(), outside, haste, every))
        )
        known = {process: True for _, process, _ in stage.targets()}
        if awaited(lambda: monitors.up() == known, START_S_MAX) is None:
            raise SystemExit(f"not all targets are up: {monitors.up()}")
        yield stage, monitors, slack


@contextmanager
def temporary() -> Iterator[str]:
    """A folder that PostgreSQL may enter, which runs as another user where we are root."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="alcyon-game-") as folder:
        Path(folder).chmod(0o711)
        yield folder


def awaited(holds: Callable[[], bool], patience_s: float) -> float | None:
    """How many seconds from now it took; None: it did not come."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < patience_s:
        if holds():
            return passed
        time.sleep(0.05)
    return None


def await_ready(port: int) -> None:
    """Until /readyz says so; SystemExit: it never did."""

    def is_ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=2):
                return True
        except OSError:
            return False

    if awaited(is_ready, START_S_MAX) is None:
        raise SystemExit(f"the worker was not ready within {START_S_MAX:.0f} s: see run.log")


def ended(process: subprocess.Popen[bytes]) -> None:
    """Ask it to stop; make it, after a while."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def tell(what: str) -> None:
    """A line of progress, with the clock."""
    print(f"{time.strftime('%H:%M:%S')} {what} …", file=sys.stderr, flush=True)
