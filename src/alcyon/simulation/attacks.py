"""The attacks: each turns anchors (when the abuse begins) into visits of a thief, or of a victim.

An attack is a function `(stage, anchors, size) -> Rows`: `anchors` is int64[m] UTC ms, one per
episode; `size` the mean number of fraudulent transactions wanted per episode. Rows whose `attack`
is NO_KEY are genuine: the build-up of a bust-out, the visit at which a card was copied.
Thieves blend in: they pay normal amounts, spoof devices and rent addresses near the victim.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from alcyon.simulation.activity import DAY_MS, HOUR_MS, MINUTE_MS
from alcyon.simulation.geography import Floats
from alcyon.simulation.identifiers import Booleans, Ints, mixed
from alcyon.simulation.population import Population
from alcyon.simulation.purchases import Season, settle, visits
from alcyon.simulation.rows import NO_KEY, VERIFICATION, Rows, Visits


@dataclass(frozen=True, eq=False)
class Stage:
    """What every attack is given: seeded randomness, the population and how far drift has gone."""

    rng: np.random.Generator
    population: Population
    season: Season

    @property
    def stealth(self) -> float:
        """Share of thieves who hide their place and device; grows with drift."""
        return float(min(0.85, 0.45 + 0.4 * self.season.progress))

    def sizes(self, n: int, mean: float, least: int = 1) -> Ints:
        """How many of something per episode: geometric, `least` or more, at most 8 × mean."""
        extra = self.rng.geometric(1.0 / max(1.0, mean - least + 1.0), n) - 1 + least
        return np.minimum(extra, int(max(least, 8 * mean)))

    def normal_factor(self, n: int, mean: float, sigma: float) -> Floats:
        """Log-normal factors with median `mean`, nearer to 1 as thieves grow patient."""
        patient = 1.0 - 0.5 * min(1.0, self.season.progress)
        return np.exp(self.rng.normal(np.log(mean) * patient, sigma, n))

    def spread(self, n: int, mean_ms: float) -> Ints:
        """Waiting times, exponential, at most 6 means."""
        wait = self.rng.standard_exponential(n).clip(0, 6) * mean_ms
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


def card_testing(stage: Stage, anchors: Ints, size: float) -> Rows:
    """Stolen numbers are tried with small amounts at one or two merchants, then some are used."""
    rng, m = stage.rng, len(anchors)
    counts = stage.sizes(m, size * 0.75, 3)
    episode = np.repeat(np.arange(m), counts)
    n = len(episode)
    card = stage.population.draw_cards(rng, n)
    pace = np.exp(rng.normal(np.log(1.2), 0.8, m)) * MINUTE_MS
    at = anchors[episode] + (rng.random(n) * (pace * counts)[episode]).astype(np.int64)
    bots = rng.integers(0, 2**62, m)[episode]
    # A bot farm turns its fingerprint over: a few cards per device.
    bots = mixed(bots, rng.integers(0, 1_000, n) % np.maximum(1, counts[episode] // 3))
    tries = stage.thief_online(at, card, bots, CARD_TESTING)
    target = stage.population.merchants.draw(rng, np.full(2 * m, len(stage.population.places)))
    tries.merchant[:] = target.reshape(2, m)[(rng.random(n) < 0.25).astype(np.int64), episode]
    used = np.flatnonzero(rng.random(n) < 0.33)
    later = at[used] + stage.spread(len(used), 3 * HOUR_MS)
    uses = stage.thief_online(later, card[used], bots[used], CARD_TESTING)
    uses = replace(uses, factor=stage.normal_factor(len(used), 1.8, 0.6))
    rows = stage.settled(tries, uses)
    small = np.exp(rng.normal(np.log(240.0), 0.9, n)).clip(20, 3_000).astype(np.int64)
    rows.base[:n] = np.where(rng.random(n) < 0.8, small, rows.base[:n])
    rows.base[:n] = np.where(rows.kind[:n] == VERIFICATION, 100, rows.base[:n])
    return rows


def stolen_card(stage: Stage, anchors: Ints, size: float) -> Rows:
    """A spree with a stolen card: near home at the tills, or on the web."""
    counts = stage.sizes(len(anchors), size)
    episode = np.repeat(np.arange(len(anchors)), counts)
    card = stage.population.draw_cards(stage.rng, len(anchors))
    pace = np.exp(stage.rng.normal(np.log(35.0), 0.9, len(anchors))) * MINUTE_MS
    at = anchors[episode] + _gaps(stage, counts, pace)
    web = (stage.rng.random(len(anchors)) < 0.4)[episode]
    thief = stage.rng.integers(0, 2**62, len(anchors))[episode]
    town = stage.population.cards.places[card, 0][episode]
    online = stage.thief_online(at[web], card[episode][web], thief[web], STOLEN_CARD)
    tills = stage.thief_at_tills(at[~web], card[episode][~web], town[~web], STOLEN_CARD)
    visit = Visits.joined([online, tills])
    return stage.settled(replace(visit, factor=stage.normal_factor(len(visit), 1.5, 0.7)))


def account_takeover(stage: Stage, anchors: Ints, size: float) -> Rows:
    """Somebody else logs in from a device the account has not seen, and buys where the owner does
    half of the time."""
    counts = stage.sizes(len(anchors), size)
    episode = np.repeat(np.arange(len(anchors)), counts)
    card = stage.population.draw_cards(stage.rng, len(anchors))[episode]
    pace = np.exp(stage.rng.normal(np.log(40.0), 1.0, len(anchors))) * MINUTE_MS
    at = anchors[episode] + _gaps(stage, counts, pace)
    thief = stage.rng.integers(0, 2**62, len(anchors))[episode]
    visit = stage.thief_online(at, card, thief, ACCOUNT_TAKEOVER)
    known = stage.rng.random(len(card)) < 0.5
    slot = stage.population.cards.regulars.shape[1] - 1 - stage.rng.integers(0, 3, len(card))
    merchant = np.where(known, stage.population.cards.regulars[card, slot], visit.merchant)
    phone = stage.rng.random(len(card)) < 0.1  # malware on the owner's own phone
    return stage.settled(
        replace(
            visit,
            merchant=merchant,
            device=np.where(phone, stage.population.phones(card, at), mixed(thief, 4)),
            email=mixed(stage.population.seed, 23, stage.population.cards.customer[card]),
            factor=stage.normal_factor(len(card), 1.7, 0.7),
        )
    )


def impossible_travel(stage: Stage, anchors: Ints, size: float) -> Rows:
    """A copied card is used at tills far away while its owner pays at home."""
    counts = stage.sizes(len(anchors), size)
    episode = np.repeat(np.arange(len(anchors)), counts)
    card = stage.population.draw_cards(stage.rng, len(anchors))
    at = anchors[episode] + _gaps(stage, counts, np.full(len(anchors), 30.0 * MINUTE_MS))
    far = _far_from(stage, card)
    thief = stage.thief_at_tills(at, card[episode], far[episode], IMPOSSIBLE_TRAVEL)
    thief = replace(thief, factor=stage.normal_factor(len(at), 1.3, 0.6))
    home = _at_home(stage, card, anchors - stage.spread(len(anchors), 45 * MINUTE_MS))
    return stage.settled(thief, home)


def compromised_merchant(stage: Stage, anchors: Ints, size: float) -> Rows:
    """Cards seen at one merchant are abused elsewhere, days later, with normal amounts."""
    rng, m = stage.rng, len(anchors)
    counts = stage.sizes(m, size / 2.0, 2)
    episode = np.repeat(np.arange(m), counts)
    n = len(episode)
    card = stage.population.draw_cards(rng, n)
    web = np.full(m, len(stage.population.places))
    leak = stage.population.merchants.draw(rng, web)[episode]
    abused = anchors[episode] + (rng.random(n) * 10 * HOUR_MS).astype(np.int64)
    seen = abused - (rng.uniform(1.5, 16.0, n) * DAY_MS).astype(np.int64)
    owner = stage.owner(seen, card)
    owner = replace(owner, merchant=leak, place=stage.population.cards.places[card, 0])
    uses = stage.sizes(n, 2.0)
    again = np.repeat(np.arange(n), uses)
    at = abused[again] + _gaps(stage, uses, np.full(n, 50.0 * MINUTE_MS))
    buyer = rng.integers(0, 2**62, n)[again]  # numbers are sold on: every buyer is another
    thief = stage.thief_online(at, card[again], buyer, COMPROMISED_MERCHANT)
    return stage.settled(replace(thief, factor=stage.normal_factor(len(at), 1.2, 0.5)), owner)


def device_farm(stage: Stage, anchors: Ints, size: float) -> Rows:
    """One device pays with many cards within hours."""
    rng, m = stage.rng, len(anchors)
    counts = stage.sizes(m, size, 3)
    episode = np.repeat(np.arange(m), counts)
    n = len(episode)
    # Every card twice on average.
    pool = rng.integers(0, 2**62, m)
    pick = mixed(pool[episode], rng.integers(0, 1 << 30, n) % np.maximum(2, counts[episode] // 2))
    card = mixed(pick, 5).view(np.uint64) % np.uint64(len(stage.population.cards))
    at = anchors[episode] + (rng.random(n) * 10 * HOUR_MS).astype(np.int64)
    visit = stage.thief_online(at, card.astype(np.int64), pool[episode], DEVICE_FARM)
    return stage.settled(
        replace(visit, device=mixed(pool, 4)[episode], factor=stage.normal_factor(n, 1.1, 0.5))
    )


def bust_out(stage: Stage, anchors: Ints, size: float) -> Rows:
    """A customer builds up trust for weeks, then spends all there is and does not pay."""
    rng, m = stage.rng, len(anchors)
    card = stage.population.draw_cards(rng, m)
    before = rng.integers(6, 24, m)
    build = np.repeat(np.arange(m), before)
    days = rng.uniform(0.2, 18.0, len(build))
    owner = stage.owner(anchors[build] - (days * DAY_MS).astype(np.int64), card[build])
    counts = stage.sizes(m, size, 2)
    episode = np.repeat(np.arange(m), counts)
    spend = stage.owner(anchors[episode] + _gaps(stage, counts, np.full(m, 80.0 * MINUTE_MS)),
                        card[episode])  # fmt: skip
    web = rng.random(len(episode)) < 0.6
    place = np.where(web, len(stage.population.places), spend.place)
    appealing = stage.population.merchants.draw_appealing(rng, place, tries=4)
    merchant = np.where(rng.random(len(episode)) < 0.8, appealing, spend.merchant)
    factor = stage.normal_factor(len(episode), 3.0, 0.6)
    spend = replace(spend, merchant=merchant, factor=factor)
    return stage.settled(replace(spend, attack=np.full(len(episode), BUST_OUT)), owner)


def disputed(stage: Stage, anchors: Ints, size: float) -> Rows:
    """The owner buys and later denies it: nothing distinguishes it when it happens."""
    counts = stage.sizes(len(anchors), size)
    card = np.repeat(stage.population.draw_cards(stage.rng, len(anchors)), counts)
    at = np.repeat(anchors, counts) + _gaps(stage, counts, np.full(len(anchors), 8.0 * HOUR_MS))
    visit = stage.owner(at, card)
    return stage.settled(replace(visit, attack=np.full(len(card), DISPUTED)))


def _gaps(stage: Stage, counts: Ints, pace_ms: Floats) -> Ints:
    """Per row, the ms since its episode's anchor: 0 for the first, then waiting times add up."""
    episode = np.repeat(np.arange(len(counts)), counts)
    wait = stage.rng.standard_exponential(len(episode)) * pace_ms[episode]
    first = np.cumsum(counts) - counts
    wait[first] = 0.0
    total = np.cumsum(wait)
    since = total - total[first][episode]
    since_ms: Ints = np.minimum(since, 11.0 * HOUR_MS).astype(np.int64)
    return since_ms


