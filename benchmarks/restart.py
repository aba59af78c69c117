"""kill -9 of a worker with tens of millions of events in its state; how soon the next one decides.

    python benchmarks/restart.py --folder /tmp/restart

Made once and kept in the folder: a state of 26 M kept events as a snapshot, a model, and payments
that go on from there. Each run lets a worker decide on some payments behind its snapshot, kills it
with -9, starts another at once and times its parts up to its first decision: as `alcyon run` does
it, but over the embedded logs, so without the time that a broker takes. Another process measures
what writing such a snapshot costs the thread that decides. Writes reports/restart.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alcyon.detectors.loading import Detector
    from alcyon.domain.commit import Commit
    from alcyon.features.kernel import Kernel
    from alcyon.io.snapshot_reading import ReadAhead
    from alcyon.runners.stream.deciding import Means
    from alcyon.runners.stream.worker import Ports, Worker
    from alcyon.settings import Settings

DAY_MS = 86_400_000
BEHIND = 1_000_000
"""Payments behind the history: as many can be replayed, or decided beside the writing."""
COMMITTED = 100
"""Records in a commit: 20 ms at 5,000 a second."""
KEY = b"0123456789abcdef"


def made(folder: Path, days: int, per_day: int) -> None:
    """History, model and intake, once."""
    from alcyon.codecs.json import encode
    from alcyon.detectors.loading import load_detector
    from alcyon.domain.currency import DEFAULT_RATES
    from alcyon.domain.record import Topic
    from alcyon.features.kernel import Kernel
    from alcyon.features.layout import Layout
    from alcyon.io.log import EmbeddedIntake
    from alcyon.runners.files.warming import save_state
    from alcyon.runners.stream.in_force import bootstrap_controls
    from alcyon.scoring.policy import Policy
    from alcyon.simulation import Scenario, simulate
    from engine_model import warm

    if (folder / "facts.json").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    detector = load_detector("card")
    shutil.copytree(warm(200_000, 50_000, 7).folder, folder / "model")
    wanted = days * per_day
    scenario = Scenario(transactions=wanted + BEHIND, seed=1, duration_ms=days * DAY_MS)
    kernel, seen = Kernel(Layout(detector.catalog)), 0
    with closing(EmbeddedIntake(folder / "intake", "never")) as intake:
        policy = detector.policy or Policy()
        controls = bootstrap_controls(detector.rules, policy, DEFAULT_RATES, "m")
        intake.append(Topic.CONTROL, controls)
        for piece in simulate(scenario, scenario.create_population()):
            batch = piece.transactions
            past = batch.slice(0, min(len(batch), max(0, wanted - seen)))
            for start in range(0, len(past), 4096):
                kernel.observe(past.slice(start, min(start + 4096, len(past))))
            intake.append(Topic.TRANSACTIONS, encode(batch.slice(len(past), len(batch))))
            seen += len(batch)
    save_state(kernel, folder / "history")
    facts = {"kept_events": kernel.state.kept_events, "state_bytes": kernel.state.used_bytes}
    (folder / "facts.json").write_text(json.dumps(facts))


class Laps:
    """Seconds by name, each since the one before: of the clock, of the processor, and of the
    processor in this thread alone, which a machine without other work would need at least."""

    def __init__(self, began: float) -> None:
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}
        self.main: dict[str, float] = {}
        self._at, self._used, self._main, self._began = began, 0.0, 0.0, began

    def lap(self, name: str) -> None:
        """It ended now."""
        now, used, main = time.monotonic(), time.process_time(), time.thread_time()
        self.wall[name] = self.wall.get(name, 0.0) + now - self._at
        self.cpu[name] = self.cpu.get(name, 0.0) + used - self._used
        self.main[name] = self.main.get(name, 0.0) + main - self._main
        self._at, self._used, self._main = now, used, main

    def told(self, **more: object) -> str:
        """As JSON, with the sums."""
        wall = {**self.wall, "all": self._at - self._began}
        cpu = {**self.cpu, "all": self._used}
        main = {**self.main, "all": self._main}
        return json.dumps({"wall": wall, "cpu": cpu, "main": main, **more})


def means(detector: Detector, folder: Path, laps: Laps) -> Means:
    """As the worker's; when the model is loaded, replaying is over."""
    from alcyon.domain.token_keys import TokenKeys
    from alcyon.runners.stream.deciding import Means
    from alcyon.scoring.model import Model

    def load_model(name: str) -> Model:
        laps.lap("replay")
        names = detector.catalog.model_names
        return Model.load(folder / "model", catalog_hash=detector.catalog.hash, feature_names=names)

    return Means(TokenKeys(1, KEY), load_model, detector.columns)


