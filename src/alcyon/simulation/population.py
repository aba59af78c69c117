"""The people: cards with habits, their customers, households, devices and trips.

What changes with time (trips, new phones) is a function of absolute time, not of a run: a history
and the live traffic after it, made from one population, fit together without any state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alcyon.domain.errors import InputError
from alcyon.simulation.activity import DAY_MS, HOUR_MS, STYLES, Rhythm
from alcyon.simulation.geography import COUNTRY_OFFSET, Floats, Places, create_places
from alcyon.simulation.identifiers import Booleans, Ints, mixed, unit
from alcyon.simulation.merchants import Merchants, create_merchants

DAILY_PURCHASES = 1.5
"""Mean transactions per card and day, unless a rate is forced."""
CARDS_MIN, CARDS_MAX = 50, 5_000_000
REGULARS = 8
"""Regular merchants per card: three near home, one at work, one elsewhere, three online."""
REGULARS_ONLINE = 3
_TRAVELLERS = 0.6


@dataclass(frozen=True, eq=False)
class Cards:
    """One value per card, sorted by `group` (habit of hours × UTC offset).

    places: int64[n, 3] home, work, elsewhere. regulars: int64[n, REGULARS]. taste: log of the
    amounts' factor. cumulative: running sum of the spending rate. Times in ms.
    """

    number: Ints
    customer: Ints
    household: Ints
    group: Ints
    places: Ints
    regulars: Ints
    taste: Floats
    share_online: Floats
    cumulative: Floats
    issuer: Ints
    last4: Ints
    trip_period: Ints
    trip_length: Ints
    phone_period: Ints

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True, eq=False)
class Trip:
    """Per row: whether on a trip, whether just on the way, and the place gone to."""

    is_away: Booleans
    is_moving: Booleans
    place: Ints


@dataclass(frozen=True, eq=False)
class Population:
    """Everything that stays the same between two runs: cards, merchants, places, rhythms.

    groups: int64[len(rhythms) + 1], `groups[g]:groups[g + 1]` are the cards of rhythm g.
    """

    seed: int
    places: Places
    merchants: Merchants
    cards: Cards
    rhythms: tuple[Rhythm, ...]
    groups: Ints
    destinations: Ints

    @classmethod
    def create(cls, seed: int, cards: int = 20_000, merchants: int | None = None) -> Population:
        """The population of a seed. Default: one merchant for ten cards, 1,000 at least.

        Raises InputError when `seed` is negative or `cards` outside CARDS_MIN … CARDS_MAX.
        """
        if seed < 0:
            raise InputError(f"seed {seed} is negative; give 0 or more")
        if not CARDS_MIN <= cards <= CARDS_MAX:
            raise InputError(f"cards {cards} is outside {CARDS_MIN} … {CARDS_MAX}")
        rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, 1])))
        places = create_places(rng)
        shops = create_merchants(rng, places, merchants or max(1_000, cards // 10))
        home = rng.choice(len(places), cards, p=places.home_weight)
        offsets, offset = np.unique(COUNTRY_OFFSET[places.country[home]], return_inverse=True)
        group = offset * STYLES + rng.integers(0, STYLES, cards)
        order = np.lexsort((home, group))
        people = _create_cards(rng, places, shops, home[order], group[order])
        return cls(
            seed=seed,
            places=places,
            merchants=shops,
            cards=people,
            rhythms=tuple(Rhythm.of(s, int(o)) for o in offsets for s in range(STYLES)),
            groups=np.searchsorted(people.group, np.arange(len(offsets) * STYLES + 1)),
            destinations=rng.choice(len(places), 4096, p=places.tourist_weight),
        )

    def draw_cards(self, rng: np.random.Generator, n: int) -> Ints:
        """n cards, half by spending rate (the exposed ones), half evenly."""
        total = self.cards.cumulative[-1]
        by_rate = np.searchsorted(self.cards.cumulative, rng.random(n) * total, "right")
        evenly = rng.integers(0, len(self.cards), n)
        chosen = np.where(rng.random(n) < 0.5, by_rate, evenly)
        return np.minimum(chosen, len(self.cards) - 1)

    def trips(self, card: Ints, time: Ints) -> Trip:
        """Where the owners are at `time`: a trip starts every `trip_period`."""
        period = self.cards.trip_period[card]
        phase = (unit(mixed(self.seed, 11, card)) * period).astype(np.int64)
        turn, into = np.divmod(time + phase, period)
        is_away = into < self.cards.trip_length[card]
        target = self.destinations[mixed(self.seed, 12, card, turn) & 4095]
        moving = is_away & ((into < 6 * HOUR_MS) | (into > self.cards.trip_length[card] - HOUR_MS))
        return Trip(is_away, moving, np.where(is_away, target, self.cards.places[card, 0]))

    def phones(self, card: Ints, time: Ints) -> Ints:
        """The owner's phone at `time`, as a 64-bit key; it is renewed every `phone_period`."""
        owner = self.cards.customer[card]
        phase = mixed(self.seed, 13, owner) & 0xFF_FFFF_FFFF
        generation = (time + phase) // self.cards.phone_period[card]
        return mixed(self.seed, 14, owner, generation)

    def tablets(self, card: Ints) -> Ints:
        """The household's shared device, as a 64-bit key."""
        return mixed(self.seed, 15, self.cards.household[card])


