"""Filling Redis from the decisions log: what a decision costs, and how long a rebuild takes.

    python benchmarks/read_model.py [--decisions 600000] [--cards 200000] [--rounds 3]

Simulated traffic is decided once, by the card detector and a trained model; its decisions and
records are then repeated under other ids and cards into an embedded intake and decisions log, each
card at least once. Every round fills an empty Redis from the log's beginning, then empties it and
measures two rebuilds: by the process that filled it, and by one that has just started and reads
the log backwards. After each, 10,000 cards are compared with a plain dict over the whole log.
Client: processor time of this process, told apart by part. Server: processor time of Redis, which
`services` starts, on loopback. Medians over the rounds. Writes reports/read_model.json.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before a library reads it
sys.path.append(str(Path(__file__).resolve().parent.parent))  # where `services` lies

import msgspec
from redis import Redis as Client

from alcyon.codecs.avro import MixedTransactionDecoder
from alcyon.domain.commit import Commit
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.decision import Decision
from alcyon.domain.read_model import Covered, Known, Update
from alcyon.domain.record import Topic
from alcyon.domain.tokens import TokenKeys
from alcyon.io.log import EmbeddedCommits, EmbeddedDecisions, EmbeddedIntake, EmbeddedSource
from alcyon.io.redis import RedisReadModel
from alcyon.runners.projections import card_decisions, read_model, read_model_history
from alcyon.runners.projections.card_decisions import Cards
from alcyon.runners.projections.read_model import Logs, ReadModelRunner
from alcyon.runners.stream.reading import Reading
from engine import Engine, Traffic
from engine_model import warm
from projection import Stopwatch, cpu_ns
from report import write
from services import Folder, Redis

HISTORY, TEMPLATES, COMMIT = 200_000, 16_384, 1024
NOT_APPROVED = 0.02
SAMPLE = 10_000
KEYS = TokenKeys(1, bytes(32))
Truth = dict[str, tuple[int, bytes]]


def templates() -> list[tuple[dict[str, Any], Decision]]:
    """Decided transactions, with the decisions on them."""
    ready = warm(HISTORY, TEMPLATES, seed=1)
    engine, traffic = Engine(ready), Traffic(ready.traffic)
    engine.adopt(ready.policy(NOT_APPROVED))
    found = []
    for _ in range(TEMPLATES // COMMIT):
        payloads = traffic.payloads(COMMIT)[0]
        made = engine.decide(payloads)
        decisions = msgspec.json.Decoder(Decision)
        found += [
            (msgspec.json.decode(p), decisions.decode(d))
            for p, d in zip(payloads, made, strict=True)
        ]
    return found


def record(folder: Path, count: int, cards: int) -> Truth:
    """Write both logs; sequence and features of each card's last decision."""
    rng, of, truth = random.Random(1), templates(), dict[str, tuple[int, bytes]]()
    order = [f"{card:024x}" for card in range(cards)]
    order += [f"{int(cards * rng.random() ** 2):024x}" for _ in range(count - cards)]
    rng.shuffle(order)
    encode = msgspec.json.Encoder().encode
    with (
        closing(EmbeddedIntake(folder / "intake", "never")) as intake,
        closing(EmbeddedDecisions(folder / "decisions", "never")) as log,
    ):
        for first in range(0, count, COMMIT):
            part = order[first : first + COMMIT]
            payloads, made = [], []
            for sequence, card in enumerate(part, first):
                transaction, decision = of[sequence % len(of)]
                name = f"{sequence:032x}"
                payloads.append(encode(transaction | {"transaction_id": name, "card_id": card}))
                made.append(
                    encode(
                        msgspec.structs.replace(decision, sequence=sequence, transaction_id=name)
                    )
                )
                truth[card] = sequence, decision.features
            intake.append(Topic.TRANSACTIONS, payloads)
            log.append(Commit(log.epoch, first, first, first + len(part), tuple(made)))
    return truth


@contextmanager
def opened(
    folder: Path, model: RedisReadModel, known: Known, commits: int
) -> Iterator[ReadModelRunner]:
    """A runner over the logs."""

    def reading(files: ExitStack) -> Reading:
        return Reading(
            files.enter_context(closing(EmbeddedCommits(folder / "decisions"))),
            files.enter_context(closing(EmbeddedSource(folder / "intake"))),
        )

    decoder = MixedTransactionDecoder(KEYS, DEFAULT_RATES)
    with ExitStack() as files:
        cards = Cards(KEYS, lambda version: decoder)
        logs = Logs(reading(files), reading, lambda: (0, commits), cards)
        yield files.enter_context(closing(ReadModelRunner(logs, model, known)))


