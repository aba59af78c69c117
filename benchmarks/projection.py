"""Filling the stores from the logs: rows a second, and what a transaction costs, part by part.

    python benchmarks/projection.py [--transactions 200000] [--rounds 3] [--commit 1024]

Simulated traffic is decided once, by the card detector and a trained model, into an embedded
intake and decisions log; `Projection.step` then reads both from the beginning into an empty store,
in every round and for each store. 2 % are not approved. Event times are written anew, so that
25,000 transactions share a second as at that rate: a step then fills few cells of the hourly
counts.

Client: processor time of this process, told apart by part; a part does not count what a part inside
it takes. What the recording left in memory is kept from the garbage collector, as if projecting
were a process of its own. Server: processor time of the session's backend, and of all other
processes of the cluster (Linux). The server is the machine's Postgres as `services` starts it,
durable, on loopback. Medians over the rounds. Writes
reports/projection.json.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before a library reads it
sys.path.append(str(Path(__file__).resolve().parent.parent))  # where `services` lies

import msgspec
import numpy as np
import psycopg

from alcyon.codecs.avro import MixedLabelDecoder, MixedTransactionDecoder
from alcyon.codecs.json import encode
from alcyon.domain import projected
from alcyon.domain.columns import Batch
from alcyon.domain.commit import Commit
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.ports import Store
from alcyon.domain.record import Topic
from alcyon.domain.tokens import TokenKeys
from alcyon.io.log import EmbeddedCommits, EmbeddedDecisions, EmbeddedIntake, EmbeddedSource
from alcyon.io.postgres import PostgresStore, writing
from alcyon.io.sqlite import SqliteStore
from alcyon.io.sqlite import store as sqlite_store
from alcyon.runners.projections import projection
from alcyon.runners.projections.projection import Projection
from engine import Engine, Traffic
from engine_model import warm
from report import write
from services import Folder, Options, Postgres

HISTORY = 200_000
NOT_APPROVED = 0.02
PER_SECOND, START_MS = 25_000, 1_750_000_000_000
KEYS = TokenKeys(1, bytes(32))


class Stopwatch:
    """Processor time of this process by part; what a part inside takes is the inner one's."""

    def __init__(self) -> None:
        self.taken_ns: dict[str, int] = defaultdict(int)
        self._inside: list[int] = []

    def wrap(self, owner: Any, name: str, part: str) -> None:
        """Count calls of `owner.name` from now on."""
        called = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            with self.counting(part):
                return called(*args, **kwargs)

        setattr(owner, name, counted)

    @contextmanager
    def counting(self, part: str) -> Iterator[None]:
        """Count what happens within."""
        start = time.process_time_ns()
        self._inside.append(0)
        try:
            yield
        finally:
            whole = time.process_time_ns() - start
            self.taken_ns[part] += whole - self._inside.pop()
            if self._inside:
                self._inside[-1] += whole


class Timed:
    """Something whose methods are counted."""

    def __init__(self, inner: Any, watch: Stopwatch, parts: dict[str, str]) -> None:
        self._inner = inner
        for name, part in parts.items():
            setattr(self, name, getattr(inner, name))
            watch.wrap(self, name, part)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def record(folder: Path, transactions: int, size: int) -> None:
    """Decide traffic into an intake and a decisions log."""
    ready = warm(HISTORY, transactions, seed=1)
    engine, traffic = Engine(ready), Traffic(ready.traffic)
    engine.adopt(ready.policy(NOT_APPROVED))
    first = ready.kernel.next_sequence if hasattr(ready.kernel, "next_sequence") else None
    with (
        closing(EmbeddedIntake(folder / "intake", "never")) as intake,
        closing(EmbeddedDecisions(folder / "decisions", "never")) as log,
    ):
        for at in range(0, transactions, size):
            batch = engine.decoder.decode(traffic.payloads(size)[0]).batch
            decided = engine.pipeline.decide(batch).decided
            times = START_MS + np.arange(at, at + size) * 1000 // PER_SECOND
            intake.append(Topic.TRANSACTIONS, encode(Batch({**batch.columns, "event_time": times})))
            decided = replace(decided, event_times=times)
            if first is None:
                first = int(decided.sequences[0])
            amounts = np.asarray(batch.numbers("amount_minor"), np.int64)
            alerts = decided.alerts(amounts, batch.strings("currency"))
            encoded = tuple(map(msgspec.json.encode, alerts))
            made = tuple(decided.encode())
            assert len(made) == size
            log.append(Commit(log.epoch, first + at, at, at + size, made, (), encoded))


def fill(folder: Path, store: Store, watch: Stopwatch) -> tuple[int, float]:
    """Everything into the store; transactions and seconds."""
    with (
        closing(EmbeddedCommits(folder / "decisions")) as commits,
        closing(EmbeddedSource(folder / "intake")) as source,
    ):
        decoder = Timed(
            MixedTransactionDecoder(KEYS, DEFAULT_RATES), watch, {"decode": "decode transactions"}
        )
        projecting: Any = Projection(
            Timed(commits, watch, {"read": "read commits"}),  # type: ignore[arg-type]
            Timed(source, watch, {"poll": "read records"}),  # type: ignore[arg-type]
            Timed(store, watch, {"write": "rest of the write", "next_index": "next index"}),  # type: ignore[arg-type]
            lambda version: decoder,  # type: ignore[arg-type,return-value]
            MixedLabelDecoder(KEYS),
        )
        start = time.perf_counter()
        with watch.counting("rest of the step"):
            while projecting.step():
                pass
    return store.counts()["decisions"], time.perf_counter() - start


