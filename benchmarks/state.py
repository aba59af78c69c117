"""How much memory the kernel's state takes, and what many cards, a hot key and snapshots cost.

    python benchmarks/state.py                 (about 25 minutes on one core; 8 GB of memory)
    python benchmarks/state.py --only memory   (or: cards, hot)

memory: simulated card traffic through the default catalog, windows as they are, until all of them
evict; no labels. Then, with that state: snapshots under traffic, and a restart from the file.
cards: the default catalog, all durations divided, from 10 thousand to 2 million cards; once with
the same windows for all, so that few cards have many events each, once with windows that hold four
events of a card, so that only the number of keys differs. hot: 30 %
of traffic on one merchant at 80 transactions a second, out of order by up to ten minutes, against
the same traffic without that merchant. Throughput is of `Kernel.observe` in batches of 1000, by
the processor time of its thread, so that other processes' turns do not count; wall clock beside.
Writes reports/state.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np

import state_traffic as traffic
from alcyon.detectors.card import catalog as default
from alcyon.domain.columns import Batch
from alcyon.features.compiled.memory import NEXT_SEQUENCE
from alcyon.features.kernel import Kernel, Limits
from alcyon.features.layout import Layout
from alcyon.features.state import SnapshotReader
from alcyon.io.snapshot_writing import SnapshotWriting
from alcyon.io.snapshots import Loaded, SnapshotHeader, load_newest
from alcyon.simulation import Scenario, simulate
from report import REPORTS, write

BATCH = 1000
HELD_BACK = 1500
"""Batches kept for the time of the snapshots."""
MEASURED = 500_000
DAY_MS = 86_400_000
READ = (
    "transaction_id", "event_time", "amount_minor", "currency", "card_id", "merchant_id",
    "device_id", "ip", "email_hash", "country", "channel", "amount_base_minor", "latitude",
    "longitude", "utc_offset_minutes",
)  # fmt: skip


@dataclass
class Clocks:
    """Seconds spent in what was timed, call by call."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def time(self, call: Callable[[], object]) -> object:
        """Call it and note how long it took."""
        wall, cpu = time.perf_counter(), time.thread_time()
        result = call()
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(time.thread_time() - cpu)
        return result

    def per_second(self, done: int) -> dict[str, int]:
        """Things done a second."""
        return {
            "per_s_cpu": round(done / sum(self.cpu)),
            "per_s_wall": round(done / sum(self.wall)),
        }

    def longest_ms(self) -> dict[str, float]:
        """The longest call, and the one that 99 in 100 are shorter than."""
        return {
            "calls": len(self.wall),
            "max_ms_wall": round(max(self.wall) * 1e3, 3),
            "max_ms_cpu": round(max(self.cpu) * 1e3, 3),
            "p99_ms_wall": round(float(np.quantile(self.wall, 0.99)) * 1e3, 3),
        }


