from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcyon.domain.columns import NULL_INT, Strings
from alcyon.domain.currency import DEFAULT_RATES, EXPONENTS, Rates, all_known, is_known
from alcyon.domain.transaction import AMOUNT_MINOR_MAX

MICRO = {**DEFAULT_RATES.micro_units, "EUR": 1_000_000}


def converted(amounts: list[int], codes: list[str | None], rates: Rates) -> list[int]:
    base: list[int] = rates.to_base(np.array(amounts, np.int64), Strings.from_list(codes)).tolist()
    return base


@given(
    st.lists(
        st.tuples(st.integers(0, AMOUNT_MINOR_MAX), st.sampled_from(sorted(MICRO))), max_size=20
    )
)
def test_conversion_equals_exact_fractions_rounded_half_to_even(
    rows: list[tuple[int, str]],
) -> None:
    def exact(amount: int, code: str) -> int:
        per_minor = Fraction(MICRO[code], 1_000_000) * Fraction(10) ** (2 - EXPONENTS[code])
        return round(amount * per_minor)

    got = converted([a for a, _ in rows], [c for _, c in rows], DEFAULT_RATES)
    assert got == [exact(a, c) for a, c in rows]


def test_ties_go_to_the_even_neighbour() -> None:
    half = Rates("t", "EUR", {"USD": 500_000})
    assert converted([1, 3, 5, 7], ["USD"] * 4, half) == [0, 2, 2, 4]


def test_the_base_currency_is_a_copy_beyond_two_to_the_53() -> None:
    amounts = [AMOUNT_MINOR_MAX, 2**53 + 1, 0]
    assert converted(amounts, ["EUR"] * 3, DEFAULT_RATES) == amounts


def test_an_unknown_rate_or_a_null_gives_null() -> None:
    codes: list[str | None] = ["XAF", None, "", "eur", "EUR"]
    expected = [NULL_INT] * 4 + [NULL_INT]
    assert converted([1, 1, 1, 1, NULL_INT], codes, DEFAULT_RATES) == expected


def test_known_codes_are_iso_capitals() -> None:
    codes = Strings.from_list(["EUR", "JPY", "eur", "EURO", "", None, "ZZZ", "EU€"])
    assert is_known(codes).tolist() == [True, True] + [False] * 6
    assert not all_known(codes)
    assert all_known(Strings.from_list(["EUR", "KWD"]))


def test_minor_units_of_the_exceptions() -> None:
    assert [EXPONENTS[c] for c in ("JPY", "EUR", "KWD", "CLF")] == [0, 2, 3, 4]


@pytest.mark.parametrize(
    ("base", "table"),
    [("EUR", {"ZZZ": 1}), ("ZZZ", {}), ("EUR", {"USD": 0}), ("EUR", {"USD": 10**15})],
)
def test_impossible_tables_are_refused(base: str, table: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="rate of"):
        Rates("t", base, table)