def drained(runner: ReadModelRunner) -> float:
    """Seconds until nothing is left to write."""
    start = time.perf_counter()
    while runner.step():
        pass
    return time.perf_counter() - start


def check(model: RedisReadModel, truth: Truth) -> None:
    """Cards sampled anew have their last decision with its features."""
    cards = random.sample(sorted(truth), min(SAMPLE, len(truth)))
    for card, found in zip(cards, model.latest(cards), strict=True):
        assert found is not None, f"{card} is not there"
        assert (found.sequence, found.features) == truth[card], f"{card} has another decision"


def one_round(folder: Path, url: str, truth: Truth, count: int) -> dict[str, float]:
    """Figures of one round."""
    watch, known, found = Stopwatch(), Known(), dict[str, float]()
    commits = -(-count // COMMIT)
    with Client.from_url(url) as client, closing(RedisReadModel(url)) as model:
        client.flushall()
        server = int(client.info("server")["process_id"])
        model.write(Update(None, Covered(0, 0, -1), {}))
        with instrumented(watch), opened(folder, model, known, commits) as runner:
            before = cpu_ns([server])
            with watch.counting("rest"):
                seconds = drained(runner)
            found["decisions_per_s"] = count / seconds
            found["server"] = (cpu_ns([server]) - before) / 1000 / count
            parts = {part: ns / 1000 / count for part, ns in watch.taken_ns.items()}
            found |= {"client": sum(parts.values()), **parts}
        check(model, truth)
        found["server_bytes_per_card"] = client.info("memory")["used_memory_dataset"] / len(truth)
        for name, has in (("rebuild_s", known), ("rebuild_from_log_s", Known())):
            with opened(folder, model, has, commits) as runner:
                drained(runner)
                client.flushall()
                time.sleep(read_model.LOOK_EVERY_S)
                found[name] = drained(runner)
            check(model, truth)
    return found


@contextmanager
def instrumented(watch: Stopwatch) -> Iterator[None]:
    """Count the parts."""
    places: list[tuple[Any, str, str]] = [
        (Reading, "commits", "read commits"),
        (Reading, "records", "read records"),
        (card_decisions, "scored", "decode decisions"),
        (Cards, "of", "find cards"),
        (read_model, "newest", "pack"),
        (read_model_history, "newest", "pack"),
        (Known, "add", "remember"),
        (ReadModelRunner, "_sampled", "sample"),
        (RedisReadModel, "write", "write"),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
    for owner, name, part in places:
        watch.wrap(owner, name, part)
    try:
        yield
    finally:
        for owner, name, was in before:
            setattr(owner, name, was)


@contextmanager
def server() -> Iterator[str]:
    """The URL of a server of our own."""
    folder = Folder(Path(tempfile.mkdtemp(prefix="alcyon-bench-")))
    try:
        facts = folder.up(["redis"])["redis"]
        assert isinstance(facts, Redis)
        yield facts.url
    finally:
        folder.down()


def main() -> None:
    """Measure, print, write the report."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--decisions", type=int, default=600_000)
    arguments.add_argument("--cards", type=int, default=200_000)
    arguments.add_argument("--rounds", type=int, default=3)
    chosen = arguments.parse_args()
    found: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as temporary, server() as url:
        truth = record(Path(temporary), chosen.decisions, chosen.cards)
        for _ in range(chosen.rounds):
            for name, figure in one_round(Path(temporary), url, truth, chosen.decisions).items():
                found[name].append(figure)
    figures = {name: median(each) for name, each in found.items()}
    print(
        f"{chosen.decisions:,} decisions on {chosen.cards:,} cards; µs per decision where not said"
    )
    print(f"load average {[round(x, 2) for x in os.getloadavg()]}")
    for name, figure in figures.items():
        print(f"{name:<24}{figure:>14,.2f}")
    sizes = {"decisions": chosen.decisions, "cards": chosen.cards, "commit": COMMIT}
    print(write("read_model", {**sizes, "figures": figures}).name)


if __name__ == "__main__":
    main()
