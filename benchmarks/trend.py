"""The nights side by side, in Markdown, as the nightly workflow shows them.

    python benchmarks/trend.py trend/trend.jsonl

Each line of the file is a report; those of a day are a night. What is worse by a third than the
median of the nights before is bold: machines differ from night to night, so one such night says
little, and three in a row say much.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

NIGHTS_MAX = 14
WORSE = 1 / 3
_OF_EXACT = ("adversarial", "sql", "brute_force")

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """One column. read: out of the report of that name."""

    heading: str
    report: str
    read: Callable[[Report], float]
    is_better_higher: bool = False

    def of(self, night: Mapping[str, Report]) -> float | None:
        """None: that night has no such report."""
        found = night.get(self.report)
        return None if found is None else self.read(found)

    def is_worse(self, value: float, before: Sequence[float]) -> bool:
        """By a third than the median of the nights before."""
        if not before:
            return False
        usual = median(before)
        if self.is_better_higher:
            return value < usual * (1 - WORSE)
        return value > usual * (1 + WORSE)


def _decided_per_s(report: Report) -> float:
    wanted = ("full payload", 1024)
    return next(r["per_s"] for r in report["rows"] if (r["variant"], r["batch"]) == wanted)


FIGURES = (
    Figure("decided /s, one core", "engine", _decided_per_s, is_better_higher=True),
    Figure("p50 ms at 1,000 /s", "stream", lambda r: r["rates"][0]["latency_ms"]["p50"]),
    Figure("p99 ms at 1,000 /s", "stream", lambda r: r["rates"][0]["latency_ms"]["p99"]),
    Figure("worker's µs each", "stream", lambda r: r["rates"][0]["cpu_us"]["worker"]),
    Figure("differences", "exact", lambda r: sum(r[part]["differences"] for part in _OF_EXACT)),
)


def nights(lines: Sequence[str]) -> list[tuple[str, dict[str, Report]]]:
    """Day and reports by name, the oldest first. ValueError: a line is no report."""
    found = dict[str, dict[str, Report]]()
    for number, line in enumerate(lines, 1):
        try:
            report = json.loads(line)
            day, name = report["measured_at"][:10], report["name"]
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"line {number} is no report: {error}") from error
        found.setdefault(day, {})[name] = report
    return sorted(found.items())


def table(found: Sequence[tuple[str, Mapping[str, Report]]]) -> str:
    """The last nights, the newest first."""
    rows = [f"| night | commit | {' | '.join(figure.heading for figure in FIGURES)} |"]
    rows.append("|---|---|" + "---:|" * len(FIGURES))
    for at in range(len(found) - 1, max(-1, len(found) - 1 - NIGHTS_MAX), -1):
        day, night = found[at]
        commit = next(iter(night.values()))["commit"]
        cells = [_cell(figure, night, [earlier for _, earlier in found[:at]]) for figure in FIGURES]
        rows.append(f"| {day} | {commit} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _cell(
    figure: Figure, night: Mapping[str, Report], earlier: Sequence[Mapping[str, Report]]
) -> str:
    value = figure.of(night)
    if value is None:
        return "–"
    before = [known for one in earlier if (known := figure.of(one)) is not None]
    text = f"{value:,.1f}".removesuffix(".0")
    return f"**{text}**" if figure.is_worse(value, before) else text


def main() -> int:
    """Print it."""
    lines = Path(sys.argv[1]).read_text().splitlines()
    print(table(nights(lines)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
