"""kill -9 of a worker, again and again, while transactions arrive; then every decision is checked.

    python benchmarks/kill_loop.py --kills 50

A process of its own decides by the card detector on embedded logs, in small batches, with many
snapshots. It is killed at random moments, mostly while it works, sometimes while it recovers. In
the end each transaction must have exactly one decision, and a replay from the log's beginning,
without snapshots and in other batches, must give every one to the byte. Prints its seed.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import msgspec

from alcyon.codecs.json import encode, encode_labels
from alcyon.detectors.card import catalog
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.errors import ModelError
from alcyon.domain.record import Topic
from alcyon.domain.tokens import TokenKeys
from alcyon.features.kernel import Kernel, Limits
from alcyon.features.layout import Layout
from alcyon.io.log import EmbeddedCommits, EmbeddedDecisions, EmbeddedIntake, EmbeddedSource
from alcyon.runners.stream.deciding import Means
from alcyon.runners.stream.in_force import bootstrap_controls
from alcyon.runners.stream.recovery import recover
from alcyon.runners.stream.replay import Recording, replay
from alcyon.runners.stream.worker import Pace, Ports
from alcyon.scoring.model import Model
from alcyon.scoring.policy import Policy
from alcyon.simulation import Scenario, labels_of, simulate

PER_LIFE = 3_000
"""Records that arrive while one worker lives."""


def no_model(name: str) -> Model:
    """There is none here."""
    raise ModelError(f"there is no model {name}")


MEANS = Means(TokenKeys(1, b"0123456789abcdef"), no_model)


def new_kernel() -> Kernel:
    """A kernel of the card detector without history."""
    return Kernel(Layout(catalog), Limits(state_bytes_max=2**30))


def work(folder: Path) -> None:
    """The worker: decides for ever, and says where it stands."""
    log = EmbeddedDecisions(folder / "decisions", "never")
    ports = Ports(EmbeddedSource(folder / "intake"), log, folder / "snapshots")
    pace = Pace(batch_max=64, snapshot_every=700)
    print("starting", flush=True)
    worker, recovered = recover(new_kernel(), ports, MEANS, pace)
    print(f"recovered {recovered.snapshot} {recovered.replayed}", flush=True)
    worker.run(lambda: False, lambda stepped: print(stepped.position, flush=True))


def payloads(records: int, seed: int) -> list[tuple[Topic, bytes]]:
    """Transactions, some of them sent again soon, and labels among them."""
    rng = random.Random(seed)
    slices = list(simulate(Scenario(transactions=records, seed=seed, disorder=0.05)))
    transactions = [payload for part in slices for payload in encode(part.transactions)]
    placed = [(float(i), Topic.TRANSACTIONS, p) for i, p in enumerate(transactions)]
    again = [rng.randrange(records) for _ in range(records // 50)]
    placed += [(i + rng.uniform(0, 50), Topic.TRANSACTIONS, transactions[i]) for i in again]
    labels = encode_labels(labels_of(slices))
    placed += [(rng.uniform(0, records), Topic.LABELS, label) for label in labels]
    return [(topic, payload) for _, topic, payload in sorted(placed)]


def life(
    folder: Path, intake: EmbeddedIntake, traffic: list[tuple[Topic, bytes]], rng: random.Random
) -> str:
    """One worker from start to kill -9, while records arrive; how it went."""
    kind = rng.choice(["start", "first", "later", "later", "later", "later"])
    command = [sys.executable, __file__, "--work", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        recovered, first, position = "while recovering", None, -1
        records = rng.randrange(64, len(traffic))
        for topic, payload in traffic:
            intake.append(topic, [payload])
        for line in process.stdout:
            if line.startswith("recovered"):
                recovered = line.strip()
            elif line.strip().isdigit():
                position = int(line)
                first = position if first is None else first
            is_decided = first is not None and (
                kind == "first" or position >= min(first + records, intake.end)
            )
            if kind == "start" or is_decided:
                break
        time.sleep(rng.uniform(0, 0.3 if kind == "start" else 0.03))
        process.kill()
    return f"{recovered}, killed behind {position}"


def check(folder: Path, traffic: list[bytes]) -> list[str]:
    """What is wrong; nothing, let us hope."""
    ids = {msgspec.json.decode(payload)["transaction_id"] for payload in traffic}
    with closing(EmbeddedCommits(folder / "decisions")) as log:
        decided = [
            msgspec.json.decode(d)["transaction_id"]
            for commit in log.read(0, 10**9)
            for d in commit.decisions
        ]
        recording = Recording(EmbeddedSource(folder / "intake"), log, folder / "none")
        replayed = replay(new_kernel(), recording, MEANS, batch_max=1_000)
    wrong = []
    if len(decided) != len(set(decided)):
        wrong.append(f"{len(decided) - len(set(decided))} decisions are there twice")
    if set(decided) != ids:
        wrong.append(f"{len(ids - set(decided))} transactions have no decision")
    if replayed.differing or replayed.compared != len(decided):
        wrong.append(f"{replayed.differing} decisions differ: {replayed.differences[:1]}")
    print(f"{len(decided)} decisions, {replayed.compared} replayed, {replayed.differing} differ")
    return wrong


def main() -> int:
    """Kill, then let one worker finish, then check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    if options.work:
        work(options.work)
    print(f"seed {options.seed}", flush=True)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="alcyon-kill-"))
    intake = EmbeddedIntake(folder / "intake", "never")
    rules = files("alcyon.detectors").joinpath("card_rules.toml").read_text()
    intake.append(Topic.CONTROL, bootstrap_controls(rules, Policy(), DEFAULT_RATES))
    traffic, rng = payloads(PER_LIFE * options.kills, options.seed), random.Random(options.seed)
    sent = [payload for topic, payload in traffic if topic is Topic.TRANSACTIONS]
    per_life = len(traffic) // options.kills
    for number in range(options.kills):
        part = traffic[number * per_life : (number + 1) * per_life]
        if number == options.kills - 1:
            part = traffic[number * per_life :]
        print(f"{number + 1}: {life(folder, intake, part, rng)}", flush=True)
    print(f"last: {life_to_the_end(folder, intake)}; {options.kills} kills", flush=True)
    wrong = check(folder, sent)
    print("\n".join(wrong) or "every transaction has one decision, and each is recomputed alike")
    return 1 if wrong else 0


def life_to_the_end(folder: Path, intake: EmbeddedIntake) -> str:
    """A worker that may finish."""
    log = EmbeddedDecisions(folder / "decisions", "never")
    with closing(log):
        ports = Ports(EmbeddedSource(folder / "intake"), log, folder / "snapshots")
        worker, recovered = recover(new_kernel(), ports, MEANS, Pace())
        while worker.place.position < intake.end:
            worker.step()
        worker.close()
    return f"recovered {recovered.snapshot} {recovered.replayed}, decided {worker.place.position}"


if __name__ == "__main__":
    sys.exit(main())
