"""Scenario: what traffic is wanted; validated, frozen, and all that determines the bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from alcyon.domain.errors import InputError
from alcyon.domain.transaction import EVENT_TIME_MAX, EVENT_TIME_MIN
from alcyon.simulation.activity import DAY_MS, SECOND_MS
from alcyon.simulation.attacks import ATTACKS
from alcyon.simulation.geography import Floats
from alcyon.simulation.population import CARDS_MAX, DAILY_PURCHASES, Population

DEFAULT_START = 1_735_689_600_000
"""2025-01-01T00:00:00Z."""
DEFAULT_DAYS = 30
_WEIGHTS = MappingProxyType(
    {
        "card_testing": 0.16, "stolen_card": 0.20, "account_takeover": 0.20,
        "impossible_travel": 0.09, "compromised_merchant": 0.14, "device_farm": 0.08,
        "bust_out": 0.08, "disputed": 0.05,
    }
)  # fmt: skip


@dataclass(frozen=True)
class AttackMix:
    """Shares of the fraudulent transactions by attack; they need not add up to 1.

    An attack that is not named does not happen. `intensity` scales the size of the episodes (more
    cards per test run, more purchases per spree) at the same fraud rate; `pace` makes them unfold
    that many times faster (a spree of two hours within ten minutes at 12).
    Raises InputError on an unknown attack, a negative weight, or none at all.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: _WEIGHTS)
    intensity: float = 1.0
    pace: float = 1.0

    def __post_init__(self) -> None:
        unknown = sorted(set(self.weights) - set(ATTACKS))
        if unknown:
            raise InputError(f"unknown attack {unknown[0]!r}; known: {', '.join(ATTACKS)}")
        if min(self.weights.values(), default=0.0) < 0 or sum(self.weights.values()) <= 0:
            raise InputError("attack weights must be 0 or more, and one of them above 0")
        if not 0.1 <= self.intensity <= 10:
            raise InputError(f"intensity {self.intensity} is outside 0.1 … 10")
        if not 0.1 <= self.pace <= 100:
            raise InputError(f"pace {self.pace} is outside 0.1 … 100")

    def shares(self, progress: float) -> Floats:
        """float64[len(ATTACKS)], adding up to 1; with drift, loud attacks give way to quiet."""
        share = np.array([self.weights.get(name, 0.0) for name in ATTACKS])
        quiet = np.array([name in _QUIET for name in ATTACKS])
        share = share * np.where(quiet, 1.0 + progress, 1.0 / (1.0 + progress))
        share /= share.sum()
        return share


_QUIET = ("account_takeover", "compromised_merchant", "bust_out", "device_farm")


@dataclass(frozen=True)
class Scenario:
    """Traffic that is wanted.

    transactions: how many; None is endless (or as many as `duration_ms` holds).
    seed: 0 or more. start: event time of the beginning, UTC ms.
    duration_ms: length of the span; default 30 days, or what `rate_per_s` makes of it.
    rate_per_s: forces an even overall rate, day and night, whatever the number of cards; cards
      then take turns, so that none pays twice before most others have (attacks and outings
      apart). Without it a card makes about 1.5 payments a day, or `transactions` ÷ `duration_ms`.
    fraud_rate: share of fraudulent transactions. drift: 0 none … 1 strong by the end of the span
      (of 60 days when endless). disorder: share of rows that arrive seconds to minutes late.
    Raises InputError when a value is out of bounds.
    """

    transactions: int | None = None
    seed: int = 0
    start: int = DEFAULT_START
    duration_ms: int | None = None
    rate_per_s: float | None = None
    fraud_rate: float = 0.007
    mix: AttackMix = field(default_factory=AttackMix)
    drift: float = 0.0
    disorder: float = 0.0

    def __post_init__(self) -> None:
        _check("transactions", self.transactions, 1, 10**10)
        _check("seed", self.seed, 0, 2**63 - 1)
        _check("start", self.start, EVENT_TIME_MIN, EVENT_TIME_MAX - 1)
        _check("duration_ms", self.duration_ms, SECOND_MS, EVENT_TIME_MAX - self.start)
        _check("rate_per_s", self.rate_per_s, 1e-4, 1e6)
        _check("fraud_rate", self.fraud_rate, 0.0, 0.5)
        _check("drift", self.drift, 0.0, 2.0)
        _check("disorder", self.disorder, 0.0, 0.5)
        if None not in (self.transactions, self.duration_ms, self.rate_per_s):
            raise InputError("give at most two of transactions, duration_ms and rate_per_s")

    @property
    def tag(self) -> str:
        """Ten hexadecimal characters, other for every other scenario: ids start with it."""
        weights = sorted(self.mix.weights.items())
        numbers = (
            *(self.transactions, self.seed, self.start, self.duration_ms, self.rate_per_s or 0.0),
            *(self.fraud_rate, self.mix.intensity, self.mix.pace, self.drift, self.disorder),
            *(weight for _, weight in weights),
        )
        text = repr([None if n is None else float(n) for n in numbers]) + repr(dict(weights).keys())
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    def create_population(self) -> Population:
        """A population of a size at which cards pay about 1.5 times a day."""
        days = (self.duration_ms or DEFAULT_DAYS * DAY_MS) / DAY_MS
        if self.rate_per_s is not None:
            daily = self.rate_per_s * 86_400
        else:
            daily = (self.transactions or 1_000_000) / days
        cards = int(np.clip(daily / DAILY_PURCHASES, 100, CARDS_MAX // 10))
        return Population.create(self.seed, cards)


def _check(name: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:
        raise InputError(f"{name} {value} is outside {least} … {most}")
