"""Is every feature equal to its definition? Differences found, which must be none.

    python benchmarks/exact.py --streams 10000 --events 200000

Random small streams of random catalogs mix every rule of the semantics: against a brute-force
oracle (`tests/features/naive.py`), and a sample of them against `catalog.sql()` in DuckDB. One long
adversarial stream: against a second oracle (`exact_oracle.py`). In the middle of every stream a
snapshot is taken while it goes on, and another kernel continues from it. Integers compare by ==,
floats within 2 ulp (4 for SQL, whose expressions are compared too). Writes reports/exact.json.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import exact_adversary as adversary
import exact_oracle as oracle
from alcyon.domain.columns import Strings
from alcyon.features import Catalog, Expression
from alcyon.features.compiled.memory import BLOCK_WORDS
from alcyon.features.kernel import NO_LABELS, NO_LIMIT, Kernel, LabelRows, Limits
from alcyon.features.layout import Layout
from alcyon.features.state import SnapshotReader, State
from report import ROOT, write

sys.path.insert(0, str(ROOT))  # the oracle lives with the tests
from tests.features import streams
from tests.features.naive import Naive, Row
from tests.features.test_exact import STATUS, close
from tests.features.test_sql import EXPRESSIONS, in_duckdb, without_conflicts

Answer = tuple[str, Row]
FIRST_SEED, FIRST_SQL_SEED, ADVERSARY_SEED = 1_000_000, 2_000_000, 3_000_000
SIZES = [5, 20, 40, 40, 80, 80, 120, 400]


@dataclass
class Found:
    """Values compared so far, and the first differences."""

    streams: int = 0
    transactions: int = 0
    values: int = 0
    differences: int = 0
    examples: list[str] = field(default_factory=list)

    def compare(self, where: str, want: Any, got: Any, ulps: int) -> None:
        """Count one value."""
        self.values += 1
        if not close(want, got, ulps):
            self.differences += 1
            if len(self.examples) < 20:
                self.examples.append(f"{where}: {want!r}, got {got!r}")


@dataclass
class Timed:
    """Seconds of wall clock and of CPU, of everything and of the kernel alone."""

    def __enter__(self) -> Timed:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall = round(time.perf_counter() - self._wall, 2)
        self.cpu = round(time.process_time() - self._cpu, 2)


@dataclass
class Stream:
    """Records with, for each transaction, the newest event time that is not in the future."""

    records: list[Any]
    latest: list[int]

    @classmethod
    def of(cls, records: list[Any], rng: random.Random) -> Stream:
        """Every third stream has a clock, which some transactions are ahead of."""
        latest, clock = [NO_LIMIT] * len(records), 0
        if rng.random() < 0.33:
            for i, record in enumerate(records):
                if not isinstance(record, tuple):
                    clock = max(clock, record["event_time"])
                    latest[i] = clock - rng.choice([0, 0, 0, 0, 1, 400])
        return cls(records, latest)

    def sequences(self) -> Iterator[int]:
        """Sequences of the transactions."""
        return (s for s, r in enumerate(self.records) if not isinstance(r, tuple))


class Follower:
    """Hands a stream to a kernel in batches, from where it stopped."""

    def __init__(self, kernel: Kernel, stream: Stream) -> None:
        self.kernel, self.stream, self.at = kernel, stream, 0
        self.out: list[Answer] = []
        self.kernel_s = 0.0

    def run(self, until: int, sizes: Sequence[int], rng: random.Random) -> None:
        """Observe the records before `until`, in batches of random ones of these sizes."""
        while self.at < until:
            self._batch(min(until, self.at + rng.choice(sizes)))

    def _batch(self, end: int) -> None:
        part = list(enumerate(self.stream.records[self.at : end], self.at))
        rows = [(s, r) for s, r in part if not isinstance(r, tuple)]
        marks = [(s, r) for s, r in part if isinstance(r, tuple)]
        batch = streams.batch([r for _, r in rows])
        labels = LabelRows(
            Strings.from_list([r[0] for _, r in marks]),
            np.array([r[1] for _, r in marks], np.int64),
            np.array([s for s, _ in marks], np.int64),
        )
        started = time.perf_counter()
        result = self.kernel.observe(
            batch,
            labels=labels if marks else NO_LABELS,
            sequences=np.array([s for s, _ in rows], np.int64),
            latest=np.array([self.stream.latest[s] for s, _ in rows], np.int64),
        )
        self.kernel_s += time.perf_counter() - started
        names = self.kernel.layout.catalog.names
        columns = [streams.values(result.column(n, self.kernel)) for n in names]
        for i, status in enumerate(result.status.tolist()):
            features = {n: c[i] for n, c in zip(names, columns, strict=True)}
            self.out.append((STATUS[status], features))
        self.at = end

    def restart(self, sizes: Sequence[int], rng: random.Random) -> None:
        """Go on in another kernel, from a snapshot taken here while this one went on."""
        began, answered = self.at, len(self.out)
        reader, parts = SnapshotReader(self.kernel.state), []
        while (rows := reader.blocks(rng.choice([1, 3, 64]))) is not None:
            parts.append(rows)
            self.run(min(len(self.stream.records), self.at + 3), sizes, rng)
        other = Kernel(self.kernel.layout, self.kernel.limits)
        words = np.zeros(len(other.state.memory.words), np.int64)
        for rows in parts:
            words.reshape(-1, BLOCK_WORDS)[rows[:, 0]] = rows[:, 1:]
        other.state = State.restored(other.layout, words, reader.meta, reader.free)
        other.pin_literals()
        self.kernel, self.at = other, began
        del self.out[answered:]


def answers(catalog: Catalog, stream: Stream, limits: Limits, rng: random.Random) -> Follower:
    """The kernel's, with a restart somewhere in the middle."""
    follower = Follower(Kernel(Layout(catalog), limits), stream)
    sizes = [rng.choice([1, 2, 3, 7, 16, 1000]) for _ in range(5)]
    follower.run(rng.randint(0, len(stream.records)), sizes, rng)
    follower.restart(sizes, rng)
    follower.run(len(stream.records), sizes, rng)
    return follower