def _create_cards(
    rng: np.random.Generator, places: Places, shops: Merchants, home: Ints, group: Ints
) -> Cards:
    n = len(home)
    near = _places_near(rng, places, home)
    # Up to one in six customers holds a second card, one in three households two customers.
    customer = np.cumsum(_starts_new(rng, home, 0.85).astype(np.int64))
    household = np.cumsum(
        _starts_new(rng, home, 0.70) & (np.diff(customer, prepend=0) != 0), dtype=np.int64
    )
    rate = np.exp(rng.normal(0.0, 0.9, n)).clip(0.05, 12.0)
    first = np.flatnonzero(np.diff(customer, prepend=-1))
    rarely = rng.random(n) > _TRAVELLERS
    period = np.exp(rng.normal(np.log(110.0), 0.5, n)).clip(40, 700)
    period_phone = np.exp(rng.normal(np.log(800.0), 0.4, n)).clip(200, 3000)
    return Cards(
        number=rng.permutation(n),
        customer=rng.permutation(n)[customer - 1],
        household=household,
        group=group,
        places=near,
        regulars=_regulars(rng, shops, near),
        taste=rng.normal(0.0, 0.4, n),
        share_online=rng.beta(1.3, 3.4, n),
        cumulative=np.cumsum(rate),
        issuer=places.country[home] * 8 + rng.integers(0, 8, n),
        last4=rng.integers(0, 10_000, n),
        trip_period=(np.where(rarely, 2_000.0, period) * DAY_MS).astype(np.int64),
        trip_length=(rng.uniform(2, 14, n) * DAY_MS).astype(np.int64),
        phone_period=(period_phone[first][customer - 1] * DAY_MS).astype(np.int64),
    )


def _starts_new(rng: np.random.Generator, home: Ints, share: float) -> Booleans:
    """True where a card does not belong to the same people as the one before it."""
    new = rng.random(len(home)) < share
    new |= np.diff(home, prepend=-1) != 0
    return new


def _places_near(rng: np.random.Generator, places: Places, home: Ints) -> Ints:
    """int64[n, 3]: home, work (mostly the same town), elsewhere in the country."""
    start = np.searchsorted(places.country, places.country[home])
    stop = np.searchsorted(places.country, places.country[home], "right")
    n = len(home)
    other = rng.integers(start, stop, (2, n))
    work = np.where(rng.random(n) < 0.75, home, other[0])
    return np.stack([home, work, other[1]], axis=1)


def _regulars(rng: np.random.Generator, shops: Merchants, near: Ints) -> Ints:
    columns = [near[:, 0], near[:, 0], near[:, 0], near[:, 1], near[:, 2]]
    local = [shops.draw(rng, place) for place in columns]
    web = np.full(len(near), len(shops.starts) - 2)
    return np.stack([*local, *(shops.draw(rng, web) for _ in range(REGULARS_ONLINE))], axis=1)
