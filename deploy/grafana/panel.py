"""A panel: what it asks, and what the answer means.

Grafana's own words are in this file, `look` and `board` only. They are those of the classic
dashboard schema.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from deploy.grafana.look import Json, Look

Unit = Literal[
    "s", "percentunit", "short", "none", "bytes", "count:/s", "count:/min", "currencyEUR"
]
"""Grafana's ids; `count:` shortens thousands and puts the rest behind the number."""
MONEY: Unit = "currencyEUR"
"""The base currency of the rate table (`DEFAULT_RATES`); with another, change it and build anew."""
DATASOURCE: Json = {"type": "prometheus", "uid": "alcyon-prometheus"}
"""As `provisioning/datasources/alcyon.yaml` names it."""

GREEN, BLUE, ORANGE, RED = "green", "blue", "orange", "red"
ACTIONS: Mapping[str, str] = {"APPROVE": GREEN, "STEP_UP": BLUE, "REVIEW": ORANGE, "DECLINE": RED}
"""The colour of each action, everywhere the same."""
YES_IS_BAD: Mapping[int, tuple[str, str]] = {0: ("no", GREEN), 1: ("yes", RED)}
_PALETTE = "palette-classic"


@dataclass(frozen=True)
class Limits:
    """From where on a value is orange, and red."""

    warn: float | None = None
    bad: float | None = None

    def steps(self) -> list[Json]:
        """As Grafana's thresholds."""
        known = ((self.warn, ORANGE), (self.bad, RED))
        return _steps((None, GREEN), *(each for each in known if each[0] is not None))


@dataclass(frozen=True)
class Goal:
    """What a value is to reach: red below."""

    least: float

    def steps(self) -> list[Json]:
        """As Grafana's thresholds."""
        return _steps((None, RED), (self.least, GREEN))


@dataclass(frozen=True)
class Panel:
    """One entry of a dashboard."""

    title: str
    about: str
    """What is seen, and what it should be."""
    asks: Mapping[str, str]
    """PromQL by legend; a legend is a word, `{{label}}` or empty."""
    look: Look
    unit: Unit = "short"
    limits: Limits | Goal | None = None
    decimals: int | None = None
    colors: Mapping[str, str] = field(default_factory=dict)
    """By series, as the legend names them."""
    names: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """What a value is called, and its colour."""
    unknown: str = ""
    """What stands there while there is no value; without it there always is one."""
    runbook: str = ""
    """The Prometheus alert about it, whose page in docs/runbook says what to do."""
    wide: int = 0
    """Of 24 columns; what is left is shared by those that do not say."""
    only: tuple[str, ...] = ()
    """Of a table, the columns."""

    @property
    def id(self) -> int:
        """The same as long as the title is, so that a link to a panel lives on."""
        return zlib.crc32(self.title.encode()) % 10**6 + 1

    def json(self, x: int, y: int, w: int, h: int) -> Json:
        """At its place in the grid of 24 columns."""
        made: Json = {
            "id": self.id,
            "type": self.look.type,
            "title": self.title,
            "description": self.about,
            "datasource": DATASOURCE,
            "gridPos": {"h": h, "w": w, "x": x, "y": y},
            "targets": list(self._targets()),
            "fieldConfig": {"defaults": self._defaults(), "overrides": list(self._overrides())},
            "options": self.look.options(),
        }
        if self.only:
            made["transformations"] = [_columns(self.only)]
        if self.runbook:
            made["links"] = [link("What to do", f"${{runbook}}/{self.runbook}.md")]
        return made

    def _targets(self) -> Iterator[Json]:
        for ref, (legend, expr) in zip("ABCDEFGH", self.asks.items(), strict=False):
            yield {
                "refId": ref,
                "datasource": DATASOURCE,
                "editorMode": "code",
                "expr": expr,
                "legendFormat": legend,
                "format": self.look.format,
                "instant": self.look.is_instant,
                "range": not self.look.is_instant,
            }

    def _defaults(self) -> Json:
        is_by_value = self.look.type != "timeseries"
        made: Json = {
            "unit": self.unit,
            "color": {"mode": "thresholds" if is_by_value else _PALETTE},
            "thresholds": {
                "mode": "absolute",
                "steps": self.limits.steps() if self.limits else _steps((None, self.look.plain)),
            },
            "mappings": [_mapping(self.names)] if self.names else [],
            "custom": self.look.custom(self.limits is not None),
        }
        if self.decimals is not None:
            made["decimals"] = self.decimals
        if self.look.type == "timeseries":
            made["min"] = 0
        if self.unknown:
            made["noValue"] = self.unknown
        return made

    def _overrides(self) -> Iterator[Json]:
        for name, color in self.colors.items():
            yield {
                "matcher": {"id": "byName", "options": name},
                "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
            }


def link(title: str, url: str) -> Json:
    """A link that opens beside the dashboard."""
    return {
        "title": title, "url": url, "type": "link", "icon": "doc", "tooltip": "", "tags": [],
        "asDropdown": False, "includeVars": False, "keepTime": False, "targetBlank": True,
    }  # fmt: skip


def _steps(*steps: tuple[float | None, str]) -> list[Json]:
    return [{"value": value, "color": color} for value, color in steps]


def _mapping(names: Mapping[int, tuple[str, str]]) -> Json:
    named = {
        str(value): {"text": text, "color": color, "index": index}
        for index, (value, (text, color)) in enumerate(names.items())
    }
    return {"type": "value", "options": named}


def _columns(names: tuple[str, ...]) -> Json:
    return {"id": "filterFieldsByName", "options": {"include": {"names": list(names)}}}
