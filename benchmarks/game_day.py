"""A game day: real faults on a running Alcyon, and which Prometheus alert told of each, how soon.

    make game-day          # or: python benchmarks/game_day.py [--json] [--rate 200]

Starts a broker, Postgres, worker, projections, API, learner, simulated payments, Prometheus and
Alertmanager on loopback, and stops them all at the end. Rules are the deployed ones in haste: a
`for` of up to 12 minutes is 1 s, the day before is two minutes, scrapes and evaluations are 1 s
apart (`services.monitors.hastened`). The bar: firing within what the rule needs to see it (its
range, where it is a rate), its `for`, and two evaluations.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event, Thread

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # `tests`, `services`

from tests.receiving import Receiver, mail_box, receiver

from services import Folder, Kafka
from services.environment import variables
from services.monitors import EVERY_S, RANGE_S_MIN, Monitors, Outside
from services.server import free_ports

HASTE = 720
DAY_S = 86_400 // HASTE
FOR_S = 1
"""Of each alert here, in haste."""
WAIT_S = 300.0
QUERIES = {
    "decisions/s": "sum(action:alcyon_worker_decisions:rate5m)",
    "p99 ms": "1000 * max(job:alcyon_worker_decision_latency_seconds:p99_rate5m)",
    "approved %": "100 * max(job:alcyon_worker_approved:ratio_rate10m)",
    "fraud by score %": "100 * max(job:alcyon_worker_scored_fraud:ratio_rate10m)",
    "dead letters %": "100 * max(job:alcyon_worker_dead_letters:ratio_rate5m)",
    "not stored": "max(alcyon_projection_lag_commits{store='postgres'})",
    "labels/s": "sum(topic:alcyon_worker_records:rate5m{topic='labels'})",
}
"""The main lines of the dashboards."""


@dataclass(frozen=True)
class Told:
    """What one fault led to. Seconds are from the fault on."""

    fault: str
    alert: str
    severity: str
    fired_s: float
    bar_s: float
    on_slack_s: float
    over_s: float
    """From when it was healed."""
    page: str
    others: list[str]
    """Alerts that fired beside it."""
    before: dict[str, float]
    during: dict[str, float]


class Stage:
    """All processes, and what is done to them."""

    def __init__(self, work: Path, rate: float, files: ExitStack) -> None:
        self.work, self.rate, self._files = work, rate, files
        self.servers = Folder(work / "servers")
        files.callback(self.servers.down)
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
        self.model = self._model()
        self.worker = self.start_worker()
        await_ready(self.port)
        self.begin("run", "--only", "projections")
        self.begin("learn")
        self.begin("serve", "--no-browser", "--port", str(self.api_port))
        self.traffic = self.send()

    def _model(self) -> Path:
        """A small one, for scores."""
        files = [str(self.work / f"{name}.parquet") for name in ("t", "l")]
        size = ("--transactions", "20000", "--fraud-rate", "0.03")
        self.command("generate", *size, "--out", files[0], "--labels-out", files[1])
        both = ("--input", files[0], "--labels", files[1])
        self.command("train", *both, "--out", str(self.work / "model"))
        return self.work / "model"

    def command(self, *arguments: str) -> None:
        """Run one to its end."""
        print(f"alcyon {arguments[0]} …", file=sys.stderr)
        subprocess.run(
            [sys.executable, "-m", "alcyon.cli", *arguments], env=self.environment, check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one beside us."""
        with (self.work / f"{arguments[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "alcyon.cli", *arguments], env=self.environment,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._files.callback(ended, process)
        return process

    def start_worker(self) -> subprocess.Popen[bytes]:
        """The worker alone."""
        return self.begin("run", "--only", "worker", "--model", str(self.model))

    def send(self, *more: str, seed: int = 1) -> subprocess.Popen[bytes]:
        """Simulated payments."""
        rate = ("--rate", str(self.rate), "--seed", str(seed))
        return self.begin("produce", "--generate", *rate, *more)

    def replace_traffic(self, *more: str, seed: int) -> None:
        """Other payments from now on."""
        fresh = self.send(*more, seed=seed)
        ended(self.traffic)
        self.traffic = fresh


def ended(process: subprocess.Popen[bytes]) -> None:
    """Ask it to stop; make it, after a while."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_ready(port: int) -> None:
    """Until /readyz says so."""
    import urllib.request

    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"the worker was not ready within {WAIT_S:.0f} s: see run.log")


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong. sees_s: what the rule needs to see it, beside its `for`."""

    name: str
    alert: str
    sees_s: float
    inject: Callable[[Stage], Callable[[], None]]
    """Gives what heals it."""


def kill_worker(stage: Stage) -> Callable[[], None]:
    """kill -9."""
    os.kill(stage.worker.pid, signal.SIGKILL)
    stage.worker.wait()

    def heal() -> None:
        stage.worker = stage.start_worker()

    return heal


def stop_postgres(stage: Stage) -> Callable[[], None]:
    """Stopped in order; its data stay."""
    stage.servers.down(["postgres"], keep=True)
    return lambda: void(stage.servers.up(["postgres"]))


def poison(stage: Stage) -> Callable[[], None]:
    """As many unusable records as payments."""
    from confluent_kafka import Producer

    stop, producer = Event(), Producer({"bootstrap.servers": stage.bootstrap})

    def flood() -> None:
        while not stop.wait(0.1):
            for _ in range(round(stage.rate / 10)):
                producer.produce("transactions", b"{poison")
            producer.poll(0)
        producer.flush(10)

    thread = Thread(target=flood, daemon=True)
    thread.start()

    def heal() -> None:
        stop.set()
        thread.join()

    return heal


def shift(stage: Stage) -> Callable[[], None]:
    """Four of ten payments are fraud, by the attacks of the simulation."""
    stage.replace_traffic("--fraud-rate", "0.4", seed=2)
    return lambda: stage.replace_traffic(seed=3)


def freeze_labels(stage: Stage) -> Callable[[], None]:
    """Payments go on, labels do not."""
    stage.replace_traffic("--no-labels", seed=4)
    # The simulation's delays are weeks, a thousand times shorter: still long, here.
    return lambda: stage.replace_traffic("--label-delays", "0.000001", seed=5)


def void(_: object) -> None:
    """Nothing."""


FAULTS = (
    Fault("worker killed", "AlcyonTargetDown", 0, kill_worker),
    Fault("Postgres stopped", "AlcyonProjectionAway", 0, stop_postgres),
    Fault("poison flood", "AlcyonDeadLetters", RANGE_S_MIN, poison),
    Fault("fraud 0.7 to 40 %", "AlcyonFraudRateJump", RANGE_S_MIN, shift),
    Fault("labels frozen", "AlcyonLabelsStopped", DAY_S, freeze_labels),
)


def shown(monitors: Monitors) -> dict[str, float]:
    """What the dashboards' main queries are now."""
    found = {name: monitors.query(expression) for name, expression in QUERIES.items()}
    return {name: round(series[0][1], 2) for name, series in found.items() if series}


def seconds_until(holds: Callable[[], bool], since: float) -> float:
    """How long it took; NaN if it did not come."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if holds():
            return time.monotonic() - since
        time.sleep(0.05)
    return float("nan")


def play(fault: Fault, stage: Stage, monitors: Monitors, slack: Receiver) -> Told:
    """Inject, see it told, heal, see it over."""
    print(f"{fault.name} …", file=sys.stderr)
    quiet = monitors.firing()
    before, posted = shown(monitors), len(slack.posted)
    began = time.monotonic()
    heal = fault.inject(stage)
    fired = seconds_until(lambda: fault.alert in monitors.firing(), began)
    told = [one for one in monitors.alerts() if one.name == fault.alert]
    named = fault.alert.encode()
    on_slack = seconds_until(lambda: any(named in p.body for p in slack.posted[posted:]), began)
    during, others = shown(monitors), monitors.firing() - quiet - {fault.alert}
    print(f"  {fault.alert} after {fired:.1f} s", file=sys.stderr)
    heal()
    over = seconds_until(lambda: fault.alert not in monitors.firing(), time.monotonic())
    return Told(
        fault.name, fault.alert, told[0].labels["severity"] if told else "", fired,
        fault.sees_s + FOR_S + 2 * EVERY_S, on_slack, over,
        told[0].annotations["runbook_url"].rpartition("/")[2] if told else "", sorted(others),
        before, during,
    )  # fmt: skip


@contextmanager
def game(rate: float) -> Iterator[tuple[Stage, Monitors, Receiver]]:
    """Everything, running, with a usual day behind it."""
    with ExitStack() as files:
        work = Path(files.enter_context(tempfile.TemporaryDirectory(prefix="alcyon-game-")))
        work.chmod(0o711)  # PostgreSQL runs as another user where we are root
        slack, mails = files.enter_context(receiver()), files.enter_context(mail_box())
        stage = Stage(work, rate, files)
        local = "127.0.0.1"
        targets = [
            ("alcyon_worker", "worker", f"{local}:{stage.port}"),
            ("alcyon_worker", "projections", f"{local}:{stage.port + 1}"),
            ("alcyon_learner", "learner", f"{local}:{stage.port + 2}"),
            ("alcyon_api", "api", f"{local}:{stage.api_port}"),
        ]
        outside = Outside(slack.url, f"{local}:{mails.port}")
        monitors = files.enter_context(
            closing(Monitors(work / "monitors", targets, outside, HASTE))
        )
        if seconds_until(lambda: all(monitors.up().values()), time.monotonic()) != 0:
            print("all targets are up; a usual day goes by …", file=sys.stderr)
        time.sleep(DAY_S + 30)
        yield stage, monitors, slack


def show(all_told: list[Told]) -> None:
    """A table, and what the dashboards had."""
    columns = ("fault", "alert", "severity", "fired s", "bar s", "met", "Slack s", "over s")
    rows = [
        (t.fault, t.alert, t.severity, f"{t.fired_s:.1f}", f"{t.bar_s:.0f}",
         "yes" if t.fired_s <= t.bar_s else "no", f"{t.on_slack_s:.1f}", f"{t.over_s:.1f}")
        for t in all_told
    ]  # fmt: skip
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    for row in [columns, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
    for t in all_told:
        print(f"\n{t.fault}: docs/runbook/{t.page}; beside it: {', '.join(t.others) or 'nothing'}")
        for name in QUERIES:
            print(f"  {name:<18}{number(t.before, name):>10} -> {number(t.during, name)}")


def number(values: Mapping[str, float], name: str) -> str:
    """It, or a dash."""
    return f"{values[name]:g}" if name in values else "-"


def main() -> int:
    """0 if every alert came within its bar."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rate", type=float, default=200.0, help="payments a second (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    given = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)  # what runs beside us ends with us
    with game(given.rate) as (stage, monitors, slack):
        found = [play(fault, stage, monitors, slack) for fault in FAULTS]
    if given.json:
        print(json.dumps([asdict(told) for told in found], indent=2))
    else:
        show(found)
    return 0 if all(told.fired_s <= told.bar_s for told in found) else 1


if __name__ == "__main__":
    sys.exit(main())