def _far_from(stage: Stage, card: Ints) -> Ints:
    """A place in another country than the card's home."""
    places, home = stage.population.places, stage.population.cards.places[card, 0]
    options = stage.population.destinations[stage.rng.integers(0, 4096, (8, len(card)))]
    abroad: Booleans = places.country[options] != places.country[home]
    best: Ints = options[np.argmax(abroad, axis=0), np.arange(len(card))]
    return best


def _at_home(stage: Stage, card: Ints, time: Ints) -> Visits:
    """The owners at the tills of their town."""
    home = stage.population.cards.places[card, 0]
    merchant = stage.population.merchants.draw(stage.rng, home)
    return replace(stage.owner(time, card), merchant=merchant, place=home)


ATTACKS = (
    "card_testing", "stolen_card", "account_takeover", "impossible_travel",
    "compromised_merchant", "device_farm", "bust_out", "disputed",
)  # fmt: skip
"""Names as the truth and `AttackMix` use them; an attack's code is its position."""
(
    CARD_TESTING, STOLEN_CARD, ACCOUNT_TAKEOVER, IMPOSSIBLE_TRAVEL,
    COMPROMISED_MERCHANT, DEVICE_FARM, BUST_OUT, DISPUTED,
) = range(len(ATTACKS))  # fmt: skip

FIRST_PARTY = ("bust_out", "disputed")
"""Attacks by the customer itself."""

PLAYS: tuple[Callable[[Stage, Ints, float], Rows], ...] = (
    card_testing, stolen_card, account_takeover, impossible_travel,
    compromised_merchant, device_farm, bust_out, disputed,
)  # fmt: skip
SIZES = (60.0, 4.0, 2.5, 2.0, 40.0, 24.0, 5.0, 1.2)
"""Fraudulent transactions per episode, mean."""
LEADS_MS = (0, 0, 0, 6 * HOUR_MS, 17 * DAY_MS, 0, 19 * DAY_MS, 0)
"""How long before its anchor an attack's first row can be."""
