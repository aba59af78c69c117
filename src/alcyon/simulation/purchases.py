"""Genuine life: who buys where, with which device, for how much.

Honest people also travel, buy phones, lend cards, use kiosks and VPNs, buy a washing machine, and
tap six times in ten minutes; without them every attack would be easy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alcyon.simulation.activity import DAY_MS, MINUTE_MS
from alcyon.simulation.geography import Floats
from alcyon.simulation.identifiers import Booleans, Ints, mixed
from alcyon.simulation.merchants import BURSTY, CASH, DIGITAL
from alcyon.simulation.population import REGULARS, REGULARS_ONLINE, Population
from alcyon.simulation.rows import (
    CARD_PRESENT,
    CONTACTLESS,
    ECOMMERCE,
    NO_KEY,
    PURCHASE,
    RECURRING,
    VERIFICATION,
    WITHDRAWAL,
    Rows,
    Visits,
)

FOLLOWERS = 0.22
"""Share of genuine transactions that follow another of the same card within the hour."""
_CONTACTLESS_MAX = 5_000  # euro cents


@dataclass(frozen=True)
class Season:
    """How far drift has gone, 0 (as the population was made) … 1 and beyond."""

    progress: float = 0.0

    @property
    def inflation(self) -> float:
        """Factor of all genuine amounts."""
        return 1.0 + 0.35 * self.progress

    @property
    def online(self) -> float:
        """Added to every card's share of purchases on the web."""
        return 0.15 * self.progress

    @property
    def hours_ms(self) -> int:
        """How much later in the day people pay."""
        return round(180 * MINUTE_MS * self.progress)


