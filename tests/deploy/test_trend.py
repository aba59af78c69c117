"""What the nightly workflow shows of its reports: a row per night, and what got worse is seen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.deploy.composed import ROOT

SCRIPT = ROOT / "benchmarks/trend.py"


def reports(day: int, per_s: int, p99: float, differing: int = 0) -> list[dict[str, Any]]:
    """As the benchmarks of a night write them."""
    every = {"measured_at": f"2026-11-{day:02}T02:40:00+00:00", "commit": f"c{day}"}
    rate = {"rate": 1000.0, "latency_ms": {"p50": 12.0, "p99": p99}, "cpu_us": {"worker": 480.0}}
    parts = {part: {"differences": 0} for part in ("adversarial", "sql")}
    rows = [
        {"variant": "full payload", "batch": 64, "per_s": 1},
        {"variant": "full payload", "batch": 1024, "per_s": per_s},
    ]
    return [
        {"name": "engine", "rows": rows} | every,
        {"name": "exact", **parts, "brute_force": {"differences": differing}} | every,
        {"name": "stream", "rates": [rate]} | every,
    ]


def shown(file: Path) -> list[list[str]]:
    """The cells of the rows below the head."""
    done = subprocess.run(
        [sys.executable, SCRIPT, file], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def written(file: Path, *found: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(one) + "\n" for night in found for one in night))
    return file


def test_the_newest_night_is_first_and_what_is_worse_by_a_third_is_bold(tmp_path: Path) -> None:
    nights = (reports(1, 60_000, 30), reports(2, 58_000, 33), reports(3, 38_000, 47, differing=1))
    rows = shown(written(tmp_path / "trend.jsonl", *nights))
    assert rows == [
        ["2026-11-03", "c3", "**38,000**", "12", "**47**", "480", "**1**"],
        ["2026-11-02", "c2", "58,000", "12", "33", "480", "0"],
        ["2026-11-01", "c1", "60,000", "12", "30", "480", "0"],
    ]


def test_a_night_without_a_report_has_a_gap(tmp_path: Path) -> None:
    (row,) = shown(written(tmp_path / "trend.jsonl", reports(1, 60_000, 30)[:1]))
    assert row == ["2026-11-01", "c1", "60,000", "–", "–", "–", "–"]


def test_no_more_than_a_fortnight_is_shown(tmp_path: Path) -> None:
    nights = [reports(day, 60_000, 30) for day in range(1, 21)]
    days = [row[0][-2:] for row in shown(written(tmp_path / "trend.jsonl", *nights))]
    assert days == [f"{day:02}" for day in range(20, 6, -1)]


def test_a_line_that_is_no_report_is_named(tmp_path: Path) -> None:
    file = written(tmp_path / "trend.jsonl", reports(1, 60_000, 30))
    file.write_text(file.read_text() + "{}\n")
    done = subprocess.run(
        [sys.executable, SCRIPT, file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "line 4 is no report" in done.stderr