def rss() -> int:
    """Bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cut(chunks: Iterable[Batch]) -> Iterator[Batch]:
    """Batches of BATCH with the columns that are read."""
    for chunk in chunks:
        some = Batch({name: chunk.columns[name] for name in READ})
        for start in range(0, len(some), BATCH):
            yield some.slice(start, start + BATCH)


def observe(kernel: Kernel, batches: Iterable[Batch], clocks: Clocks) -> int:
    """Let the kernel observe them; how many transactions."""
    done = 0
    for batch in batches:
        clocks.time(lambda batch=batch: kernel.observe(batch))
        done += len(batch)
    return done


def memory_and_snapshots(days: int, per_day: int) -> dict[str, object]:
    """Simulated traffic until every window evicts; then snapshots of that state."""
    scenario = Scenario(transactions=days * per_day, duration_ms=days * DAY_MS, seed=1)
    population = scenario.create_population()
    batches = cut(part.transactions for part in simulate(scenario, population))
    before, kernel, clocks = rss(), Kernel(Layout(default), Limits(8 * 2**30)), Clocks()
    done = observe(kernel, islice(batches, days * per_day // BATCH - HELD_BACK), clocks)
    taken, used, kept = rss() - before, kernel.state.used_bytes, kernel.state.kept_events
    kinds = traffic.kinds(kernel)
    rate = per_day / 86_400
    per_event = {"used": round(used / kept, 1), "rss": round(taken / kept, 1)}
    memory = {
        "days": days, "transactions": done, "cards": len(population.cards),
        "mean_rate_per_s": round(rate, 3), "kept_events": kept,
        "used_bytes": used, "rss_bytes": taken, "bytes_per_kept_event": per_event,
        "kinds": {name: {**k, **gigabytes(k, rate)} for name, k in kinds.items()},
        "rest": traffic.rest(kernel),
        "gb_at_100_per_s_used": round(used / rate / 1e7, 2),
        "gb_at_100_per_s_rss": round(taken / rate / 1e7, 2),
        "throughput_all": clocks.per_second(done),
        "load_average": os.getloadavg(),
    }  # fmt: skip
    show("memory", memory)
    return {"memory": memory, "snapshots": snapshots(kernel, batches)}


def gigabytes(kind: dict[str, float], rate: float) -> dict[str, float]:
    """Retention × rate × bytes, at a mean of 100 transactions a second."""
    retention_s = kind["retention_days"] * 86_400
    needed = retention_s * rate
    return {
        "kept_to_transactions_in_retention": round(kind["kept_events"] / needed, 3),
        "gb_at_100_per_s": round(kind["bytes"] / rate / 1e7, 2),
    }


def snapshots(kernel: Kernel, batches: Iterator[Batch]) -> dict[str, object]:
    """Pauses and throughput while a snapshot runs, and the time of a restart from it."""
    quiet, busy, steps, begun = Clocks(), Clocks(), Clocks(), Clocks()
    n = observe(kernel, islice(batches, 300), quiet)
    reader = begun.time(lambda: SnapshotReader(kernel.state))
    assert isinstance(reader, SnapshotReader)
    m = 0
    while steps.time(lambda: reader.blocks(256)) is not None:
        if len(steps.wall) % 8 == 0:  # as often as the worker: 8 MiB or 4 ms, then a batch
            m += observe(kernel, islice(batches, 1), busy)
    plain = {
        "state_bytes": reader.total_blocks * 4096,
        "construction": begun.longest_ms(), "blocks_256": steps.longest_ms(),
        "before": quiet.per_second(n), "during": busy.per_second(m),
    }  # fmt: skip
    show("snapshot", plain)
    with tempfile.TemporaryDirectory(dir=REPORTS.parent) as folder:
        written = to_disk(kernel, batches, Path(folder))
        return {"in_memory": plain, **written, "load_average": os.getloadavg()}


def to_disk(kernel: Kernel, batches: Iterator[Batch], folder: Path) -> dict[str, object]:
    """As the worker does it: a file written by a thread, a batch between two steps."""
    header = SnapshotHeader(
        catalog=kernel.layout.catalog.hash, key=(0, 0), epoch=1,
        next_sequence=int(kernel.state.memory.meta[NEXT_SEQUENCE]), position=0, commit_index=0,
        commit_digest="", applied={}, in_force=msgspec.Raw(b"{}"),
    )  # fmt: skip
    busy, steps, before = Clocks(), Clocks(), rss()
    kept, done, peak = kernel.state.kept_events, 0, 0
    writing = steps.time(lambda: SnapshotWriting(folder, header, kernel.state, keep=2))
    assert isinstance(writing, SnapshotWriting)
    while (written := steps.time(writing.advance)) is None:
        done += observe(kernel, islice(batches, 1), busy)
        peak = max(peak, rss() - before)
    after = rss() - before
    restart, other = Clocks(), Kernel(kernel.layout, kernel.limits)
    loaded = restart.time(lambda: load_newest(folder, other, lambda _: None))
    assert isinstance(loaded, Loaded)
    assert loaded.header == header
    assert other.state.kept_events == kept
    result = {
        "written_s": round(written.seconds, 2), "steps": steps.longest_ms(),
        "during": busy.per_second(done), "transactions_during": done,
        "extra_rss_peak": peak, "extra_rss_after": after,
        "restart_s_wall": round(restart.wall[0], 2), "restart_s_cpu": round(restart.cpu[0], 2),
    }  # fmt: skip
    show("to disk", result)
    return {"to_disk": result}


def compile_everything() -> None:
    """Observe and snapshot a little, so that no compiler runs in what is measured."""
    kernel = Kernel(Layout(default), Limits(2**26))
    observe(kernel, cut(traffic.Traffic(100, 1.0).chunks(5 * BATCH)), Clocks())
    reader = SnapshotReader(kernel.state)
    while reader.blocks(1) is not None:
        observe(kernel, cut(traffic.Traffic(100, 1.0).chunks(10)), Clocks())
    traffic.kinds(kernel)


def throughput(kernel: Kernel, made: traffic.Traffic, warm: int) -> dict[str, object]:
    """Of the last MEASURED transactions, `warm` having gone before."""
    batches, clocks = cut(made.chunks(warm + MEASURED)), Clocks()
    observe(kernel, islice(batches, warm // BATCH), Clocks())
    done = observe(kernel, batches, clocks)
    return {
        **clocks.per_second(done),
        "kept_events": kernel.state.kept_events,
        "used_bytes": kernel.state.used_bytes,
        "load_average": os.getloadavg(),
    }


def by_cards(warm: int) -> dict[str, object]:
    """From few cards to many: at the same windows, and at the same number of events of a card."""
    same_windows = 31 * 86_400 * 100 // (warm * 3 // 4)  # 31 days: 3/4 of what goes before
    out: dict[str, object] = {}
    for what in ("same_windows", "same_events_of_a_card"):
        rows: dict[str, dict[str, object]] = {}
        for cards in (10_000, 100_000, 500_000, 2_000_000):
            factor = same_windows
            if what == "same_events_of_a_card":
                factor = 31 * 86_400 * 100 // (4 * cards)
            rows[f"{cards:_}"] = of_cards(cards, factor, max(warm, 9 * cards // 2))
            show(f"{what}, {cards} cards", rows[f"{cards:_}"])
        rates = [int(str(row["per_s_cpu"])) for row in rows.values()]
        out[what] = {**rows, "slowest_to_fastest": round(min(rates) / max(rates), 3)}
    return out


def of_cards(cards: int, factor: int, warm: int) -> dict[str, object]:
    """Throughput with so many cards, all durations divided by the factor."""
    short = traffic.scaled(default, factor)
    kernel = Kernel(Layout(short), Limits(8 * 2**30))
    made = traffic.Traffic(cards=cards, rate=100.0, behind_ms=short.lateness_max_ms // 2)
    measured = throughput(kernel, made, warm)
    kinds = traffic.kinds(kernel)
    names = ("entities", "idle_entities", "kept_events", "bytes_per_kept_event")
    return {
        "durations_divided_by": factor, **measured,
        **{kind: {name: found[name] for name in names} for kind, found in kinds.items()},
    }  # fmt: skip


def hot_key(warm: int) -> dict[str, object]:
    """One merchant with 30 % of all, and none."""
    out = {}
    for factor in (1, 100):
        rows = {}
        for name, share in (("even", 0.0), ("hot", 0.3)):
            kernel = Kernel(Layout(traffic.scaled(default, factor)), Limits(8 * 2**30))
            made = traffic.Traffic(200_000, 80 / 0.3, share, behind_ms=600_000)
            rows[name] = throughput(kernel, made, warm)
            show(f"{name}, durations / {factor}", rows[name])
        cost = rows["even"]["per_s_cpu"] / rows["hot"]["per_s_cpu"]
        out[f"durations_divided_by_{factor}"] = {**rows, "cost": round(cost, 3)}
    return out


def show(name: str, part: dict[str, object]) -> None:
    print(name, json.dumps(part), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", choices=["memory", "cards", "hot"])
    parser.add_argument("--days", type=int, default=104)
    parser.add_argument("--per-day", type=int, default=150_000)
    parser.add_argument("--warm", type=int, default=3_000_000)
    given = parser.parse_args()
    compile_everything()
    parts: dict[str, object] = {}
    if given.only in (None, "cards"):
        parts["cards"] = by_cards(given.warm)
    if given.only in (None, "hot"):
        parts["hot"] = hot_key(given.warm // 2)
    if given.only in (None, "memory"):
        parts |= memory_and_snapshots(given.days, given.per_day)
    path, earlier = REPORTS / "state.json", {}
    if given.only and path.exists():
        report = json.loads(path.read_text())
        earlier = {k: report[k] for k in ("memory", "snapshots", "cards", "hot") if k in report}
    write("state", {**earlier, **parts})


if __name__ == "__main__":
    main()