def opened(folder: Path, laps: Laps, ahead: ReadAhead | None = None) -> Ports:
    """Over the embedded logs; the first commit that is read is the end of loading the state."""
    from alcyon.io.log import EmbeddedDecisions, EmbeddedSource
    from alcyon.runners.stream.worker import Ports

    class Decisions(EmbeddedDecisions):
        def read(self, index: int, max_commits: int) -> list[Commit]:
            if "wait for the state" not in laps.wall:
                laps.lap("wait for the state")
            return super().read(index, max_commits)

    log = Decisions(folder / "run" / "decisions", "never")
    return Ports(EmbeddedSource(folder / "intake"), log, folder / "run" / "snapshots", ahead)


def settings(folder: Path) -> Settings:
    """Those of a worker in this folder."""
    from alcyon.settings import load_settings

    return load_settings(home=folder / "run")


def recovered(folder: Path, every: int = 10**9) -> tuple[Worker, Kernel]:
    """A worker as any other, not timed."""
    from alcyon.detectors.loading import load_detector
    from alcyon.features.kernel import Kernel
    from alcyon.features.layout import Layout
    from alcyon.runners.stream.recovery import recover
    from alcyon.runners.stream.worker import Pace

    laps, detector = Laps(time.monotonic()), load_detector("card")
    kernel, ports = Kernel(Layout(detector.catalog)), opened(folder, laps)
    pace = Pace(batch_max=COMMITTED, snapshot_every=every)
    return recover(kernel, ports, means(detector, folder, laps), pace)[0], kernel


def victim(folder: Path, records: int) -> None:
    """Decides on so many records, says so, and waits to be killed."""
    worker, _ = recovered(folder)
    while worker.place.position < records:
        worker.step()
    print("decided", flush=True)
    time.sleep(600)


def restart(folder: Path, began: float) -> None:
    """Everything a worker does before its first decision, in the order of `alcyon run`."""
    laps = Laps(began)
    laps.lap("interpreter")
    import alcyon.cli
    import alcyon.cli.run
    import alcyon.settings  # noqa: F401

    set_to = settings(folder)
    laps.lap("imports, until reading begins")
    from alcyon.io.snapshot_reading import read_ahead

    ahead = read_ahead(folder / "run" / "snapshots", set_to.kernel.state_bytes_max)
    from alcyon.detectors.loading import load_detector

    detector = load_detector("card")
    from alcyon.features.kernel import Kernel
    from alcyon.features.layout import Layout
    from alcyon.io import kafka  # noqa: F401
    from alcyon.runners.stream import service, telling  # noqa: F401
    from alcyon.runners.stream.recovery import recover
    from alcyon.runners.stream.worker import Pace

    laps.lap("imports, beside reading")
    kernel = Kernel(Layout(detector.catalog))
    with_model = means(detector, folder, laps)
    laps.lap("kernel")
    ports = opened(folder, laps, ahead)
    laps.lap("logs")
    worker, found = recover(kernel, ports, with_model, Pace())
    laps.lap("model")
    while not worker.step().decisions:
        pass
    laps.lap("first decisions")
    assert found.snapshot is not None
    assert not found.refused
    print(laps.told(replayed=found.replayed, kept_events=kernel.state.kept_events), flush=True)
    os._exit(0)


