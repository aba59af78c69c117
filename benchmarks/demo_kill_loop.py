"""kill -9 of the demo, again and again; then all it decided and stored equals an undisturbed run.

    python benchmarks/demo_kill_loop.py --kills 20 [--transactions 60000] [--setup HOME]

A finished setup (a small one is made unless one is given) is copied twice. One copy runs to its
end undisturbed. The other is killed at random moments, while it starts, recovers or works, and
started again, until it ends. Then the intake, every decision and every row must be the same.
Prints its seed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from alcyon.detectors.loading import load_detector
from alcyon.io.log import EmbeddedCommits, EmbeddedSource
from alcyon.io.model_folder import FolderRegistry
from alcyon.io.sqlite.store import TABLES
from alcyon.runners.demo.place import DemoPlace
from alcyon.runners.demo.recipe import Recipe
from alcyon.runners.demo.setup import Making, make_setup
from alcyon.runners.learning.models import loader
from alcyon.runners.stream.deciding import Means
from alcyon.settings import load_settings

SMALL = {
    "cards": 600, "history_transactions": 9_000, "history_fraud_rate": 0.05,
    "trained_transactions": 9_000,
}  # fmt: skip
AT_ONCE = {"ALCYON_WORKER__BATCH_MAX": "256", "ALCYON_WORKER__SNAPSHOT_EVERY": "400"}
"""Small batches and many snapshots, so that there is much to be killed in."""


def main() -> int:
    """1 where anything differs."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--kills", type=int, default=20)
    arguments.add_argument("--transactions", type=int, default=60_000)
    arguments.add_argument("--setup", type=Path, help="an ALCYON_HOME with a finished setup")
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    chosen = arguments.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    with tempfile.TemporaryDirectory() as work:
        setup, undisturbed, killed = chosen.setup, Path(work, "one"), Path(work, "other")
        if setup is None:
            setup = Path(work, "setup")
            make_small_setup(setup)
        shutil.copytree(setup, undisturbed)
        shutil.copytree(setup, killed)
        one = run_to_the_end(undisturbed, chosen.transactions)
        kills = kill_often(killed, chosen.transactions, chosen.kills, random.Random(chosen.seed))
        other = run_to_the_end(killed, chosen.transactions)
        found = list(differences(DemoPlace(undisturbed / "demo"), DemoPlace(killed / "demo")))
    found += [f"{k}: {one[k]} and {other[k]}" for k in one if one[k] != other[k]]
    print(f"{kills} kills, {one['decisions']} decisions, {len(found)} differences", flush=True)
    for difference in found:
        print(difference)
    return 1 if found else 0


def make_small_setup(home: Path) -> None:
    """The setup of a start, with little history."""
    detector, place = load_detector("card"), DemoPlace(home / "demo")
    recipe = Recipe(seed=3, now=round(time.time() * 1000), **SMALL)  # type: ignore[arg-type]
    load = loader(FolderRegistry(place.models), detector.catalog)
    means = Means(load_settings().token.keys(), load)
    make_setup(Making(place, recipe, detector, means, lambda name, done, total: None))


def start(home: Path, transactions: int) -> subprocess.Popen[bytes]:
    """The demo at full speed."""
    given = ["demo", "--transactions", str(transactions), "--exit", "--json"]
    environment = {**os.environ, **AT_ONCE, "ALCYON_HOME": str(home)}
    command = [sys.executable, "-m", "alcyon.cli", *given]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def run_to_the_end(home: Path, transactions: int) -> dict[str, object]:
    """The outcome, without what is of this run alone."""
    out, err = start(home, transactions).communicate()
    outcome: dict[str, object] = msgspec.json.decode(out or b'{"decisions": null}')
    if outcome["decisions"] is None:
        raise SystemExit(f"the demo did not come to its end: {err.decode()}")
    return {k: v for k, v in outcome.items() if k not in ("latency_ms", "transactions_per_second")}


def kill_often(home: Path, transactions: int, kills: int, rng: random.Random) -> int:
    """Kill it so often, or until it comes to its end; how often it was."""
    place, done = DemoPlace(home / "demo"), 0
    while done < kills:
        before = _bytes(place.decisions)
        running = start(home, transactions)
        if rng.random() < 0.8:  # at work; else anywhere, mostly while it starts
            while _bytes(place.decisions) == before and running.poll() is None:
                time.sleep(0.005)
            time.sleep(rng.random() * 0.4)
        else:
            time.sleep(rng.random() * 4)
        if running.poll() is not None:
            running.communicate()
            return done
        running.kill()
        running.communicate()
        done += 1
    return done


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.segment"))


def differences(one: DemoPlace, other: DemoPlace) -> Iterator[str]:
    """What is not the same in two demos, in words."""
    for name, read in (("record", records), ("decision", decisions)):
        first, second = list(read(one)), list(read(other))
        if len(first) != len(second):
            yield f"{len(first)} and {len(second)} {name}s"
        yield from (
            f"{name} {k} differs" for k, (a, b) in enumerate(zip(first, second, strict=False))
            if a != b
        )  # fmt: skip
    for table in TABLES:
        if rows(one.store, table) != rows(other.store, table):
            yield f"table {table} differs"


def records(place: DemoPlace) -> Iterator[tuple[str, bytes]]:
    """Topic and payload of all of the intake."""
    with closing(EmbeddedSource(place.intake)) as source:
        while polled := source.poll(4096, 0.0):
            yield from ((record.topic.name, record.payload) for record in polled)


def decisions(place: DemoPlace) -> Iterator[bytes]:
    """All decisions as they lie in the log."""
    with closing(EmbeddedCommits(place.decisions)) as commits:
        index = 0
        while group := commits.read(index, 64):
            index += len(group)
            yield from (decision for commit in group for decision in commit.decisions)


def rows(store: Path, table: str) -> list[tuple[object, ...]]:
    """A table in order of sequence."""
    with closing(sqlite3.connect(store)) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY sequence").fetchall()


if __name__ == "__main__":
    sys.exit(main())
