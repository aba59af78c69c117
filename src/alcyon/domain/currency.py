"""Currencies: ISO 4217 codes with their minor units, and the table that turns money to one base.

Conversion is exact integer arithmetic, rounded half to even, so that the same records and the same
table give the same amounts everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from alcyon.domain.columns import NULL_INT, Strings
from alcyon.domain.transaction import AMOUNT_MINOR_MAX

_BY_EXPONENT = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """
        AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP
        BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR
        FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IRR JMD KES KGS KHR
        KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR
        MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK
        SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN
        UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG ZWL""",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

EXPONENTS: Mapping[str, int] = MappingProxyType(
    {code: exponent for exponent, codes in _BY_EXPONENT.items() for code in codes.split()}
)
"""Decimal digits of each currency's minor unit (ISO 4217 list one, and the few codes withdrawn
since 2020 that recorded traffic still carries)."""

_CODES = 26**3
_Offsets = types.Array(types.int64, 1, "C", readonly=True)
_Bytes = types.Array(types.uint8, 1, "C", readonly=True)
_Longs = types.Array(types.int64, 1, "C", readonly=True)


def _place(code: str) -> int:
    """The place of a three-letter code in a table of all 26³."""
    a, b, c = (ord(letter) - ord("A") for letter in code)
    return (a * 26 + b) * 26 + c


def _known_places() -> NDArray[np.int64]:
    table = np.zeros(_CODES, np.int64)
    table[[_place(code) for code in EXPONENTS]] = 1
    table.setflags(write=False)
    return table


_KNOWN = _known_places()


def is_known(currency: Strings) -> NDArray[np.bool_]:
    """bool[n]: the value is a currency of `EXPONENTS`, in capitals; False where null."""
    known: NDArray[np.bool_] = _looked_up(currency.offsets, currency.data, _KNOWN) == 1
    return known


def all_known(currency: Strings) -> bool:
    """Whether `is_known` holds for every row, at the cost of one pass and no array."""
    return bool(_every_known(currency.offsets, currency.data, _KNOWN))


@dataclass(frozen=True)
class Rates:
    """A rate table: what one major unit of each currency is worth in the base currency.

    micro_units: millionths of a major unit of `base` per major unit of the currency, by code.
    The base currency itself is always 1,000,000 and need not be named. Raises ValueError for an
    unknown currency, and for a rate so far from 1 that the arithmetic would leave 64 bits.
    """

    version: str
    base: str
    micro_units: Mapping[str, int]
    _numerators: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    _denominators: NDArray[np.int64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        numerators, denominators = np.zeros(_CODES, np.int64), np.zeros(_CODES, np.int64)
        for code, micro in {**self.micro_units, self.base: 1_000_000}.items():
            ratio = self._minor_ratio(code, micro)
            numerators[_place(code)], denominators[_place(code)] = ratio.as_integer_ratio()
        object.__setattr__(self, "micro_units", MappingProxyType(dict(self.micro_units)))
        object.__setattr__(self, "_numerators", numerators)
        object.__setattr__(self, "_denominators", denominators)

    def _minor_ratio(self, code: str, micro: int) -> Fraction:
        """Minor units of the base per minor unit of `code`."""
        if code not in EXPONENTS or self.base not in EXPONENTS:
            raise ValueError(f"rate of {code} in {self.base}: no such currency in ISO 4217")
        scale = Fraction(10) ** (EXPONENTS[self.base] - EXPONENTS[code])
        ratio = Fraction(micro, 1_000_000) * scale
        small = ratio.numerator * ratio.denominator < 2**62 and ratio * AMOUNT_MINOR_MAX < 2**62
        if micro < 1 or not small:
            raise ValueError(f"rate of {code} in {self.base} is out of bounds: {micro} micro-units")
        return ratio

    def to_base(self, amount_minor: NDArray[np.int64], currency: Strings) -> NDArray[np.int64]:
        """int64[n]: the amounts in minor units of the base, rounded half to even.

        `NULL_INT` where the amount is null or no rate is known. Amounts within ±`AMOUNT_MINOR_MAX`
        cannot overflow.

        >>> rates = Rates("test-1", "EUR", {"JPY": 6_100})
        >>> rates.to_base(np.array([250, 1000]), Strings.from_list(["EUR", "JPY"])).tolist()
        [250, 610]
        """
        base: NDArray[np.int64] = _to_base(
            np.ascontiguousarray(amount_minor),
            currency.offsets,
            currency.data,
            self._numerators,
            self._denominators,
        )
        return base


@njit(types.int64(_Offsets, _Bytes, types.int64), cache=True, inline="always")
def _place_of(
    offsets: NDArray[np.int64], data: NDArray[np.uint8], row: int
) -> int:  # pragma: no cover
    """The place of the row's code in a table of 26³, −1 where it is not three capitals."""
    start = offsets[row]
    if offsets[row + 1] - start != 3:
        return -1
    place = 0
    for i in range(start, start + 3):
        letter = int(np.int64(data[i])) - 65  # int(data[i]) would be unsigned
        if letter < 0 or letter > 25:
            return -1
        place = place * 26 + letter
    return place


