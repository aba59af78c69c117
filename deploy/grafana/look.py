"""How an answer is drawn: one class for each kind of panel of Grafana's that is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

Json = dict[str, Any]


class Look(Protocol):
    """A kind of panel."""

    @property
    def type(self) -> str:
        """Grafana's name of it."""
        ...

    @property
    def format(self) -> Literal["time_series", "heatmap", "table"]:
        """How it wants its data."""
        ...

    @property
    def is_instant(self) -> bool:
        """Whether it shows one moment: the end of the time shown."""
        ...

    @property
    def plain(self) -> str:
        """The colour of a value that is neither good nor bad."""
        ...

    def options(self) -> Json:
        """Grafana's options of this kind."""
        ...

    def custom(self, has_limits: bool) -> Json:
        """Grafana's options of a field drawn so."""
        ...


@dataclass(frozen=True)
class Number:
    """One number, large; of now with what it was behind it, or of the whole time shown."""

    is_total: bool = False
    shows: Literal["value", "name"] = "value"
    """`name`: what it is called, for what has no number but a label."""
    type = "stat"
    plain = "text"
    format: Literal["time_series"] = "time_series"

    @property
    def is_instant(self) -> bool:
        return self.is_total or self.shows == "name"

    def options(self) -> Json:
        return {
            "reduceOptions": _last(),
            "orientation": "auto",
            "colorMode": "value",
            "graphMode": "none" if self.is_instant else "area",
            "justifyMode": "auto",
            "textMode": self.shows,
            "wideLayout": True,
            "showPercentChange": False,
            "percentChangeColorMode": "standard",
        }

    def custom(self, has_limits: bool) -> Json:
        return {}


@dataclass(frozen=True)
class Lines:
    """Values over time."""

    is_stacked: bool = False
    legend: Literal["bottom", "right"] = "bottom"
    type = "timeseries"
    plain = "text"
    format: Literal["time_series"] = "time_series"
    is_instant = False

    def options(self) -> Json:
        return {
            "legend": {
                "showLegend": True,
                "displayMode": "table" if self.legend == "right" else "list",
                "placement": self.legend,
                "calcs": ["lastNotNull", "max"] if self.legend == "right" else [],
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        }

    def custom(self, has_limits: bool) -> Json:
        return {
            "drawStyle": "line",
            "lineInterpolation": "linear",
            "lineWidth": 1 if self.is_stacked else 2,
            "fillOpacity": 40 if self.is_stacked else 8,
            "gradientMode": "none" if self.is_stacked else "opacity",
            "showPoints": "never",
            "spanNulls": False,
            "axisSoftMin": 0,
            "stacking": {"mode": "normal" if self.is_stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if has_limits else "off"},
        }


@dataclass(frozen=True)
class Bars:
    """Several numbers of the whole time shown, or of its end, as bars."""

    type = "bargauge"
    plain = "blue"
    format: Literal["time_series"] = "time_series"
    is_instant = True

    def options(self) -> Json:
        return {
            "reduceOptions": _last(),
            "orientation": "horizontal",
            "displayMode": "basic",
            "valueMode": "text",
            "namePlacement": "left",
            "showUnfilled": True,
            "sizing": "auto",
            "minVizWidth": 8,
            "minVizHeight": 16,
            "maxVizHeight": 300,
            "legend": {
                "showLegend": False,
                "displayMode": "list",
                "placement": "bottom",
                "calcs": [],
            },
        }

    def custom(self, has_limits: bool) -> Json:
        return {}


@dataclass(frozen=True)
class Heat:
    """A histogram over time: the darker, the more values."""

    unit: str
    type = "heatmap"
    plain = "text"
    format: Literal["heatmap"] = "heatmap"
    is_instant = False

    def options(self) -> Json:
        return {
            "calculate": False,
            "cellGap": 1,
            "cellValues": {"unit": "short", "decimals": 0},
            "color": {
                "mode": "scheme",
                "scheme": "Blues",
                "scale": "exponential",
                "exponent": 0.5,
                "fill": "dark-blue",
                "reverse": False,
                "steps": 64,
            },
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "showValue": "never",
            "tooltip": {"mode": "single", "yHistogram": True, "showColorScale": True},
            "yAxis": {"axisPlacement": "left", "unit": self.unit, "reverse": False},
        }

    def custom(self, has_limits: bool) -> Json:
        return {"hideFrom": {"legend": False, "tooltip": False, "viz": False}}


@dataclass(frozen=True)
class Table:
    """The labels of series, each a row."""

    type = "table"
    plain = "text"
    format: Literal["table"] = "table"
    is_instant = True

    def options(self) -> Json:
        return {"showHeader": True, "cellHeight": "sm", "frameIndex": 0}

    def custom(self, has_limits: bool) -> Json:
        return {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False}


@dataclass(frozen=True)
class States:
    """What is the case when: a line for each series, coloured by `names`."""

    type = "state-timeline"
    plain = "text"
    format: Literal["time_series"] = "time_series"
    is_instant = False

    def options(self) -> Json:
        return {
            "alignValue": "left",
            "mergeValues": True,
            "rowHeight": 0.8,
            "showValue": "never",
            "legend": {
                "showLegend": True,
                "displayMode": "list",
                "placement": "bottom",
                "calcs": [],
            },
            "tooltip": {"mode": "single", "sort": "none"},
        }

    def custom(self, has_limits: bool) -> Json:
        return {"fillOpacity": 70, "lineWidth": 0}


def _last() -> Json:
    return {"calcs": ["lastNotNull"], "fields": "", "values": False}
