"""How much traffic is expected when, and which card pays when."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alcyon.domain.errors import InputError
from alcyon.domain.transaction import EVENT_TIME_MAX
from alcyon.simulation.activity import DAY_MS, HOUR_MS, SECOND_MS
from alcyon.simulation.identifiers import Ints
from alcyon.simulation.population import DAILY_PURCHASES, Population
from alcyon.simulation.scenario import Scenario

CHUNK_ROWS = 65_536
"""Rows made at once, about; slices never cross a chunk's end."""
_CHUNK_MS_MAX = 2 * DAY_MS
_ENDLESS_DRIFT_MS = 60 * DAY_MS


class Clockwork:
    """The timing of one run: its span (UTC ms), total number of rows, and who pays when.

    `stop` and `total` are None when endless. Raises InputError when the span leaves the century.
    """

    def __init__(self, scenario: Scenario, population: Population) -> None:
        self._population = population
        self._seed = [scenario.seed, int(scenario.tag, 16)]
        self._drift = scenario.drift
        self._is_even = scenario.rate_per_s is not None
        weight = np.diff(np.concatenate([[0.0], population.cards.cumulative])[population.groups])
        self._weight = weight / weight.sum()
        natural = len(population.cards) * DAILY_PURCHASES / DAY_MS
        rate = scenario.rate_per_s / SECOND_MS if scenario.rate_per_s else natural
        self.start = scenario.start
        self.total, self.stop = _span(scenario, rate)
        if self.stop is not None and self.stop > EVENT_TIME_MAX:
            raise InputError("the span ends after 2099; start earlier or ask for less")
        if self.total is not None and self.stop is not None:
            rate = self.total / (self.stop - self.start)
        self.rate_per_ms = rate
        self._whole = self._activity(self.stop) if self.stop is not None else None

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Intervals [start, stop) of about CHUNK_ROWS rows; without end when endless."""
        width = min(max(1, round(CHUNK_ROWS / self.rate_per_ms)), _CHUNK_MS_MAX)
        at, end = self.start, self.stop if self.stop is not None else EVENT_TIME_MAX
        while at < end:
            yield at, min(at + width, end)
            at += width

    def expected(self, time: int) -> int:
        """Rows from the start up to `time`."""
        if self.total is not None and time == self.stop:
            return self.total
        if self._is_even:
            return round((time - self.start) * self.rate_per_ms)
        active = self._activity(time)
        if self._whole is not None and self.total is not None:
            return round(self.total * active / self._whole)
        return round(active * HOUR_MS * self.rate_per_ms)

    def progress(self, time: int) -> float:
        """How far drift has gone at `time`."""
        span = _ENDLESS_DRIFT_MS if self.stop is None else self.stop - self.start
        return self._drift * min(1.0, (time - self.start) / span)

    def draw(
        self, rng: np.random.Generator, interval: tuple[int, int], n: int, first: int, shift: int
    ) -> tuple[Ints, Ints]:
        """n cards and their times in [start, stop); `first` counts the rows drawn before.

        shift: by how many ms drift has moved everybody's habits.
        """
        start, stop = interval
        if self._is_even:
            return self._in_turns(rng, start, stop, n, first)
        card, time = self._by_habit(rng, start - shift, stop - shift, n)
        return card, time + shift

    def _by_habit(
        self, rng: np.random.Generator, start: int, stop: int, n: int
    ) -> tuple[Ints, Ints]:
        """Cards by their spending rates, at the hours of their rhythms."""
        groups = self._population.groups
        active = [r.integral(stop) - r.integral(start) for r in self._population.rhythms]
        share = np.array(active) * self._weight
        counts = rng.multinomial(n, share / share.sum())
        edges = np.concatenate([[0.0], self._population.cards.cumulative])[groups]
        group = np.repeat(np.arange(len(counts)), counts)
        u = edges[group] + rng.random(n) * np.diff(edges)[group]
        card = np.searchsorted(self._population.cards.cumulative, u, "right")
        uniform, time = rng.random(n), np.empty(n, np.int64)
        ends = np.cumsum(counts)
        for g in np.flatnonzero(counts):
            rows = slice(ends[g] - counts[g], ends[g])
            time[rows] = self._population.rhythms[g].draw(start, stop, uniform[rows])
        return np.minimum(card, groups[group + 1] - 1), time

    def _in_turns(
        self, rng: np.random.Generator, start: int, stop: int, n: int, first: int
    ) -> tuple[Ints, Ints]:
        """Every card once per pass, in an order of the pass's own, evenly in time."""
        cards = len(self._population.cards)
        passes = range(first // cards, (first + n) // cards + 1)
        orders = [
            np.random.Generator(np.random.SFC64([*self._seed, 2, p])).permutation(cards)
            for p in passes
        ]
        at = first - passes[0] * cards
        card = np.concatenate(orders)[at : at + n]
        time = start + ((np.arange(n) + rng.random(n)) * ((stop - start) / max(1, n)))
        return card, time.astype(np.int64).clip(start, stop - 1)

    def _activity(self, time: int) -> float:
        """Mean hours of activity between the start and `time`, over all cards."""
        hours = [r.integral(time) - r.integral(self.start) for r in self._population.rhythms]
        return float(np.dot(self._weight, np.array(hours)))


def _span(scenario: Scenario, rate: float) -> tuple[int | None, int | None]:
    """(total, stop) of a scenario at a rate per ms."""
    total, duration = scenario.transactions, scenario.duration_ms
    if total is None and duration is None:
        return None, None
    if total is None and duration is not None:
        total = max(1, round(rate * duration))
    if duration is None and total is not None:
        duration = max(1, round(total / rate))
    assert duration is not None
    return total, scenario.start + duration