def writing(folder: Path) -> None:
    """What a snapshot costs the thread that decides, and how long the file takes."""
    worker, kernel = recovered(folder, 10_000)
    rows: list[tuple[bool, float, float]] = []
    written = None
    while written is None:
        is_running = worker._snapshots.is_writing
        used = time.thread_time()
        stepped = worker.step()
        used = time.thread_time() - used
        if stepped.records == COMMITTED:
            rows.append((is_running, used, stepped.seconds["snapshot"]))
        written = stepped.snapshot
    assert written.error is None
    during = [row for row in rows if row[0]]
    pauses = [row[2] for row in during]
    typical = statistics.median(row[1] for row in rows if not row[0])
    extra = sum(row[1] for row in during) - typical * len(during)
    told = {
        "state_bytes": kernel.state.used_bytes, "seconds": round(written.seconds, 2),
        "records_meanwhile": len(during) * COMMITTED, "thread_s": round(extra, 3),
        "copying_s_wall": round(sum(pauses), 3),
        "quiet_us_per_record": round(typical / COMMITTED * 1e6, 2),
        "pause_ms_wall": {
            "p50": round(statistics.median(pauses) * 1e3, 2),
            "p99": round(statistics.quantiles(pauses, n=100, method="inclusive")[98] * 1e3, 2),
            "max": round(max(pauses) * 1e3, 2),
        },
        "longest_step_ms_cpu": round(max(row[1] for row in during) * 1e3, 2),
        "process_cpu_s": round(time.process_time(), 2),
    }  # fmt: skip
    print(json.dumps(told), flush=True)
    os._exit(0)


def child(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    """This script as a process of its own."""
    command = [sys.executable, __file__, "--folder", str(folder), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def fresh(folder: Path) -> None:
    """A worker's home where nothing was decided yet; the snapshot is the history's."""
    shutil.rmtree(folder / "run", ignore_errors=True)
    (folder / "run" / "snapshots").mkdir(parents=True)
    for path in (folder / "history").iterdir():
        os.link(path, folder / "run" / "snapshots" / path.name)


def one(folder: Path, records: int) -> dict[str, object]:
    """Decide, kill, start anew."""
    fresh(folder)
    with child(folder, "--victim", records) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "decided\n"
        first.kill()
    with child(folder, "--restart", time.monotonic()) as second:
        out, _ = second.communicate()
    return {**json.loads(out), "load_average": os.getloadavg()}


def summary(runs: list[dict[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Of each part the median and lower quartile of wall time, and median processor time."""
    parts = {}
    for name in runs[0]["wall"]:
        wall, cpu, main = ([run[kind][name] for run in runs] for kind in ("wall", "cpu", "main"))
        low = statistics.quantiles(wall, n=4, method="inclusive")[0] if len(wall) > 1 else wall[0]
        parts[name] = {
            "wall_s": round(statistics.median(wall), 3),
            "wall_s_lower_quartile": round(low, 3),
            "cpu_s": round(statistics.median(cpu), 3),
            "cpu_s_main_thread": round(statistics.median(main), 3),
        }
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--days", type=int, default=104)
    parser.add_argument("--per-day", type=int, default=131_000)
    parser.add_argument("--replayed", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--victim", type=int)
    parser.add_argument("--restart", type=float)
    parser.add_argument("--writing", action="store_true")
    given = parser.parse_args()
    if given.victim is not None:
        victim(given.folder, given.victim)
    if given.restart is not None:
        restart(given.folder, given.restart)
    if given.writing:
        writing(given.folder)
    measure(given)


def measure(given: argparse.Namespace) -> None:
    """All runs, the table, the report."""
    from report import write

    made(given.folder, given.days, given.per_day)
    facts = json.loads((given.folder / "facts.json").read_text())
    print(f"{facts['kept_events']:,} kept events, {facts['state_bytes'] / 2**30:.2f} GiB")
    report: dict[str, object] = {}
    for records in given.replayed:
        runs = [one(given.folder, records) for _ in range(given.runs)]
        parts = summary(runs)
        report[f"replayed_{records}"] = {"parts": parts, "runs": runs}
        print(f"\n{records:,} records behind the snapshot: wall, its lower quartile, cpu, main's")
        for name, row in parts.items():
            print(f"  {name:32s}" + "".join(f"{value:9.3f}" for value in row.values()))
    fresh(given.folder)
    with child(given.folder, "--writing") as process:
        report["writing"] = json.loads(process.communicate()[0])
    print("\nwriting", report["writing"])
    shutil.rmtree(given.folder / "run")
    write("restart", {**facts, **report, "shared_with": "other work on both cores"})


if __name__ == "__main__":
    main()