@njit(types.int64[::1](_Offsets, _Bytes, _Longs), cache=True)
def _looked_up(
    offsets: NDArray[np.int64], data: NDArray[np.uint8], table: NDArray[np.int64]
) -> NDArray[np.int64]:  # pragma: no cover
    found = np.zeros(len(offsets) - 1, np.int64)
    for row in range(len(found)):
        place = _place_of(offsets, data, row)
        if place >= 0:
            found[row] = table[place]
    return found


@njit(types.boolean(_Offsets, _Bytes, _Longs), cache=True)
def _every_known(
    offsets: NDArray[np.int64], data: NDArray[np.uint8], table: NDArray[np.int64]
) -> bool:  # pragma: no cover
    for row in range(len(offsets) - 1):
        place = _place_of(offsets, data, row)
        if place < 0 or table[place] == 0:
            return False
    return True


@njit(types.int64[::1](_Longs, _Offsets, _Bytes, _Longs, _Longs), cache=True)
def _to_base(
    amounts: NDArray[np.int64],
    offsets: NDArray[np.int64],
    data: NDArray[np.uint8],
    numerators: NDArray[np.int64],
    denominators: NDArray[np.int64],
) -> NDArray[np.int64]:  # pragma: no cover
    converted = np.empty_like(amounts)
    for row in range(len(amounts)):
        place = _place_of(offsets, data, row)
        if place < 0 or denominators[place] == 0 or amounts[row] == NULL_INT:
            converted[row] = NULL_INT
            continue
        numerator, denominator = numerators[place], denominators[place]
        # Split so that no product leaves 64 bits: remainder · numerator < 2^62 by `_minor_ratio`.
        whole, part = divmod(amounts[row], denominator)
        quotient, rest = divmod(part * numerator, denominator)
        value = whole * numerator + quotient
        if 2 * rest > denominator or (2 * rest == denominator and value % 2 == 1):
            value += 1
        converted[row] = value
    return converted


DEFAULT_RATES = Rates(
    "static-1",
    "EUR",
    {
        "USD": 920_000, "GBP": 1_170_000, "JPY": 6_100, "CHF": 1_050_000, "CNY": 127_000,
        "AUD": 610_000, "CAD": 675_000, "NZD": 560_000, "SEK": 88_000, "NOK": 86_000,
        "DKK": 134_000, "PLN": 233_000, "CZK": 39_700, "HUF": 2_530, "RON": 201_000,
        "BGN": 511_292, "ISK": 6_700, "TRY": 28_000, "UAH": 22_500, "ILS": 250_000,
        "AED": 250_500, "SAR": 245_300, "QAR": 252_700, "KWD": 3_000_000, "BHD": 2_440_000,
        "JOD": 1_300_000, "ZAR": 50_000, "EGP": 19_000, "MAD": 93_000, "KES": 7_100,
        "NGN": 600, "INR": 11_000, "PKR": 3_300, "IDR": 57, "THB": 26_200,
        "MYR": 200_000, "SGD": 690_000, "HKD": 118_000, "TWD": 28_500, "KRW": 670,
        "PHP": 16_000, "VND": 36, "BRL": 170_000, "MXN": 50_000, "CLP": 970,
        "COP": 220, "ARS": 1_000, "PEN": 245_000,
    },
)  # fmt: skip
"""Round figures of about 2024, so that amounts in different currencies add up at all. They are no
market data: a deployment that trades in more than one currency sets its own table."""
