"""What every attack is made with: a thief on the web or at the tills, an owner at home."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alcyon.simulation.activity import HOUR_MS
from alcyon.simulation.geography import Floats
from alcyon.simulation.identifiers import Booleans, Ints, mixed
from alcyon.simulation.population import Population
from alcyon.simulation.purchases import Season, settle, visits
from alcyon.simulation.rows import NO_KEY, Rows, Visits


@dataclass(frozen=True, eq=False)
class Stage:
    """What every attack is given: seeded randomness, the population and how far drift has gone.

    pace: how many times faster than usual an episode unfolds.
    """

    rng: np.random.Generator
    population: Population
    season: Season
    pace: float = 1.0

    @property
    def stealth(self) -> float:
        """Share of thieves who hide their place and device; grows with drift."""
        return float(min(0.85, 0.38 + 0.4 * self.season.progress))

    def sizes(self, n: int, mean: float, least: int = 1) -> Ints:
        """How many of something per episode: geometric, `least` or more, at most 3 × mean."""
        extra = self.rng.geometric(1.0 / max(1.0, mean - least + 1.0), n) - 1 + least
        return np.minimum(extra, int(max(least, 3 * mean)))

    def within(self, n: int, span_ms: float) -> Ints:
        """Waiting times (ms), even over a span."""
        return (self.rng.random(n) * (span_ms / self.pace)).astype(np.int64)

    def normal_factor(self, n: int, mean: float, sigma: float) -> Floats:
        """Log-normal factors with median `mean`, nearer to 1 as thieves grow patient."""
        patient = 1.0 - 0.5 * min(1.0, self.season.progress)
        return np.exp(self.rng.normal(np.log(mean) * patient, sigma, n))

    def spread(self, n: int, mean_ms: float) -> Ints:
        """Waiting times, exponential, at most 6 means."""
        wait = self.rng.standard_exponential(n).clip(0, 6) * (mean_ms / self.pace)
        return wait.astype(np.int64) + 5_000

    def thief_online(self, time: Ints, card: Ints, thief: Ints, code: int) -> Visits:
        """A thief (a key per row) on the web: a place, device, e-mail and network of its own."""
        n, population = len(time), self.population
        lair = population.destinations[mixed(thief, 1) & 4095]
        hides = mixed(thief, 2, card) % 1000 < 1000 * self.stealth
        home = population.cards.places[card, 0]
        spoofs = mixed(thief, 3, card) % 1000 < 350 * self.stealth
        own = mixed(population.seed, 23, population.cards.customer[card])
        web = np.full(n, len(population.places))
        return Visits(
            time=time,
            card=card,
            merchant=population.merchants.draw_appealing(self.rng, web, tries=2),
            place=np.where(hides, home, lair),
            device=np.where(spoofs, population.phones(card, time), mixed(thief, 4)),
            email=np.where(self.rng.random(n) < 0.55, own, mixed(thief, 5)),
            host=mixed(thief, 6, card),
            factor=np.ones(n),
            attack=np.full(n, code),
        )

    def thief_at_tills(self, time: Ints, card: Ints, place: Ints, code: int) -> Visits:
        """A thief with the plastic, in the shops of a place (one per row)."""
        n = len(time)
        return Visits(
            time=time,
            card=card,
            merchant=self.population.merchants.draw_appealing(self.rng, place, tries=2),
            place=place,
            device=np.full(n, NO_KEY),
            email=np.full(n, NO_KEY),
            host=mixed(card, 1),
            factor=np.ones(n),
            attack=np.full(n, code),
        )

    def owner(self, time: Ints, card: Ints) -> Visits:
        """The owner's own purchases."""
        return visits(self.rng, self.population, card, time, self.season)

    def settled(self, *parts: Visits) -> Rows:
        """All parts as transactions; inflation does not concern thieves."""
        return settle(self.rng, self.population, Visits.joined(parts), self.season)

    def gaps(self, counts: Ints, pace_ms: Floats) -> Ints:
        """Per row, ms since its episode's anchor: 0 for the first, then waiting times add up."""
        episode = np.repeat(np.arange(len(counts)), counts)
        wait = self.rng.standard_exponential(len(episode)) * pace_ms[episode] / self.pace
        first = np.cumsum(counts) - counts
        wait[first] = 0.0
        total = np.cumsum(wait)
        since = total - total[first][episode]
        since_ms: Ints = np.minimum(since, 11.0 * HOUR_MS).astype(np.int64)
        return since_ms

    def far_from(self, card: Ints) -> Ints:
        """A place in another country than the card's home."""
        places, home = self.population.places, self.population.cards.places[card, 0]
        options = self.population.destinations[self.rng.integers(0, 4096, (8, len(card)))]
        abroad: Booleans = places.country[options] != places.country[home]
        best: Ints = options[np.argmax(abroad, axis=0), np.arange(len(card))]
        return best

    def at_home(self, card: Ints, time: Ints) -> Visits:
        """The owners at the tills of their town."""
        home = self.population.cards.places[card, 0]
        merchant = self.population.merchants.draw(self.rng, home)
        return replace(self.owner(time, card), merchant=merchant, place=home)
