"""Nothing lost and nothing doubled: everything is killed, again and again, under full traffic.

    python benchmarks/stream_kill_loop.py --kills 20 --rate 1000

`alcyon run` decides over real servers (a folder of their own, never `.services`) while a producer
sends transactions with ids of its own making, repeats, late ones, poison, labels that flip and
rules that change. Worker, projections, Kafka, Postgres and Redis are killed (kill -9) and paused,
many times inside a snapshot or a commit. In the end every acknowledged id must have one decision,
in the log and in Postgres; features must equal the SQL; a replay must differ in nothing. Prints
its seed and a ledger; writes reports/stream_kill_loop.json; the exit code is 1 where anything is
wrong. Ctrl-C ends the kills, and what was done by then is checked.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from threading import Event

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import report
from alcyon.features.compiled.memory import MEMORY_VERSION
from alcyon.io import snapshots
from stream_kill_acts import Act, Stage, Told, deck
from stream_kill_read import stored
from stream_kill_traffic import Plan, Sent, produce
from stream_kill_victims import DETECTOR, PROJECTIONS, WORKER, Aim, Programs, Servers, Watch

LAG_S = 1.0
"""Traffic has recovered once decisions are not further behind than this."""
RECOVERY_S_MAX = 90.0
STORES_BEHIND_MAX = 100_000
"""More decisions than this that the stores lack would be a backlog, no longer traffic."""
FIRST_S_MAX = 300.0
"""Before the first kill: where nothing is compiled yet, that takes a minute."""
BAR_S = 5.0
"""From the kill of a worker to the first new decision."""


class Options(argparse.Namespace):
    """The command line."""

    kills: int
    seed: int
    rate: float
    history: int
    every: float
    folder: Path | None
    cache: Path
    no_report: bool
    produce: Path | None


def options() -> Options:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--rate", type=float, default=1000, help="transactions per second")
    parser.add_argument("--history", type=int, default=100_000, help="events put in beforehand")
    parser.add_argument("--every", type=float, default=10, help="seconds from kill to kill")
    parser.add_argument("--folder", type=Path, help="for all files; kept")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "alcyon-histories"
    )
    parser.add_argument("--no-report", action="store_true")
    parser.add_argument("--produce", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(namespace=Options())


def history(options: Options) -> Path:
    """A folder with `t.parquet`, `l.parquet` and the warmed `state`, made once."""
    made_of = DETECTOR.read_bytes() + Path(snapshots.__file__).read_bytes()
    made_of += str(MEMORY_VERSION).encode()
    name = f"{options.history}-{hashlib.sha256(made_of).hexdigest()[:12]}"
    folder = options.cache / name
    if (folder / "state").is_dir():
        return folder
    making = options.cache / f"{name}.{os.getpid()}"
    making.mkdir(parents=True)
    transactions, labels = making / "t.parquet", making / "l.parquet"
    alcyon = [sys.executable, "-m", "alcyon.cli"]
    generate = ["generate", "--transactions", str(options.history), "--seed", "5"]
    generate += ["--out", str(transactions), "--labels-out", str(labels)]
    warm = ["warm", "--input", str(transactions), "--labels", str(labels)]
    warm += ["--catalog", str(DETECTOR), "--snapshot", str(making / "state")]
    for command in (generate, warm):
        subprocess.run([*alcyon, *command], check=True, env=_plain())
    making.rename(folder)
    return folder


def _plain() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("ALCYON_")}


class Producing:
    """The producer's process."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._file = folder / "sent.json"
        (folder / "plan.json").write_bytes(msgspec.json.encode(plan))
        command = [sys.executable, __file__, "--produce", str(folder / "plan.json")]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def say(self, word: str) -> None:
        """go, around or stop."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def stop(self) -> Sent:
        """What was sent, once all is acknowledged."""
        self.say("stop")
        if self._process.wait(300):
            raise RuntimeError("the producer failed")
        return msgspec.json.decode(self._file.read_bytes(), type=Sent)

    def end(self) -> None:
        """At any time."""
        self._process.kill()
        self._process.wait()


class Run:
    """The kills, from the first to the last."""

    def __init__(
        self,
        options: Options,
        stage: Stage,
        producing: Producing,
        end: int,
        set_to: Mapping[str, str],
    ) -> None:
        self._options, self._stage, self._producing = options, stage, producing
        self._end_of_history, self._set_to = end, set_to
        self.stop = Event()
        self.ledger: list[Told] = []
        self.recovered_s_max = self.stored_s_max = 0.0

    def kills(self) -> None:
        """All of them, in `every` seconds each where the machine can."""
        acts = deck(self._options.kills, self._stage.rng)
        self._producing.say("go")
        self._began = time.monotonic()
        self._recovered(FIRST_S_MAX)
        self.recovered_s_max = self.stored_s_max = 0.0
        for number, act in enumerate(acts, 1):
            began = time.monotonic()
            self._producing.say("around")
            time.sleep(self._stage.rng.uniform(0.2, 1.0))
            self._one(number, act)
            self._recovered()
            if ended := self._stage.programs.ended():
                self._stage.violations.append(f"{', '.join(ended)} ended by itself after {act}")
                for part in ended:
                    self._stage.programs.start(part)
            time.sleep(max(0.0, began + self._options.every - time.monotonic()))
            if self._stage.violations or self.stop.is_set():
                break

    def _one(self, number: int, act: Act) -> None:
        at = time.monotonic() - self._began
        when, back, note = self._stage.play(act)
        told = Told(number, round(at, 1), act.victim, act.how, when, back, note)
        self.ledger.append(told)
        shown = "never" if back is None else f"{back:6.2f} s"
        print(
            f"{number:4} {at:7.1f} s  {act.victim:<25}{act.how:<26}{when:<20}{shown}  {note}",
            flush=True,
        )

    def _recovered(self, seconds_max: float = RECOVERY_S_MAX) -> None:
        """Until decisions are about as new as what is sent, and the stores not far behind."""
        began = time.monotonic()
        while (lag := self.lag_s()) > LAG_S:
            if time.monotonic() > began + seconds_max:
                self._stage.violations.append(f"still {lag:.1f} s behind after {seconds_max} s")
                return
            time.sleep(0.05)
        self.recovered_s_max = max(self.recovered_s_max, time.monotonic() - began)
        decided, began = self._stage.watch.sequence, time.monotonic()
        while (has := stored(self._set_to)) < decided - STORES_BEHIND_MAX:
            if time.monotonic() > began + seconds_max:
                self._stage.violations.append(f"the stores have {has}, decided was {decided}")
                return
            time.sleep(0.2)
        self.stored_s_max = max(self.stored_s_max, time.monotonic() - began)

    def lag_s(self) -> float:
        """How far decisions are behind what is sent."""
        newest = self._stage.watch.event_time - self._end_of_history - 1000
        return time.monotonic() - self._began - newest / 1000


def main() -> int:
    """0 if nothing is wrong."""
    given = options()
    if given.produce:
        produce(given.produce)
        return 0
    print(f"seed {given.seed}", flush=True)
    folder = given.folder or Path(tempfile.mkdtemp(prefix="alcyon-stream-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
    with ExitStack() as ends:
        found = _run(given, folder, ends)
    if not given.no_report:
        report.write("stream_kill_loop", found)
    wrong = found["violations"]
    assert isinstance(wrong, list)
    print("\n".join(wrong) or "nothing lost, nothing doubled, nothing differs")
    if not wrong and given.folder is None:
        shutil.rmtree(folder)
    return 1 if wrong else 0


@contextmanager
def _servers(folder: Path) -> Iterator[Servers]:
    servers = Servers(folder)
    try:
        yield servers
    finally:
        servers.down()


def _run(given: Options, folder: Path, ends: ExitStack) -> dict[str, object]:
    from stream_kill_check import Check, drained, end_of

    past = history(given)
    servers = ends.enter_context(_servers(folder / "services"))
    environment = servers.environment()
    bootstrap = environment["KAFKA_BOOTSTRAP"]
    home = folder / "home"
    shutil.copytree(past / "state", home / "snapshots")
    set_to = {k: v for k, v in environment.items() if k.startswith("ALCYON_")} | {
        "ALCYON_HOME": str(home),
        "ALCYON_STATUS__PORT": "0",
        "ALCYON_WORKER__SNAPSHOT_EVERY": str(max(2000, round(4 * given.rate))),
    }
    programs = Programs(folder, set_to)
    ends.callback(programs.end)
    for part in (WORKER, PROJECTIONS):
        programs.start(part)
    transactions = past / "t.parquet"
    detector = str(DETECTOR)
    plan = Plan(str(folder), bootstrap, str(transactions), detector, given.rate, given.seed)
    producing = Producing(folder, plan)
    ends.callback(producing.end)
    end = end_of(transactions)
    _topics_made(bootstrap)
    watch, violations = Watch(bootstrap), list[str]()
    rng = random.Random(given.seed)
    aim = Aim(bootstrap, home / "snapshots", rng)
    stage = Stage(programs, servers, watch, aim, rng, violations)
    run = Run(given, stage, producing, end, set_to)
    signal.signal(signal.SIGINT, lambda *_: run.stop.set())
    try:
        run.kills()
        sent = producing.stop()
        drained(set_to, sent, violations)
    finally:
        watch.close()
    violations += [f"decisions went back from {a} to {b}" for a, b in watch.backwards]
    checked = Check(given.seed, folder, past, set_to, sent).all(violations)
    codes = programs.stop()
    violations += [f"{part} ended with exit code {c}" for part, c in codes.items() if c]
    return _summary(given, run, sent, violations) | checked


def _topics_made(bootstrap: str) -> None:
    from confluent_kafka.admin import AdminClient

    client, deadline = AdminClient({"bootstrap.servers": bootstrap}), time.monotonic() + 60
    while "commits" not in client.list_topics(timeout=10).topics:
        if time.monotonic() > deadline:
            raise RuntimeError("alcyon run makes no topics: see worker.log")
        time.sleep(0.1)


def _summary(given: Options, run: Run, sent: Sent, violations: list[str]) -> dict[str, object]:
    after_kill = [
        t.back_s for t in run.ledger if t.victim == WORKER and t.how == "kill" and t.back_s
    ]
    aimed = [t for t in run.ledger if t.when.startswith("inside")]
    back = {
        "median_s": median(after_kill) if after_kill else None,
        "max_s": max(after_kill, default=None),
        "bar_s": BAR_S,
    }
    print(
        f"{len(run.ledger)} kills, {len(aimed)} inside a snapshot or a commit; first decision "
        f"after the kill of a worker: median {back['median_s']} s, longest {back['max_s']} s; "
        f"producer at most {sent.behind_s_max} s behind its schedule"
    )
    return {
        "seed": given.seed,
        "kills": len(run.ledger),
        "aimed": len(aimed),
        "rate": given.rate,
        "history": given.history,
        "back_after_worker_kill": back,
        "recovered_s_max": round(run.recovered_s_max, 1),
        "stores_recovered_s_max": round(run.stored_s_max, 1),
        "acknowledged": sent.acknowledged,
        "poison": len(sent.poison),
        "late_or_disordered_beyond": sent.late,
        "duplicates": sent.duplicates,
        "failed_deliveries": sent.failed,
        "producer_behind_s_max": sent.behind_s_max,
        "violations": violations,
        "ledger": msgspec.to_builtins(run.ledger),
    }


if __name__ == "__main__":
    sys.exit(main())
