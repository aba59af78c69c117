"""What an honest payer could have done otherwise, the smallest change first: a grid, with costs.

A cost is a judgement of how much is asked of the payer, written down so that "the smallest" means
something; candidates of equal cost keep the order in which they are made.

    a smaller amount            1 - the share that is left, for each of `SHARES`, in two digits,
                                as a person would choose it
    another device              0.30, 0.32, …: one the card paid with before, the most used first
    later                       by `LATER`: 10 minutes 0.35 … 3 days 0.75
    another channel             0.40, 0.42, …: likewise
    another place               0.50, 0.52, …: a country the card paid in before, with all columns
                                that say where, as they were the last time there
    two of these                both costs and 0.20

Only payments of the card that were approved say what it did before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from alcyon.domain.money import money

Value = str | int | float | None
Row = Mapping[str, Value]
"""A transaction's columns; what is null is None or left out."""

SHARES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
LATER = (
    (10 * MINUTE_MS, 0.35, "10 minutes later"),
    (HOUR_MS, 0.45, "1 hour later"),
    (6 * HOUR_MS, 0.55, "6 hours later"),
    (DAY_MS, 0.65, "1 day later"),
    (3 * DAY_MS, 0.75, "3 days later"),
)
DEVICE_COST, CHANNEL_COST, PLACE_COST = 0.30, 0.40, 0.50
NEXT_COST = 0.02
"""For each device, channel or place that is less used."""
PAIR_COST = 0.20
KNOWN_MAX = 3
"""Devices, channels and places of each card that are tried."""
PLACE = (
    "country", "merchant_country", "latitude", "longitude", "merchant_latitude",
    "merchant_longitude", "utc_offset_minutes",
)  # fmt: skip
"""Columns that say where; they change together."""

WITH_THE_PLACE = "as it goes with that place"
"""What is said of a column that changes only because the country does."""


@dataclass(frozen=True)
class Candidate:
    """One change, of one thing or two."""

    cost: float
    values: Row
    """What the changed columns are then."""
    words: Mapping[str, str]
    """By column, for people."""


@dataclass(frozen=True)
class _Option:
    """One thing, otherwise."""

    thing: str
    cost: float
    values: Row
    words: Mapping[str, str]


def candidates(transaction: Row, earlier: Sequence[Row]) -> list[Candidate]:
    """The grid for a transaction, the cheapest first.

    earlier: approved payments of the same card that arrived before it, the newest first.

    >>> found = candidates({"event_time": 0, "amount_minor": 9_999, "currency": "EUR"}, [])
    >>> [(round(c.cost, 2), dict(c.words)) for c in (found[0], found[3])]
    [(0.1, {'amount_minor': 'at € 89.00'}), (0.35, {'event_time': '10 minutes later'})]
    """
    options = [
        *_amounts(transaction),
        *_times(transaction),
        *_known(transaction, earlier, "device_id", DEVICE_COST),
        *_known(transaction, earlier, "channel", CHANNEL_COST),
        *_places(transaction, earlier),
    ]
    single = [Candidate(o.cost, o.values, o.words) for o in options]
    pairs = [
        Candidate(a.cost + b.cost + PAIR_COST, {**a.values, **b.values}, {**a.words, **b.words})
        for a, b in combinations(options, 2)
        if a.thing != b.thing
    ]
    return sorted([*single, *pairs], key=lambda candidate: round(candidate.cost, 6))


def _amounts(transaction: Row) -> Iterator[_Option]:
    amount, currency = transaction["amount_minor"], str(transaction["currency"])
    assert isinstance(amount, int)
    last = amount
    for share in SHARES:
        smaller = _two_digits(int(amount * share))
        if 0 < smaller < last:
            last = smaller
            words = {"amount_minor": f"at {money(smaller, currency)}"}
            yield _Option("amount", 1 - share, {"amount_minor": smaller}, words)


def _two_digits(amount: int) -> int:
    """Rounded down to two significant digits."""
    digits = str(amount)
    return int(digits[:2].ljust(len(digits), "0"))


def _times(transaction: Row) -> Iterator[_Option]:
    time = transaction["event_time"]
    assert isinstance(time, int)
    for delay, cost, words in LATER:
        yield _Option("time", cost, {"event_time": time + delay}, {"event_time": words})


def _known(
    transaction: Row, earlier: Sequence[Row], column: str, first_cost: float
) -> Iterator[_Option]:
    now = transaction.get(column)
    used = Counter(v for row in earlier if (v := row.get(column)) not in (None, now))
    for place, (value, _) in enumerate(used.most_common(KNOWN_MAX)):
        how = "from a device" if column == "device_id" else f"by the channel {value},"
        words = {column: f"{how} this card has used before"}
        yield _Option(column, first_cost + NEXT_COST * place, {column: value}, words)


def _places(transaction: Row, earlier: Sequence[Row]) -> Iterator[_Option]:
    newest: dict[Value, Row] = {}
    for row in earlier:
        newest.setdefault(_country(row), row)
    now = _country(transaction)
    used = Counter(v for v in map(_country, earlier) if v not in (None, now))
    for place, (country, _) in enumerate(used.most_common(KNOWN_MAX)):
        there = {name: newest[country].get(name) for name in PLACE}
        values = {name: v for name, v in there.items() if v != transaction.get(name)}
        words = dict.fromkeys(values, WITH_THE_PLACE)
        named = "country" if "country" in values else "merchant_country"
        words[named] = f"in {country}, where this card has paid before"
        yield _Option("place", PLACE_COST + NEXT_COST * place, values, words)


def _country(row: Row) -> Value:
    own = row.get("country")
    return row.get("merchant_country") if own is None else own
