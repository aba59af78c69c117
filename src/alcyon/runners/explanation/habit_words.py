"""What is usual for a card and what was not, in one line, and the answer first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from alcyon.domain.money import money
from alcyon.domain.office.searching import DecisionShown, Habit, Line

_SAID = {"APPROVE": "APPROVED", "STEP_UP": "STEP UP", "REVIEW": "REVIEW", "DECLINE": "DECLINED"}
_COUNT = re.compile(r"^(?:card|account|customer)_count_(\d+)([mhd])$")
_MEAN = re.compile(r"^(?:card|account|customer)_mean_amount_base_minor_\d+d_prior$")
_UNITS = {"m": ("minute", 60_000), "h": ("hour", 3_600_000), "d": ("day", 86_400_000)}
DAY_MS = 86_400_000
OFTEN = 3
"""So many purchases are named, where they are more than …"""
OFTEN_TIMES = 3
"""… so many times what is usual for as long a time."""


def headline(line: Line) -> str:
    """The answer first: `€ 940.00 at m17, NG · DECLINED`."""
    amount = money(line.amount_minor, line.currency)
    merchant = f" at {line.merchant_id}" if line.merchant_id else ""
    country = f", {where}" if (where := place_of(line)) else ""
    return f"{amount}{merchant}{country} · {said(line.action)}"


def said(action: str) -> str:
    """An action as what became of the payment."""
    return _SAID.get(action, action)


def place_of(line: Line) -> str | None:
    """The merchant's country, or where the purchase was made."""
    return line.merchant_country or line.country


def habit_words(shown: DecisionShown, habit: Habit | None, base: str) -> str:
    """`usually € 23.00 in FR; now € 940.00 in NG, 4th purchase in 10 minutes`.

    base: the currency of the habit's amounts. Counts are the features as scored; so is what is
    usual where the store does not reach back as far as the state did: the mean.
    """
    line = shown.line
    now = f"now {money(line.amount_minor, line.currency)}"
    if line.currency != base and line.amount_base_minor is not None:
        now += f" ({money(line.amount_base_minor, base)})"
    now += f" in {where}" if (where := place_of(line)) else ""
    often = purchases(shown.features, habit)
    now += f", {often}" if often else ""
    usual, countries = _usual_amount(shown.features, habit), habit.countries if habit else []
    if usual is None and not countries:
        return f"nothing is known of this card's habits; {now}"
    usually = "" if usual is None else f" {money(usual, base)}"
    usually += f" in {countries[0]}" if countries else ""
    return f"usually{usually}; {now}"


def _usual_amount(features: Mapping[str, float | None], habit: Habit | None) -> int | None:
    if habit is not None and habit.amount_base_minor_median is not None:
        return habit.amount_base_minor_median
    means = (value for name, value in features.items() if _MEAN.match(name))
    mean = next(means, None)
    return None if mean is None else round(mean)


def purchases(features: Mapping[str, float | None], habit: Habit | None) -> str:
    """`4th purchase in 10 minutes`, by the shortest window, of a day at most, in which it is
    unusual; empty: in none it is."""
    per_day = habit.per_day if habit is not None else 0.0
    found = []
    for name, value in features.items():
        if (window := _COUNT.match(name)) and value is not None and value >= OFTEN:
            unit, unit_ms = _UNITS[window[2]]
            length = int(window[1])
            if length * unit_ms <= DAY_MS:
                found.append((length * unit_ms, int(value), length, unit))
    for span_ms, count, length, unit in sorted(found):
        if count > OFTEN_TIMES * per_day * span_ms / DAY_MS:
            span = f"a {unit}" if length == 1 and unit != "hour" else f"{length} {unit}"
            return f"{_ordinal(count)} purchase in {span}{'s' * (length != 1)}"
    return ""


def _ordinal(number: int) -> str:
    """
    >>> [_ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 112)]
    ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '21st', '112th']
    """
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"


def facts_from_outside(transaction: Mapping[str, Any]) -> dict[str, str]:
    """What somebody else wrote into the payment, by what it is: data, whatever it says."""
    named = {
        "merchant": "merchant_id", "merchant_country": "merchant_country", "country": "country",
        "category": "category", "channel": "channel",
    }  # fmt: skip
    found = {name: transaction.get(column) for name, column in named.items()}
    return {name: str(value) for name, value in found.items() if value is not None}