def against_brute_force(seed: int, found: Found) -> None:
    """One random stream and the naive oracle."""
    rng = random.Random(seed)
    catalog = streams.catalog(rng)
    stream = Stream.of(streams.records(rng, rng.choice(SIZES)), rng)
    horizon = rng.choice([None, None, 50, 5000])
    naive = Naive(catalog.features, catalog.lateness_max_ms, streams.PREDICATES, horizon)
    want = []
    for record, latest in zip(stream.records, stream.latest, strict=True):
        if isinstance(record, tuple):
            naive.label(*record)
        else:
            want.append(naive.transaction(record, latest))
    got = answers(catalog, stream, Limits(2**24, horizon), rng).out
    found.streams += 1
    found.transactions += len(want)
    for i, ((status, features), answer) in enumerate(zip(want, got, strict=True)):
        found.compare(f"seed {seed}, transaction {i}: status", status, answer[0], 0)
        for name, value in features.items():
            found.compare(f"seed {seed}, transaction {i}: {name}", value, answer[1][name], 2)


def against_sql(seed: int, found: Found) -> None:
    """One random stream, with expressions, and DuckDB."""
    rng = random.Random(seed)
    plain = streams.catalog(rng)
    catalog = Catalog([*plain.features, *EXPRESSIONS], plain.lateness_max)
    records = without_conflicts(streams.records(rng, rng.choice([40, 150, 300])))
    stream = Stream(records, [NO_LIMIT] * len(records))
    want = in_duckdb(catalog, records)
    got = answers(catalog, stream, Limits(2**24), rng).out
    found.streams += 1
    for sequence, (status, features) in zip(stream.sequences(), got, strict=True):
        if sequence not in want:  # SQL has a row per first-seen transaction
            assert status in ("duplicate", "late"), (seed, sequence, status)
            continue
        found.transactions += 1
        for name, value in features.items():
            expected = want[sequence][name]
            expected = int(expected) if isinstance(expected, bool) else expected
            found.compare(f"seed {seed}, sequence {sequence}: {name}", expected, value, 4)


def against_second_oracle(events: int, found: Found) -> dict[str, object]:
    """The adversarial stream; what it was made of."""
    rng = random.Random(ADVERSARY_SEED)
    stream = Stream(adversary.records(events, ADVERSARY_SEED), [])
    stream.latest = [NO_LIMIT] * len(stream.records)
    follower = Follower(Kernel(Layout(adversary.catalog), Limits(2**31)), stream)
    sizes = [1, 7, 64, 500, 4096]
    follower.run(len(stream.records) // 2, sizes, rng)
    follower.restart([1000], rng)
    follower.run(len(stream.records), sizes, rng)
    settled = oracle.settle(stream.records)
    got = dict(zip(stream.sequences(), follower.out, strict=True))
    for sequence, status in settled.status:
        found.compare(f"sequence {sequence}: status", status, got[sequence][0], 0)
    for feature in adversary.catalog.features:
        assert not isinstance(feature, Expression)
        want = oracle.answers(settled, feature)
        for sequence, (_, features) in got.items():
            where = f"sequence {sequence}: {feature.name}"
            found.compare(where, want.get(sequence), features[feature.name], 2)
    found.streams, found.transactions = 1, len(settled.status)
    statuses = [status for _, status in settled.status]
    hot = sum(r["merchant_id"] == "hot" for _, r in settled.rows)
    return {
        "records": len(stream.records),
        "labels_that_turn": len(settled.turns),
        **{status: statuses.count(status) for status in STATUS},
        "share_of_the_hot_key": round(hot / len(settled.rows), 3),
        "kept_events_at_the_end": follower.kernel.state.kept_events,
        "kernel_s": round(follower.kernel_s, 2),
    }


def random_streams(kind: str, first: int, count: int) -> dict[str, object]:
    """All seeds of one kind."""
    found, check = Found(), against_sql if kind == "sql" else against_brute_force
    with Timed() as timed:
        for done, seed in enumerate(range(first, first + count), 1):
            check(seed, found)
            if done % 500 == 0:
                print(f"  {done} streams, {found.differences} differences", flush=True)
    return section(kind, found, timed, {"seeds": [first, first + count - 1]})


def section(kind: str, found: Found, timed: Timed, more: dict[str, object]) -> dict[str, object]:
    """A part of the report, printed too."""
    part = {**vars(found), **more, "wall_s": timed.wall, "cpu_s": timed.cpu}
    print(kind, part, flush=True)
    return part


def main() -> None:
    """Compare everything; exit with 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--sql", type=int, help="default: 3 % of the streams, at least 10")
    parser.add_argument("--events", type=int, default=200_000)
    given = parser.parse_args()
    of_sql = given.sql if given.sql is not None else max(10, given.streams * 3 // 100)
    adversarial = Found()
    with Timed() as timed:
        more = against_second_oracle(given.events, adversarial)
    parts = {"adversarial": section("adversarial", adversarial, timed, more)}
    parts["sql"] = random_streams("sql", FIRST_SQL_SEED, of_sql)
    parts["brute_force"] = random_streams("brute force", FIRST_SEED, given.streams)
    write("exact", parts)
    sys.exit(any(part["differences"] for part in parts.values()))


if __name__ == "__main__":
    main()
