"""How many episodes of which attack begin when, so that the wished share of traffic is fraud."""

from __future__ import annotations

import numpy as np

from alcyon.simulation.activity import DAY_MS, HOUR_MS
from alcyon.simulation.attacks import ATTACKS, LEADS_MS, PLAYS, SIZES
from alcyon.simulation.clockwork import Clockwork
from alcyon.simulation.geography import Floats
from alcyon.simulation.identifiers import Ints
from alcyon.simulation.population import Population
from alcyon.simulation.purchases import Season
from alcyon.simulation.rows import NO_KEY, Rows
from alcyon.simulation.scenario import Scenario
from alcyon.simulation.stage import Stage

_BURN_IN_MS = 12 * HOUR_MS
_HORIZON_MS = 7 * DAY_MS


class Campaign:
    """Plans the attacks of one run. `plan` must be called once per chunk, in order.

    With an even (forced) rate nothing is planned ahead: traffic is then so dense in event time
    that the build-up of weeks would be millions of rows.
    """

    def __init__(self, scenario: Scenario, population: Population, clockwork: Clockwork) -> None:
        self._scenario, self._population, self._clockwork = scenario, population, clockwork
        self._leads = np.zeros(len(ATTACKS), np.int64)
        if scenario.rate_per_s is None:
            self._leads = np.array(LEADS_MS, np.int64)
        self._sizes = self._episode_sizes()
        seed = np.random.SFC64([scenario.seed, int(scenario.tag, 16), 3])
        self._due: Floats = np.random.Generator(seed).random(len(ATTACKS)) * self._sizes

    def plan(self, rng: np.random.Generator, start: int, stop: int, progress: float) -> Rows:
        """All rows of the episodes that belong to this chunk, whenever they happen."""
        stage = Stage(rng, self._population, Season(progress), self._scenario.mix.pace)
        shares = self._scenario.mix.shares(progress)
        parts = [Rows.none()]
        for attack, play in enumerate(PLAYS):
            low, high = start + int(self._leads[attack]), stop + int(self._leads[attack])
            if start == self._clockwork.start:
                low = start - _BURN_IN_MS
            wanted = (high - low) * self._clockwork.rate_per_ms * self._scenario.fraud_rate
            self._due[attack] += wanted * shares[attack]
            episodes = int(self._due[attack] / self._sizes[attack])
            if episodes > 0 and shares[attack] > 0:
                rows = play(stage, self._anchors(rng, low, high, episodes), self._sizes[attack])
                self._due[attack] -= int((rows.attack != NO_KEY).sum())
                parts.append(rows)
        rows = Rows.joined(parts)
        return rows.take(rows.time >= self._clockwork.start)

    def _anchors(self, rng: np.random.Generator, low: int, high: int, n: int) -> Ints:
        """Beginnings in [low, high): thieves, too, mostly work by day, unless the rate is even."""
        options = rng.integers(low, high, (2, n))
        if self._scenario.rate_per_s is not None:
            evenly: Ints = options[0]
            return evenly
        day = self._population.rhythms[0]
        busier = day.level(options[0]) >= day.level(options[1])
        chosen: Ints = np.where(busier | (rng.random(n) < 0.4), options[0], options[1])
        return chosen

    def _episode_sizes(self) -> Floats:
        """Smaller episodes where there is little fraud, or one would be more than is wished."""
        clock = self._clockwork
        span = _HORIZON_MS if clock.stop is None else clock.stop - clock.start
        frauds = span * clock.rate_per_ms * self._scenario.fraud_rate
        wished = np.array(SIZES) * self._scenario.mix.intensity
        sizes = frauds * self._scenario.mix.shares(0.0) / 8.0
        return np.minimum(np.maximum(sizes, 1.0), np.maximum(wished, 1.0))
