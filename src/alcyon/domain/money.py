"""Money for people: minor units as an amount with the currency's own decimals."""

from __future__ import annotations

from alcyon.domain.currency import EXPONENTS

SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥"}
"""Of the currencies whose sign says which one is meant; the others go by their code."""


def money(amount_minor: int, currency: str) -> str:
    """The amount with sign or code in front, thousands apart.

    A code that ISO 4217 does not know is taken to have two decimals.

    >>> money(94_000, "EUR"), money(1_250, "KWD"), money(1_200, "JPY"), money(-5, "CHF")
    ('€ 940.00', 'KWD 1.250', '¥ 1,200', 'CHF -0.05')
    """
    decimals = EXPONENTS.get(currency, 2)
    whole, rest = divmod(abs(amount_minor), 10**decimals)
    digits = f"{whole:,}.{rest:0{decimals}d}" if decimals else f"{whole:,}"
    sign = "-" if amount_minor < 0 else ""
    return f"{SYMBOLS.get(currency, currency)} {sign}{digits}"
