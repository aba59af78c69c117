"""What Grafana's dashboards ask of Prometheus, read from the committed JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from deploy.grafana.__main__ import FOLDER


@dataclass(frozen=True)
class Asked:
    """One question. kind: of panel, or `annotation`; unknown: what is shown where no answer is."""

    dashboard: str
    title: str
    kind: str
    expr: str
    legend: str
    is_instant: bool
    unknown: str


@cache
def asked() -> tuple[Asked, ...]:
    """By all panels."""
    files = sorted(FOLDER.glob("*.json"))
    return tuple(each for file in files for each in _of(json.loads(file.read_text())))


def marks() -> tuple[tuple[str, str], ...]:
    """Name and question of what is marked in time, each once."""
    files = sorted(FOLDER.glob("*.json"))
    found = (each for file in files for each in json.loads(file.read_text())["annotations"]["list"])
    return tuple({each["name"]: each["expr"] for each in found if "expr" in each}.items())


def panels(board: dict[str, Any], *, rows: bool = False) -> Iterator[dict[str, Any]]:
    """All panels, those of folded rows too; rows: headings as well."""
    for panel in board["panels"]:
        if panel["type"] != "row" or rows:
            yield panel
        if panel["type"] == "row":
            yield from panel["panels"]


def _of(board: dict[str, Any]) -> Iterator[Asked]:
    for panel in panels(board):
        unknown = panel["fieldConfig"]["defaults"].get("noValue", "")
        for target in panel["targets"]:
            yield Asked(
                board["uid"],
                panel["title"],
                panel["type"],
                target["expr"],
                target["legendFormat"],
                target["instant"],
                unknown,
            )
