"""Merchants: category, place, popularity (heavy-tailed), typical amount."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alcyon.simulation.geography import COUNTRIES, Floats, Places
from alcyon.simulation.identifiers import Booleans, Ints

# name, typical amount (EUR), log-sigma, share online, weight, appeal to thieves
_CATEGORIES = (
    ("grocery", 27.0, 0.75, 0.05, 26.0, 0.3),
    ("restaurant", 24.0, 0.65, 0.04, 18.0, 0.2),
    ("transit", 2.9, 0.45, 0.10, 9.0, 0.1),
    ("vending", 2.1, 0.40, 0.00, 5.0, 0.0),
    ("fuel", 52.0, 0.40, 0.00, 7.0, 0.8),
    ("clothing", 48.0, 0.80, 0.35, 7.0, 1.2),
    ("electronics", 130.0, 1.10, 0.50, 3.0, 2.2),
    ("pharmacy", 17.0, 0.70, 0.10, 6.0, 0.2),
    ("travel", 210.0, 0.95, 0.80, 2.0, 1.5),
    ("jewellery", 150.0, 1.00, 0.30, 0.8, 2.0),
    ("gaming", 8.0, 0.90, 1.00, 4.0, 1.3),
    ("digital", 11.0, 0.60, 1.00, 6.0, 1.0),
    ("marketplace", 34.0, 1.05, 1.00, 9.0, 1.5),
    ("home", 65.0, 0.95, 0.40, 4.0, 1.0),
    ("cash", 70.0, 0.60, 0.00, 5.0, 1.2),
    ("gift_card", 45.0, 0.60, 0.60, 1.0, 2.4),
    ("ticketing", 68.0, 0.70, 0.90, 1.5, 1.3),
    ("charity", 13.0, 0.90, 0.70, 1.0, 0.9),
)
CATEGORIES = tuple(c[0] for c in _CATEGORIES)
"""A category is its position here."""
CASH, DIGITAL = CATEGORIES.index("cash"), CATEGORIES.index("digital")
BURSTY: Booleans = np.isin(CATEGORIES, ["transit", "vending", "gaming"])
"""bool[category]: people pay here several times within minutes."""
APPEAL: Floats = np.array([c[5] for c in _CATEGORIES])
"""float64[category]: how much thieves like it."""


@dataclass(frozen=True, eq=False)
class Merchants:
    """One value per merchant, sorted by place; online ones last, as if in one more place.

    `cumulative` is the running sum of popularity, `starts[p]:starts[p + 1]` the merchants of
    place p, `place` for online merchants that of their office.
    """

    number: Ints
    category: Ints
    is_online: Booleans
    place: Ints
    latitude: Floats
    longitude: Floats
    log_amount: Floats
    sigma: Floats
    cumulative: Floats
    starts: Ints

    def __len__(self) -> int:
        return len(self.number)

    def draw(self, rng: np.random.Generator, place: Ints) -> Ints:
        """One merchant per wished place, by popularity; place == number of places is online."""
        edges = np.concatenate([[0.0], self.cumulative])[self.starts]
        low, high = edges[place], edges[place + 1]
        chosen = np.searchsorted(
            self.cumulative, low + rng.random(len(place)) * (high - low), "right"
        )
        within: Ints = np.clip(chosen, self.starts[place], self.starts[place + 1] - 1)
        return within

    def draw_appealing(self, rng: np.random.Generator, place: Ints, tries: int = 4) -> Ints:
        """Like `draw`, the most appealing to thieves of a few tries."""
        options = np.stack([self.draw(rng, place) for _ in range(tries)])
        appeal = APPEAL[self.category[options]] * rng.random(options.shape)
        best: Ints = options[np.argmax(appeal, axis=0), np.arange(len(place))]
        return best


def create_merchants(rng: np.random.Generator, places: Places, n: int) -> Merchants:
    """About n merchants; every place has one of each category at least."""
    category, place, online = _kinds(rng, places, n)
    weight = np.array([c[4] for c in _CATEGORIES])
    # Dividing by the number of a category's merchants keeps the categories' shares of traffic.
    many = np.bincount(category, minlength=len(CATEGORIES))
    popularity = rng.pareto(1.3, len(category)).clip(0.05, 60.0) * (weight / many)[category]
    order = np.lexsort((np.where(online, len(places), place),))
    category, place, online = category[order], place[order], online[order]
    where = np.where(online, len(places), place)
    typical = np.log(np.array([c[1] for c in _CATEGORIES]))[category]
    jitter = rng.normal(0.0, 0.03, (2, len(category)))
    return Merchants(
        number=rng.permutation(len(category)),
        category=category,
        is_online=online,
        place=place,
        latitude=np.where(online, np.nan, places.latitude[place] + jitter[0]),
        longitude=np.where(online, np.nan, places.longitude[place] + jitter[1]),
        log_amount=typical + rng.normal(0.0, 0.35, len(category)),
        sigma=np.array([c[2] for c in _CATEGORIES])[category],
        cumulative=np.cumsum(popularity[order]),
        starts=np.searchsorted(where, np.arange(len(places) + 2)),
    )


def _kinds(
    rng: np.random.Generator, places: Places, n: int
) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    weight = np.array([c[4] for c in _CATEGORIES])
    share = np.sqrt(weight) / np.sqrt(weight).sum()
    category = rng.choice(len(CATEGORIES), n, p=share)
    online = rng.random(n) < np.array([c[3] for c in _CATEGORIES])[category]
    reach = (places.home_weight + 0.5 * places.tourist_weight) / 1.5
    place = rng.choice(len(places), n, p=reach)
    # Shops on the web sit where the web's shops sit; a few in other currencies.
    offices = np.isin(places.country, [COUNTRIES.index(c) for c in ("IE", "NL", "DE", "FR")])
    abroad = np.where(offices, reach * 3, reach)
    place = np.where(online, rng.choice(len(places), n, p=abroad / abroad.sum()), place)
    local = np.flatnonzero(np.array([c[3] for c in _CATEGORIES]) < 1.0)
    every_place = np.repeat(np.arange(len(places)), len(local))
    every_category = np.tile(local, len(places))
    return (
        np.concatenate([category, every_category]),
        np.concatenate([place, every_place]),
        np.concatenate([online, np.zeros(len(every_place), np.bool_)]),
    )