def one_round(folder: Path, opened: Callable[[], Store], dsn: str | None) -> dict[str, float]:
    """µs per transaction by part."""
    watch = Stopwatch()
    with instrumented(watch), closing(opened()) as store:
        store.next_index()
        backend, cluster = (backend_of(dsn), cluster_of(dsn)) if dsn else (None, [])
        server, others = cpu_ns([backend] if backend else []), cpu_ns(cluster)
        rows, seconds = fill(folder, store, watch)
        found = {part: ns / 1000 / rows for part, ns in watch.taken_ns.items()}
        client = sum(found.values())
        if backend:
            found["server: backend"] = (cpu_ns([backend]) - server) / 1000 / rows
            found["server: others"] = (cpu_ns(cluster) - others) / 1000 / rows
    return {"rows_per_s": rows / seconds, "client": client, **found}


@contextmanager
def instrumented(watch: Stopwatch) -> Iterator[None]:
    """Count the parts of reading and writing."""
    places: list[tuple[Any, str, str]] = [
        (projection, "decision_rows", "decode decisions"),
        (projection, "_alerts", "decode alerts"),
        (projected.Projected, "new", "leave out known"),
        (writing, "_known_ids", "ask for known ids"),
        (writing, "packed", "pack columns"),
        (writing, "_send", "send"),
        (writing, "_count", "roll up"),
        (sqlite_store, "hourly", "roll up"),
        (SqliteStore, "_known_ids", "ask for known ids"),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
    for owner, name, part in places:
        watch.wrap(owner, name, part)
    try:
        yield
    finally:
        for owner, name, was in before:
            setattr(owner, name, was)


def backend_of(dsn: str) -> int:
    """The process of the store's session."""
    with psycopg.connect(dsn) as connection:
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'alcyon'"
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def cluster_of(dsn: str) -> list[int]:
    """All other processes of the server that last."""
    with psycopg.connect(dsn) as connection:
        query = "SELECT pid FROM pg_stat_activity WHERE backend_type <> 'client backend'"
        return [int(row[0]) for row in connection.execute(query)]


def cpu_ns(processes: list[int]) -> int:
    """Processor time so far, of those that still run."""
    files = [Path(f"/proc/{pid}/schedstat") for pid in processes]
    return sum(int(file.read_text().split()[0]) for file in files if file.exists())


@contextmanager
def server() -> Iterator[str]:
    """The DSN of a server of our own."""
    path = Path(tempfile.mkdtemp(prefix="alcyon-bench-"))
    path.chmod(0o711)
    folder = Folder(path)
    try:
        facts = folder.up(["postgres"], Options(throughput=True))["postgres"]
        assert isinstance(facts, Postgres)
        yield facts.dsn
    finally:
        folder.down()


def main() -> None:
    """Measure, print, write the report."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--transactions", type=int, default=200_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--commit", type=int, default=1024, help="decisions in a commit")
    arguments.add_argument("--commits", type=int, default=projection.COMMITS_MAX, help="in a step")
    chosen = arguments.parse_args()
    projection.COMMITS_MAX = chosen.commits
    rounds: dict[str, list[dict[str, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as temporary, server() as dsn:
        folder = Path(temporary)
        record(folder, chosen.transactions // chosen.commit * chosen.commit, chosen.commit)
        gc.collect()
        gc.freeze()
        for turn in range(chosen.rounds + 1):
            recreate(dsn)
            path = folder / f"{turn}.sqlite"
            found = {
                "postgres": one_round(folder, lambda: PostgresStore(dsn), dsn),
                "sqlite": one_round(folder, lambda path=path: SqliteStore(path), None),  # type: ignore[misc]
            }
            path.unlink()
            if turn:  # the round before compiled and loaded
                for name, figures in found.items():
                    rounds[name].append(figures)
    parts = dict.fromkeys(part for many in rounds.values() for one in many for part in one)
    rows = [
        {"part": part, **{n: median(one.get(part, 0.0) for one in rounds[n]) for n in rounds}}
        for part in parts
    ]
    print(f"{chosen.transactions:,} transactions, commits of {chosen.commit}; µs per transaction")
    load = [round(x, 2) for x in os.getloadavg()]
    print(f"load average {load}: other work shared the machine")
    for row in rows:
        print(f"{row['part']:<22}" + "".join(f"{row[n]:>14,.2f}" for n in rounds))
    print(write("projection", {"rows": rows, **vars(chosen), "load_average": load}).name)


def recreate(dsn: str) -> None:
    """Leave nothing of the round before."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        connection.execute("CHECKPOINT")


if __name__ == "__main__":
    main()
