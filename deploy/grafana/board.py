"""A dashboard: rows of panels, what chooses processes, and what is marked in time."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deploy.grafana.look import Json
from deploy.grafana.panel import BLUE, DATASOURCE, RED, Panel
from deploy.grafana.promql import of

COLUMNS = 24
SCHEMA_VERSION = 42
RUNBOOKS = "https://runbooks.example"
"""Where docs/runbook is read, unless `RUNBOOKS_URL` says where; as in compose.yaml."""


@dataclass(frozen=True)
class Shelf:
    """Panels side by side, all of one height."""

    height: int
    panels: Sequence[Panel]

    def widths(self) -> list[int]:
        """Of each."""
        free = [panel for panel in self.panels if not panel.wide]
        left = COLUMNS - sum(panel.wide for panel in self.panels)
        return [panel.wide or left // len(free) for panel in self.panels]


@dataclass(frozen=True)
class Row:
    """Shelves under a heading; a folded one asks nothing until it is opened."""

    title: str
    shelves: Sequence[Shelf]
    is_folded: bool = False


@dataclass(frozen=True)
class Board:
    """One dashboard; name: its file and address."""

    name: str
    title: str
    about: str
    rows: Sequence[Row]
    span: str = "1h"
    refresh: str = "10s"

    def panels(self) -> Iterator[Panel]:
        """All, as they are read."""
        for row in self.rows:
            for shelf in row.shelves:
                yield from shelf.panels

    def json(self) -> Json:
        """As Grafana keeps it."""
        return {
            "id": None,
            "uid": f"alcyon-{self.name}",
            "title": f"Alcyon {self.title}",
            "description": self.about,
            "tags": ["alcyon"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "fiscalYearStartMonth": 0,
            "timezone": "browser",
            "weekStart": "",
            "time": {"from": f"now-{self.span}", "to": "now"},
            "refresh": self.refresh,
            "timepicker": {},
            "templating": {"list": _variables()},
            "annotations": {"list": _annotations()},
            "links": _links(),
            "panels": list(self._placed()),
        }

    def _placed(self) -> Iterator[Json]:
        y = 0
        for row in self.rows:
            heading: Json = {
                "id": _row_id(row.title),
                "type": "row",
                "title": row.title,
                "collapsed": row.is_folded,
                "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y},
                "panels": [],
            }
            y += 1
            placed = list(_shelved(row.shelves, y))
            y += sum(shelf.height for shelf in row.shelves)
            if row.is_folded:
                yield heading | {"panels": placed}
            else:
                yield heading
                yield from placed


def _shelved(shelves: Sequence[Shelf], y: int) -> Iterator[Json]:
    for shelf in shelves:
        x = 0
        for panel, width in zip(shelf.panels, shelf.widths(), strict=True):
            yield panel.json(x, y, width, shelf.height)
            x += width
        y += shelf.height


def _row_id(title: str) -> int:
    return zlib.crc32(f"row {title}".encode()) % 10**6 + 10**6


def _variables() -> list[Json]:
    """Which processes are shown, and where the pages on what to do are read."""
    chosen, runbooks = "alcyon_run_readiness_bool", os.environ.get("RUNBOOKS_URL", RUNBOOKS)
    return [
        _of_label("job", "Job", f"label_values({chosen}, job)"),
        _of_label("instance", "Instance", f'label_values({chosen}{{job=~"$job"}}, instance)'),
        {
            "name": "runbook",
            "type": "constant",
            "label": "Runbook",
            "query": runbooks,
            "hide": 2,
            "current": {"text": runbooks, "value": runbooks, "selected": False},
            "options": [{"text": runbooks, "value": runbooks, "selected": True}],
            "skipUrlSync": True,
        },
    ]


def _of_label(name: str, label: str, query: str) -> Json:
    return {
        "name": name,
        "type": "query",
        "label": label,
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": f"variable-{name}"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"], "selected": True},
        "hide": 0,
        "options": [],
        "regex": "",
        "skipUrlSync": False,
    }


def _annotations() -> list[Json]:
    """Prometheus alerts while they fire, and what decides from a moment on."""
    versions, before = (_versions(moment) for moment in ("", " offset 5m"))
    return [
        {
            "builtIn": 1,
            "datasource": {"type": "grafana", "uid": "-- Grafana --"},
            "enable": True,
            "hide": True,
            "iconColor": "rgba(0, 211, 255, 1)",
            "name": "Annotations & Alerts",
            "type": "dashboard",
        },
        _annotation(
            "Prometheus alerts",
            RED,
            'ALERTS{alertstate="firing", alertname=~"Alcyon.*"}',
            ("{{alertname}}", "{{severity}} {{job}} {{instance}}", "severity"),
        ),
        _annotation(
            "New versions in force",
            BLUE,
            f"{versions} unless {before}",
            ("New version", "model {{model}}, rules {{rules}}, lists {{lists}}, policy {{policy}}",
             "model"),
        ),
    ]  # fmt: skip


def _versions(moment: str) -> str:
    known = of("alcyon_versions_info", 'model!=""')
    return f"group by (model, rules, lists, policy) ({known}{moment})"


def _annotation(name: str, color: str, expr: str, told: tuple[str, str, str]) -> Json:
    title, text, tags = told
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": color,
        "expr": expr,
        "step": "60s",
        "titleFormat": title,
        "textFormat": text,
        "tagKeys": tags,
        "useValueForTime": False,
    }


def _links() -> list[Json]:
    """To the other dashboards; time and processes are kept."""
    others = {
        "title": "Alcyon", "type": "dashboards", "tags": ["alcyon"], "icon": "external link",
        "tooltip": "", "url": "", "asDropdown": False, "includeVars": True, "keepTime": True,
        "targetBlank": False,
    }  # fmt: skip
    return [others]
