"""The engine benchmark's figures: medians over rounds, as tables and as a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

Figures = Mapping[str, Sequence[float]]
Row = dict[str, float | int | str]

TARGETS = {1024: 60_000, 64: 35_000}
"""Transactions per second that we want of the full payload, by batch size."""
P99_MAX_US, FLOOR_MAX = 1000, 2.0
"""Of a single transaction; of what the parts alone cost."""


def row_of(variant: str, batch: int, figures: Figures) -> Row:
    """One variant at one batch size."""
    middle = {name: round(float(np.median(values)), 2) for name, values in figures.items()}
    row: Row = {"variant": variant, "batch": batch, "per_s": round(1e6 / middle["wall_us"])}
    row |= {name: value for name, value in middle.items() if name != "latency_us"}
    for percent in (50, 99) if "latency_us" in figures else ():
        row[f"p{percent}_us"] = round(float(np.percentile(figures["latency_us"], percent)), 1)
    return row


def show(rows: Sequence[Row], columns: Mapping[str, str]) -> None:
    """Rows as a table; columns: key to heading."""
    print("\n" + f"{'':26}" + "".join(f"{heading:>12}" for heading in columns.values()))
    for row in rows:
        cells = (f"{row[key]:12,}" if key in row else f"{'':12}" for key in columns)
        print(f"{row['variant']:26}" + "".join(cells))


def verdicts(rows: Sequence[Row]) -> list[str]:
    """Each target with what was reached."""
    by = {(r["variant"], r["batch"]): r for r in rows}
    said = []
    for batch, wanted in TARGETS.items():
        full, third = by["full payload", batch], by["full, 30 % not approved", batch]
        said.append(_said(f"{batch}: {full['per_s']:,}/s of {wanted:,}", full, wanted))
        said.append(
            _said(f"{batch}, 30 % not approved: {third['per_s']:,}/s of {wanted // 2:,}",
                  third, wanted // 2)
        )  # fmt: skip
    p99 = float(by["full payload", 1]["p99_us"])
    said.append(f"{'reached' if p99 <= P99_MAX_US else 'MISSED '}  single p99 {p99:,} µs of 1,000")
    for batch in (1024, 64, 1):
        multiple = float(by["full payload", batch]["wall_us"]) / float(
            by["floor", batch]["wall_us"]
        )
        verdict = "reached" if multiple <= FLOOR_MAX else "MISSED "
        said.append(f"{verdict}  {batch}: {multiple:.2f} times the floor, of {FLOOR_MAX}")
    return said


def _said(text: str, row: Row, wanted: int) -> str:
    return f"{'reached' if float(row['per_s']) >= wanted else 'MISSED '}  {text}"


def ratios(rows: Sequence[Row]) -> list[str]:
    """How many times slower the peers are, by wall clock."""
    by = {(r["variant"], r["batch"]): float(r["wall_us"]) for r in rows}
    said = []
    for peer, batch in (("naive peer", 1), ("tuned peer", 64)):
        if (peer, batch) in by:
            times = [f"{by[peer, batch] / by['full payload', b]:,.1f} times ours at {b:,}"
                     for b in (1024, 64, 1)]  # fmt: skip
            said.append(f"{peer}: {', '.join(times)}")
    return said
