"""Drift: is a rise of amounts found within a day, and is a quiet month left in peace?

    python benchmarks/drift.py [--seeds 201-205] [--per-day 5000]

For each seed the simulation makes 150 days: 90 of history, 30 of reference, 30 quiet ones, which
`alcyon drift` judges every six hours. Then the same days with every amount multiplied by 1.3 from
the 121st day on, and from the noon of that day on. All with labels and the card detector's
features.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import report
from alcyon.detectors.loading import load_detector
from alcyon.domain.tokens import TokenKeys
from alcyon.features.kernel import Limits
from alcyon.runners.files.arrivals import Sources
from alcyon.runners.files.generation import Outputs, generate_files
from alcyon.runners.learning.drift import Comparison, DriftReport, compare_files
from alcyon.simulation import Scenario

DAY = 86_400_000
HOUR = DAY // 24
HISTORY, REFERENCE, QUIET = 90, 30, 30
FACTOR = 1.3
KEYS = TokenKeys(1, b"drift-benchmark-")
START = Scenario().start
SPLIT = START + (HISTORY + REFERENCE) * DAY


def main() -> None:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="201-205")
    parser.add_argument("--per-day", type=int, default=5_000)
    given = parser.parse_args()
    first, last = (int(part) for part in given.seeds.split("-"))
    rows = [measured(seed, given.per_day) for seed in range(first, last + 1)]
    quiet = [row for row in rows if not row["alarms"]]
    print(f"{len(quiet)} of {len(rows)} seeds without an alarm in {QUIET} quiet days")
    report.write("drift", {"per_day": given.per_day, "seeds": rows})


def measured(seed: int, per_day: int) -> dict[str, object]:
    """One seed's alarms in quiet days, and the hours until the rise was found."""
    with tempfile.TemporaryDirectory(prefix="alcyon-drift-") as work:
        folder = Path(work)
        days = HISTORY + REFERENCE + QUIET
        scenario = Scenario(transactions=days * per_day, duration_ms=days * DAY, seed=seed)
        generate_files(scenario, Outputs(folder / "t.parquet", folder / "l.parquet"))
        everything = pq.read_table(folder / "t.parquet")
        cut(everything, folder / "a.parquet", START, SPLIT)
        cut(everything, folder / "quiet.parquet", SPLIT, START + days * DAY)
        quiet = judged(folder, "quiet")
        hours = {}
        for name, onset in (("midnight", SPLIT), ("noon", SPLIT + 12 * HOUR)):
            cut(everything, folder / f"{name}.parquet", SPLIT, SPLIT + 3 * DAY, onset)
            hours[name] = found_after(judged(folder, name), onset)
    alarms = {**quiet.drifted, **{f"{c.signal} (stream)": c.event_time for c in quiet.changes}}
    alarms = {name: round((at - SPLIT) / DAY, 2) for name, at in alarms.items()}
    print(
        f"seed {seed}: {quiet.windows} quiet windows of {len(quiet.signals)} signals, alarms "
        f"{alarms or 'none'}; amounts × {FACTOR} found after (hours: window, stream) "
        f"{hours['midnight']} from midnight, {hours['noon']} from noon",
        flush=True,
    )
    return {"seed": seed, "windows": quiet.windows, "alarms": alarms, "hours_until_found": hours}


def cut(table: pa.Table, path: Path, start: int, stop: int, onset: int | None = None) -> None:
    """The rows of [start, stop), amounts multiplied from `onset` on."""
    time = table["event_time"].cast(pa.int64())
    inside = pc.and_(pc.greater_equal(time, start), pc.less(time, stop))
    part = table.filter(inside)
    if onset is not None:
        later = pc.greater_equal(part["event_time"].cast(pa.int64()), onset)
        for name in ("amount_minor", "amount_base_minor"):
            if name in part.column_names:
                at, amounts = part.column_names.index(name), part[name]
                raised = pc.cast(pc.round(pc.multiply(amounts, FACTOR)), pa.int64())
                part = part.set_column(at, name, pc.if_else(later, raised, amounts))
    pq.write_table(part, path)


def judged(folder: Path, name: str) -> DriftReport:
    """What `alcyon drift --reference a --input NAME --labels l --from DAY_91` finds."""
    detector = load_detector("card")
    reference, given = (
        Sources(folder / f"{part}.parquet", folder / "l.parquet", KEYS, detector.columns)
        for part in ("a", name)
    )
    comparison = Comparison(reference, given, start=START + HISTORY * DAY)
    return compare_files(detector.catalog, comparison, Limits()).report


def found_after(found: DriftReport, onset: int) -> tuple[float | None, float | None]:
    """Hours from the onset to the first window, and to the first stream, that shows the amounts."""
    windows = [at for name, at in found.drifted.items() if name in ("amount", "amount_base_minor")]
    streams = [change.event_time for change in found.changes]
    window, stream = (
        round((min(times) - onset) / HOUR, 1) if times else None for times in (windows, streams)
    )
    return window, stream


if __name__ == "__main__":
    main()
