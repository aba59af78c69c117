"""The Fraud Detection Handbook: features through the DSL, and how well we rank on them.

    ALCYON_TEST_DATA=folder python benchmarks/handbook.py

The folder holds the book's published, simulated data as `handbook.parquet`. Features are timed on
columns in memory, in one thread, compiled before; they are compared with DuckDB's on all rows.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import duckdb
import msgspec
import numpy as np

import report
from alcyon.domain.tokens import TokenKeys
from alcyon.features.kernel import Limits
from alcyon.learning.handbook import HandbookMean, HandbookRows, evaluate_handbook
from alcyon.runners.learning.handbook_protocol import (
    CAVEAT,
    PUBLISHED,
    handbook_rows,
    read_handbook,
)

FOLDER = Path(os.environ.get("ALCYON_TEST_DATA", report.ROOT.parent / "shared" / "data"))
FILE = FOLDER / "handbook.parquet"
KEYS = TokenKeys(1, b"handbook-benchmark")
RUNS = 3

CARD, TERMINAL = "PARTITION BY CUSTOMER_ID ORDER BY ms", "PARTITION BY TERMINAL_ID ORDER BY ms"
DAY = 86_400_000


def main() -> None:
    """Measure, compare, print and write the report."""
    if not FILE.exists():
        sys.exit("handbook.parquet is not here: set ALCYON_TEST_DATA to the folder that has it")
    started = time.perf_counter()
    parts = read_handbook(FILE, KEYS)
    reading = time.perf_counter() - started
    handbook_rows(parts[:1], Limits())  # compiles
    seconds, processor = list[float](), list[float]()
    for _ in range(RUNS):
        started, worked = time.perf_counter(), time.process_time()
        rows = handbook_rows(parts, Limits())
        seconds.append(time.perf_counter() - started)
        processor.append(time.process_time() - worked)
    mismatches = compared(rows)
    means = {h: mean_of(rows, h) for h in ("book", "all")}
    n = len(rows.event_time)
    report.write(
        "handbook",
        {
            "rows": n,
            "reading_s": reading,
            "features_s": seconds,
            "features_processor_s": processor,
            "features_us_per_row": min(seconds) / n * 1e6,
            "rows_that_differ_from_duckdb": mismatches,
            "mean_of_four_folds": {h: msgspec.to_builtins(m) for h, m in means.items()},
            "published_auc_ap_cp100": PUBLISHED,
            "caveat": CAVEAT,
        },
    )
    shown(n, reading, seconds, processor)
    compared_with(mismatches, means)


def mean_of(rows: HandbookRows, history: str) -> HandbookMean:
    """The blend's means over the four folds."""
    return evaluate_handbook(rows, "all" if history == "all" else "book").mean


def compared(rows: HandbookRows) -> int:
    """How many rows differ from the book's definitions, computed by DuckDB.

    Payments at the same millisecond are left out: RANGE sees both of them in both.
    """
    windows = (1, 7, 30)
    card = [f"({CARD} RANGE BETWEEN {d * DAY - 1} PRECEDING AND CURRENT ROW)" for d in windows]
    far = [
        f"({TERMINAL} RANGE BETWEEN {(7 + d) * DAY - 1} PRECEDING AND {7 * DAY} PRECEDING)"
        for d in windows
    ]
    cents = "CAST(round(TX_AMOUNT * 100) AS BIGINT)"
    columns = ["TX_AMOUNT", "isodow(TX_DATETIME) >= 6", "hour(TX_DATETIME) <= 6"]
    columns += [f"count(*) OVER {w}" for w in card]
    columns += [f"avg({cents}) OVER {w}" for w in card]
    columns += [f"count(*) OVER {w}" for w in far]
    columns += [f"avg(TX_FRAUD) OVER {w}" for w in far]
    named = ", ".join(f"{c} AS c{k}" for k, c in enumerate(columns))
    connection = duckdb.connect(config={"threads": 1})
    found = connection.execute(
        f"SELECT {named}, count(*) OVER (PARTITION BY CUSTOMER_ID, ms) + count(*) OVER "
        "(PARTITION BY TERMINAL_ID, ms) = 2 AS alone FROM (SELECT row_number() OVER () AS place, "
        f"epoch_ms(TX_DATETIME) AS ms, * FROM '{FILE}') ORDER BY place"
    ).fetchnumpy()
    alone = np.asarray(found.pop("alone"), np.bool_)
    want = np.column_stack([np.ma.filled(c.astype(np.float64), np.nan) for c in found.values()])
    same = np.isclose(rows.features[:, : want.shape[1]], want, rtol=1e-6, equal_nan=True).all(
        axis=1
    )
    return int((~same & alone).sum())


def shown(n: int, reading: float, seconds: list[float], processor: list[float]) -> None:
    """Times on stdout."""
    print(f"{n:,} rows read in {reading:.1f} s")
    for name, found in (("elapsed", seconds), ("of the processor", processor)):
        times = ", ".join(f"{s:.1f}" for s in found)
        print(f"features, {name}: {times} s, best {min(found) / n * 1e6:.2f} µs per row")


def compared_with(mismatches: int, means: dict[str, HandbookMean]) -> None:
    """The table beside the published one."""
    print(f"rows that differ from DuckDB: {mismatches}\n")
    rows = {
        f"Alcyon, history: {history}": (
            mean.roc_auc, mean.average_precision, mean.card_precision_at_100,
        )
        for history, mean in means.items()
    }  # fmt: skip
    rows |= {f"{name} (the book)": figures for name, figures in PUBLISHED.items()}
    print(f"{'':32} ROC AUC     AP  CP@100")
    for name, (auc, ap, cp) in rows.items():
        print(f"{name:32} {auc:7.3f} {ap:6.3f} {cp:7.3f}")
    print(f"\n{CAVEAT}")


if __name__ == "__main__":
    main()
