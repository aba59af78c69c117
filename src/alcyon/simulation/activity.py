"""When people pay: hour-of-week profiles, integrated exactly so that any interval can be drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alcyon.simulation.identifiers import Ints

Floats = NDArray[np.float64]

SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
_WEEK_HOURS = 168
_MONDAY_MS = 4 * DAY_MS  # 1970-01-05 was a Monday

# (centre hour, width in hours, height) of each style's bumps; weekends start later.
_STYLES = (
    ((12.5, 4.0, 1.0),),
    ((8.0, 1.2, 0.8), (13.0, 1.2, 0.9), (18.5, 2.0, 1.2)),
    ((19.5, 3.0, 1.0), (12.0, 2.0, 0.4)),
    ((22.0, 3.0, 1.0), (3.0, 2.5, 0.3)),
    ((10.0, 2.5, 1.0), (16.0, 2.0, 0.6)),
    ((14.0, 6.0, 1.0),),
)
STYLES = len(_STYLES)


def _profile(bumps: tuple[tuple[float, float, float], ...]) -> Floats:
    hour = np.arange(_WEEK_HOURS) % 24 + 0.5
    late = np.where(np.arange(_WEEK_HOURS) >= 120, 1.5, 0.0)
    weight = np.full(_WEEK_HOURS, 0.04)
    for centre, width, height in bumps:
        away = np.abs((hour - centre - late + 12) % 24 - 12)
        weight += height * np.exp(-0.5 * (away / width) ** 2)
    weight *= np.where(late > 0, 1.15, 1.0)
    weight /= weight.mean()
    return weight


@dataclass(frozen=True, eq=False)
class Rhythm:
    """A weekly intensity in UTC with mean 1 per hour; `cumulative` is float64[169] hours."""

    cumulative: Floats

    @classmethod
    def of(cls, style: int, offset_minutes: int) -> Rhythm:
        """Of one style of people at an offset from UTC (whole hours)."""
        weight = np.roll(_profile(_STYLES[style]), -(offset_minutes // 60))
        return cls(np.concatenate([[0.0], np.cumsum(weight)]))

    def integral(self, time: Ints | int) -> Floats:
        """Expected hours of activity from a fixed Monday up to `time` (UTC ms)."""
        week, hour = np.divmod((np.asarray(time) - _MONDAY_MS) / HOUR_MS, _WEEK_HOURS)
        return week * _WEEK_HOURS + np.interp(hour, np.arange(_WEEK_HOURS + 1), self.cumulative)

    def draw(self, start: int, stop: int, uniform: Floats) -> Ints:
        """Times in [start, stop) (UTC ms) distributed as the intensity, from uniforms."""
        low, high = self.integral(start), self.integral(stop)
        week, rest = np.divmod(low + uniform * (high - low), _WEEK_HOURS)
        hour = np.interp(rest, self.cumulative, np.arange(_WEEK_HOURS + 1))
        time = _MONDAY_MS + np.floor((week * _WEEK_HOURS + hour) * HOUR_MS).astype(np.int64)
        return np.clip(time, start, stop - 1)

    def level(self, time: Ints) -> Floats:
        """The intensity at each time (UTC ms), mean 1."""
        hour = (time - _MONDAY_MS) // HOUR_MS % _WEEK_HOURS
        level: Floats = self.cumulative[hour + 1] - self.cumulative[hour]
        return level
