"""Simulated work for the console: cards, payments, alerts and models, from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from alcyon.domain.office.searching import (
    AlertLine,
    Habit,
    LabelShown,
    Line,
    Linked,
    ReasonShown,
)

HOSTILE = "<img src=x onerror=alert(1)>"
LONG = "The Very Long Merchant Name of Forty Cha"
DAY_MS = 86_400_000
_MERCHANTS = [
    *("Luxe Watches", "Corner Grocery", "Metro Transit", "Blue Harbour Travel", "Pixel Arcade"),
    *("Gift Card Hub", "Nordic Home", "Fresh Bakery", "Sakura Electronics", "Gulf Jewellers"),
    *(HOSTILE, LONG),
]
_PLACES = ["FR", "DE", "ES", "NG", "JP", "KW", "US", "IT"]
_CURRENCY = {"JP": "JPY", "KW": "KWD", "US": "USD"}
_PER_BASE = {"EUR": 1.0, "JPY": 1.64, "KWD": 3.3, "USD": 1.09}
"""Minor units per minor unit of the base currency."""
_REASONS = [
    ("velocity_card_1h", "7th purchase in 6 minutes; this card usually makes 1 a day"),
    ("amount_against_own_history", "The amount is 21 times what this card usually pays"),
    ("new_country", "The card was last used in France 40 minutes before"),
    ("cards_per_device", "14 different cards were used from this device in 24 hours"),
    ("small_amount_burst", "9 small payments in an hour, as when somebody tries a stolen card"),
]
_RULES = ["card_velocity", "impossible_travel", "device_with_many_cards"]


@dataclass
class World:
    """What a desk shows; times end at `now`."""

    now: int
    lines: list[Line]
    """The newest first."""
    alerts: list[AlertLine]
    """By expected loss."""
    labels: list[LabelShown] = field(default_factory=list)


def simulate(now: int, alert_count: int = 60, seed: int = 7, *, is_hostile: bool = True) -> World:
    """Cards with a month of payments, and alerts among the newest; is_hostile: two of them are hard
    to show."""
    rng = random.Random(seed)
    cards = [f"k1_{rng.getrandbits(88):022x}" for _ in range(max(12, alert_count // 2))]
    lines = [line for n, card in enumerate(cards) for line in _month(rng, now, card, n)]
    lines = [_judged(rng, line) if rng.random() < 0.06 else line for line in lines]
    alerts = [_alert(rng, now, n, rng.choice(cards)) for n in range(alert_count)]
    # The first two in the queue are the hard ones: a hostile name, and 1,000 of the smallest unit.
    alerts[:2] = (
        [_hostile(alerts[0]), _dinar(alerts[1])] if is_hostile and alert_count > 1 else alerts[:2]
    )
    alerts = [replace(one, case_id=_case_of(one.line)) for one in alerts]
    alerts.sort(key=lambda one: -one.expected_loss_base_minor)
    every = sorted([*lines, *(a.line for a in alerts)], key=lambda line: -line.event_time)
    numbered = [replace(line, sequence=len(every) - n) for n, line in enumerate(every)]
    return World(now, numbered, alerts)


def _case_of(line: Line) -> str:
    return f"case-{(line.card_id or '')[3:11]}"


def _month(rng: random.Random, now: int, card: str, number: int) -> list[Line]:
    home = _PLACES[number % 3]
    return [
        _line(
            rng, f"t-{number}-{n:03}", now - rng.randrange(3_600_000, 30 * DAY_MS), card,
            (home, "APPROVE", rng.lognormvariate(7.6, 0.8)),
        )
        for n in range(rng.randrange(12, 45))
    ]  # fmt: skip


def _judged(rng: random.Random, line: Line) -> Line:
    """One of weeks ago that somebody has looked at."""
    reason, text = rng.choice(_REASONS)
    return replace(
        line, action="REVIEW", score=740, reason=reason, reason_text=text,
        is_fraud=rng.random() < 0.6,
    )  # fmt: skip


def _alert(rng: random.Random, now: int, number: int, card: str) -> AlertLine:
    action = rng.choice(["REVIEW", "REVIEW", "DECLINE", "DECLINE", "STEP_UP"])
    place, amount = rng.choice(_PLACES), rng.lognormvariate(9.6, 1.0)
    line = _line(
        rng, f"a-{number:04}-{rng.getrandbits(40):010x}", now - rng.randrange(20_000, 7_200_000),
        card, (place, action, amount),
    )  # fmt: skip
    score = {"STEP_UP": 640, "REVIEW": 780, "DECLINE": 930}[action] + rng.randrange(-40, 60)
    line = replace(line, score=score)
    return AlertLine(line, "open", None, round((line.amount_base_minor or 0) * score / 1000))


def _line(
    rng: random.Random, transaction_id: str, at: int, card: str, what: tuple[str, str, float]
) -> Line:
    place, action, amount_base = what
    currency = _CURRENCY.get(place, "EUR")
    reason, text = rng.choice(_REASONS) if action != "APPROVE" else ("", "")
    is_shared = action != "APPROVE" and rng.random() < 0.5
    return Line(
        sequence=0, transaction_id=transaction_id, event_time=at, action=action,
        score=rng.randrange(5, 300), reason=reason, reason_text=text,
        amount_minor=round(amount_base * _PER_BASE[currency]), currency=currency,
        amount_base_minor=round(amount_base), card_id=card,
        merchant_id=rng.choice(_MERCHANTS[:10]),
        device_id="d-shared-77aa01" if is_shared else f"d-{card[3:12]}",
        country=place, merchant_country=place, category=rng.choice(["grocery", "electronics"]),
        channel=rng.choice(["online", "in_store"]), is_fraud=None,
    )  # fmt: skip


def _hostile(alert: AlertLine) -> AlertLine:
    line = replace(
        alert.line, merchant_id=HOSTILE, reason_text=f"First payment at {HOSTILE}", currency="JPY",
        amount_minor=1_234_567, amount_base_minor=752_000, action="DECLINE",
        merchant_country="JP", country="JP",
    )  # fmt: skip
    return replace(alert, line=line, expected_loss_base_minor=740_000)


def _dinar(alert: AlertLine) -> AlertLine:
    line = replace(
        alert.line, merchant_id=LONG, currency="KWD", amount_minor=2_345_678,
        amount_base_minor=710_000, action="REVIEW", merchant_country="KW", country="KW",
    )  # fmt: skip
    return replace(alert, line=line, expected_loss_base_minor=700_000)


def reasons_of(line: Line) -> list[ReasonShown]:
    """As a model would have them."""
    rng = random.Random(line.transaction_id)
    parts = [ReasonShown(line.reason, line.reason_text, "card_count_1h", 7.0, 2.4)]
    parts += [
        ReasonShown(code, text, None, None, round(rng.uniform(-0.7, 2.1), 2))
        for code, text in _REASONS
        if code != line.reason
    ]
    parts += [
        ReasonShown("familiar", "The card has paid at this merchant before", "m", 4.0, -0.8),
        ReasonShown("hour", "The time of day is usual for this card", "hour", 14.0, -0.35),
        ReasonShown("category", "Groceries are seldom fraud", "category", None, -0.12),
        ReasonShown("channel", "Paid with the card in hand", "channel", None, -0.08),
    ]
    return sorted(parts, key=lambda part: -abs(part.log_odds))


def habit_of(lines: list[Line]) -> Habit:
    """Of some payments."""
    amounts = sorted(line.amount_base_minor or 0 for line in lines)

    def frequent(values: list[str | None]) -> list[str]:
        known = [value for value in values if value]
        return sorted(set(known), key=lambda v: (-known.count(v), v))[:5]

    return Habit(
        transaction_count=len(lines), per_day=round(len(lines) / 30, 2),
        amount_base_minor_median=amounts[len(amounts) // 2] if amounts else None,
        countries=frequent([line.country for line in lines]),
        merchants=frequent([line.merchant_id for line in lines]),
        devices=frequent([line.device_id for line in lines]),
        categories=frequent([line.category for line in lines]),
    )  # fmt: skip


def linked_of(lines: list[Line], own: str) -> list[Linked]:
    """Who else took part in these payments."""
    found: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        named = (("card", line.card_id), ("merchant", line.merchant_id), ("device", line.device_id))
        for kind, value in named:
            if value and value != own:
                found.setdefault((kind, value), []).append(line)
    return [
        Linked(
            kind, value, len(some), sum(x.action != "APPROVE" for x in some),  # type: ignore[arg-type]
            sum(bool(x.is_fraud) for x in some), max(x.event_time for x in some),
            shared_cards=13 if value.startswith("d-shared") else 0,
        )
        for (kind, value), some in found.items()
    ]  # fmt: skip


def sample(world: World, number: int) -> Line:
    """A payment as the live feed tells it."""
    rng = random.Random(number)
    action = rng.choices(["APPROVE", "REVIEW", "DECLINE"], [90, 6, 4])[0]
    card = f"k1_{rng.getrandbits(88):022x}"
    amount = rng.lognormvariate(7.6 if action == "APPROVE" else 9.5, 0.9)
    made = _line(rng, f"s-{number}", world.now, card, (rng.choice(_PLACES), action, amount))
    return replace(made, sequence=number)
