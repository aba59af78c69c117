from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alcyon.simulation.geography import CURRENCIES, RATES_PPM, distance_km, to_currency


@given(st.integers(0, 10**9), st.integers(0, len(CURRENCIES) - 1))
def test_base_amount_is_the_amount_at_the_fixed_rate_ties_to_even(wish: int, code: int) -> None:
    minor, base = to_currency(np.array([wish]), np.array([code]))
    exact = Decimal(int(minor[0])) * int(RATES_PPM[code]) / 1_000_000
    assert int(base[0]) == int(exact.quantize(Decimal(1), ROUND_HALF_EVEN))
    assert abs(int(base[0]) - wish) <= int(RATES_PPM[code]) / 2_000_000 + 1


def test_euros_stay_as_they_are() -> None:
    minor, base = to_currency(np.arange(500), np.zeros(500, np.int64))
    assert (minor == np.arange(500)).all()
    assert (base == np.arange(500)).all()


def test_paris_is_344_km_from_london() -> None:
    km = distance_km(*(np.array([x]) for x in (48.8566, 2.3522, 51.5074, -0.1278)))
    assert abs(float(km[0]) - 343.6) < 0.5