def visits(
    rng: np.random.Generator, population: Population, card: Ints, time: Ints, season: Season
) -> Visits:
    """Where the owners of these cards go at these times, by their own habits."""
    n = len(card)
    shops, trip = population.merchants, population.trips(card, time)
    share = population.cards.share_online[card] * 0.9 + season.online
    online = (rng.random(n) < share) | trip.is_moving
    merchant = _merchants(rng, population, card, online, np.where(trip.is_away, trip.place, -1))
    online = shops.is_online[merchant]
    # On a trip the hotel's network is seen, or still the one at home (roaming); some use a VPN.
    home = population.cards.places[card, 0]
    place = np.where(trip.is_away & (rng.random(n) < 0.6), trip.place, home)
    vpn = rng.random(n) < 0.025
    place[vpn] = population.destinations[rng.integers(0, 4096, int(vpn.sum()))]
    month = (time // (30 * DAY_MS)) * 4 + (rng.random(n) < 0.35)
    return Visits(
        time=time,
        card=card,
        merchant=merchant,
        place=np.where(online, place, shops.place[merchant]),
        device=_devices(rng, population, card, time),
        email=_emails(rng, population, card),
        host=mixed(population.seed, 21, population.cards.household[card], month),
        factor=_big_tickets(rng, n),
        attack=np.full(n, NO_KEY),
    )


def _merchants(
    rng: np.random.Generator, population: Population, card: Ints, online: Booleans, away: Ints
) -> Ints:
    """Mostly a regular of the card (skewed to the first), else one new to it; away: a stranger."""
    n = len(card)
    local = REGULARS - REGULARS_ONLINE
    u = rng.random(n)
    slot = np.where(online, local + (u * u * REGULARS_ONLINE), u * u * local).astype(np.int64)
    chosen = population.cards.regulars[card, slot]
    explores = np.flatnonzero((rng.random(n) < 0.38) | (~online & (away >= 0)))
    town = rng.choice(3, len(explores), p=[0.74, 0.18, 0.08])
    place = population.cards.places[card[explores], town]
    place = np.where(away[explores] >= 0, away[explores], place)
    place = np.where(online[explores], len(population.places), place)
    chosen[explores] = population.merchants.draw(rng, place)
    return chosen


def _devices(rng: np.random.Generator, population: Population, card: Ints, time: Ints) -> Ints:
    """The phone, or the household's tablet, a kiosk, a lent phone, a browser that forgot."""
    device = population.phones(card, time)
    u = rng.random(len(card))
    tablet = np.flatnonzero(u < 0.24)
    device[tablet] = population.tablets(card[tablet])
    forgot = np.flatnonzero(u > 0.965)
    device[forgot] = rng.integers(0, 2**62, len(forgot))
    lent = np.flatnonzero((u > 0.957) & (u <= 0.965))
    device[lent] = population.phones(rng.integers(0, len(population.cards), len(lent)), time[lent])
    kiosk = np.flatnonzero((u > 0.945) & (u <= 0.957))
    town = population.cards.places[card[kiosk], 0]
    device[kiosk] = mixed(population.seed, 22, town, rng.integers(0, 3, len(kiosk)))
    return device


def _emails(rng: np.random.Generator, population: Population, card: Ints) -> Ints:
    email = mixed(population.seed, 23, population.cards.customer[card])
    u = rng.random(len(card))
    other = u < 0.03
    email[other] = mixed(email[other], 1)
    email[u > 0.88] = NO_KEY
    return email


def _big_tickets(rng: np.random.Generator, n: int) -> Floats:
    factor = np.ones(n)
    big = np.flatnonzero(rng.random(n) < 0.025)
    factor[big] = np.exp(rng.normal(1.5, 0.6, len(big)))
    return factor


def followers(rng: np.random.Generator, population: Population, visit: Visits, n: int) -> Visits:
    """n visits, each soon after one of these by the same card; they may leave the interval.

    In transit, vending and gaming the follower pays at the same merchant again.
    """
    # One visit in five can lead: outings of several purchases, not single pairs.
    leader = rng.integers(0, max(1, len(visit) // 5), n) * 5 % max(1, len(visit))
    led = visit.take(leader)
    category = population.merchants.category[led.merchant]
    wait = np.where(BURSTY[category], 2.5, 16.0) * MINUTE_MS
    delay = (rng.standard_exponential(n) * wait).astype(np.int64) + 15_000
    # Elsewhere in the same town, or on the web again: another shop.
    online = population.merchants.is_online[led.merchant]
    other = population.merchants.draw(rng, np.where(online, len(population.places), led.place))
    again = BURSTY[category] | (rng.random(n) < 0.15)
    return replace(
        led,
        time=led.time + delay,
        merchant=np.where(again, led.merchant, other),
        factor=_big_tickets(rng, n),
    )


def settle(rng: np.random.Generator, population: Population, visit: Visits, season: Season) -> Rows:
    """Amounts, channels and coordinates of these visits: they become transactions."""
    shops = population.merchants
    category = shops.category[visit.merchant]
    online = shops.is_online[visit.merchant]
    base = _amounts(rng, population, visit, season.inflation)
    kind = np.where(category == CASH, WITHDRAWAL, PURCHASE)
    u = rng.random(len(visit))
    kind[(category == DIGITAL) & (u < 0.6)] = RECURRING
    verifies = online & (u > 0.99)
    kind[verifies] = VERIFICATION
    base[verifies] = np.where(u[verifies] > 0.996, 100, 0)
    taps = ~online & (base <= _CONTACTLESS_MAX) & (category != CASH) & (u < 0.8)
    channel = np.where(online, ECOMMERCE, np.where(taps, CONTACTLESS, CARD_PRESENT))
    # A wallet on the phone shows its device at the till; a plastic card has none.
    wallet = taps & (mixed(population.seed, 24, visit.card) % 10 < 3)
    latitude, longitude = _coordinates(rng, population, visit, online)
    return Rows(
        arrival=visit.time,
        time=visit.time,
        card=visit.card,
        merchant=visit.merchant,
        base=base,
        channel=channel,
        kind=kind,
        device=np.where(online | wallet, visit.device, NO_KEY),
        email=np.where(online, visit.email, NO_KEY),
        ip=np.where(online, _addresses(population, visit), NO_KEY),
        country=population.places.country[visit.place],
        latitude=latitude,
        longitude=longitude,
        attack=visit.attack,
    )


def _amounts(
    rng: np.random.Generator, population: Population, visit: Visits, inflation: float
) -> Ints:
    """Log-normal around the merchant's typical amount and the card's taste; prices end nicely."""
    shops = population.merchants
    log_amount = shops.log_amount[visit.merchant] + population.cards.taste[visit.card]
    log_amount += shops.sigma[visit.merchant] * rng.standard_normal(len(visit))
    euros = np.exp(log_amount) * visit.factor * inflation
    cents = np.clip(euros * 100.0, 30.0, 2e7)
    u = rng.random(len(visit))
    whole = np.maximum(np.rint(cents / 100.0), 1.0) * 100.0
    cents = np.where(u < 0.25, whole, np.where(u < 0.45, whole - 1.0, cents))
    tens = np.clip(np.rint(cents / 1000.0), 1.0, 100.0) * 1000.0
    cash = shops.category[visit.merchant] == CASH
    return np.rint(np.where(cash, tens, cents)).astype(np.int64)


def _coordinates(
    rng: np.random.Generator, population: Population, visit: Visits, online: Booleans
) -> tuple[Floats, Floats]:
    """Of the till, or of the town the IP address points to; sometimes unknown."""
    shops, places = population.merchants, population.places
    jitter = rng.standard_normal((2, len(visit))) * np.where(online, 0.08, 0.002)
    unknown = rng.random(len(visit)) < np.where(online, 0.05, 0.01)
    latitude = np.where(online, places.latitude[visit.place], shops.latitude[visit.merchant])
    longitude = np.where(online, places.longitude[visit.place], shops.longitude[visit.merchant])
    latitude[unknown] = np.nan
    return latitude + jitter[0], np.where(unknown, np.nan, longitude + jitter[1])


def _addresses(population: Population, visit: Visits) -> Ints:
    """IPv4 as four bytes: country, town, then the connection; a few per town are shared by all."""
    host = visit.host & 0xFFFF
    host = np.where(host < 0x2000, host & 0x1F, host)
    country = population.places.country[visit.place]
    return ((country + 40) << 24) | ((visit.place & 0xFF) << 16) | host
