"""Where people live and travel: countries, currencies and places (cities) with coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alcyon.simulation.identifiers import Ints

Floats = NDArray[np.float64]

# code, latitude, longitude, spread (degrees), UTC offset (minutes), currency, home share, tourism
_COUNTRIES = (
    ("FR", 46.8, 2.4, 2.2, 60, "EUR", 20.0, 9.0),
    ("DE", 50.9, 10.2, 2.0, 60, "EUR", 22.0, 5.0),
    ("ES", 40.1, -3.6, 2.2, 60, "EUR", 13.0, 10.0),
    ("IT", 43.2, 12.1, 2.0, 60, "EUR", 15.0, 8.0),
    ("NL", 52.2, 5.3, 0.6, 60, "EUR", 6.0, 3.0),
    ("BE", 50.7, 4.6, 0.5, 60, "EUR", 4.0, 2.0),
    ("PT", 39.7, -8.2, 1.2, 0, "EUR", 4.0, 4.0),
    ("AT", 47.6, 14.2, 1.0, 60, "EUR", 3.0, 3.0),
    ("IE", 53.2, -7.6, 0.9, 0, "EUR", 2.0, 2.0),
    ("GR", 38.9, 22.6, 1.2, 120, "EUR", 3.0, 4.0),
    ("FI", 61.4, 25.0, 1.6, 120, "EUR", 2.0, 1.0),
    ("GB", 52.6, -1.5, 1.5, 0, "GBP", 2.5, 5.0),
    ("CH", 46.9, 7.9, 0.6, 60, "CHF", 1.5, 2.5),
    ("SE", 58.9, 15.5, 1.8, 60, "SEK", 0.8, 1.5),
    ("PL", 52.1, 19.3, 1.7, 60, "PLN", 0.8, 1.5),
    ("US", 38.7, -90.1, 8.0, -300, "USD", 0.6, 4.0),
    ("TR", 39.2, 31.5, 2.0, 180, "TRY", 0.3, 3.0),
    ("AE", 25.0, 55.2, 0.4, 240, "AED", 0.1, 1.5),
    ("TH", 14.0, 100.7, 1.5, 420, "THB", 0.1, 1.5),
    ("JP", 35.6, 138.3, 1.8, 540, "JPY", 0.1, 1.0),
    ("BR", -21.5, -46.0, 3.0, -180, "BRL", 0.1, 0.8),
    ("NG", 7.4, 4.6, 1.5, 60, "NGN", 0.1, 0.3),
)

# Euro minor units per 1,000,000 minor units of the currency: fixed, so traffic never depends on
# a rate table. The yen has no minor unit.
_RATES = {
    "EUR": 1_000_000, "GBP": 1_170_000, "CHF": 1_050_000, "SEK": 88_000, "PLN": 234_000,
    "USD": 920_000, "TRY": 27_000, "AED": 250_000, "THB": 26_000, "JPY": 610_000,
    "BRL": 165_000, "NGN": 600,
}  # fmt: skip

COUNTRIES = tuple(c[0] for c in _COUNTRIES)
"""ISO 3166 codes; a country is its position here."""
CURRENCIES = tuple(_RATES)
"""ISO 4217 codes; a currency is its position here."""
RATES_PPM: Ints = np.array(list(_RATES.values()), np.int64)
"""int64[currency]: euro cents per million minor units."""
COUNTRY_CURRENCY: Ints = np.array([CURRENCIES.index(c[5]) for c in _COUNTRIES], np.int64)
COUNTRY_OFFSET: Ints = np.array([c[4] for c in _COUNTRIES], np.int64)
"""int64[country]: minutes east of UTC; summer time is left out."""

EARTH_RADIUS_KM = 6371.0


@dataclass(frozen=True, eq=False)
class Places:
    """Cities. All arrays have one value per place; weights add up to 1."""

    country: Ints
    latitude: Floats
    longitude: Floats
    home_weight: Floats
    tourist_weight: Floats

    def __len__(self) -> int:
        return len(self.country)


def create_places(rng: np.random.Generator) -> Places:
    """Between 3 and 14 places per country, the first the largest (Zipf)."""
    home = np.array([c[6] for c in _COUNTRIES])
    tourism = np.array([c[7] for c in _COUNTRIES])
    count = np.clip(2 + home * 0.6 + tourism * 0.4, 3, 14).astype(np.int64)
    country = np.repeat(np.arange(len(_COUNTRIES)), count)
    rank = np.arange(len(country)) - np.repeat(np.cumsum(count) - count, count)
    size = 1.0 / (1.0 + rank)
    share = size / np.bincount(country, size)[country]
    centre = np.array([[c[1], c[2]] for c in _COUNTRIES])[country]
    spread = np.array([c[3] for c in _COUNTRIES])[country]
    position = centre + rng.standard_normal((len(country), 2)) * spread[:, None]
    return Places(
        country,
        position[:, 0],
        position[:, 1],
        share * home[country] / home.sum(),
        share * tourism[country] / tourism.sum(),
    )


def distance_km(lat_a: Floats, lon_a: Floats, lat_b: Floats, lon_b: Floats) -> Floats:
    """Great-circle distance (haversine) of points in degrees.

    >>> float(distance_km(np.array([0.0]), np.array([0.0]), np.array([0.0]), np.array([1.0]))[0])
    111.19492664455873
    """
    a, b = np.radians(lat_a), np.radians(lat_b)
    half = np.sin((b - a) / 2) ** 2
    half = half + np.cos(a) * np.cos(b) * np.sin(np.radians(lon_b - lon_a) / 2) ** 2
    km: Floats = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(half))
    return km


def to_currency(base_minor: Ints, currency: Ints) -> tuple[Ints, Ints]:
    """(amount_minor, amount_base_minor) for a wished euro amount in cents.

    The first is the wish in the currency's minor units; the second is the first turned back by
    the fixed rates, ties to even, so that the pair is consistent to the cent.
    """
    rate = RATES_PPM[currency]
    minor = (base_minor * 1_000_000 + rate // 2) // rate
    whole, rest = np.divmod(minor * rate, 1_000_000)
    up = (rest > 500_000) | ((rest == 500_000) & (whole % 2 == 1))
    return minor, whole + up
