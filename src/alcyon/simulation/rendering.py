"""Numbers become canonical columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alcyon.domain.columns import Batch, Strings
from alcyon.simulation.geography import (
    COUNTRIES,
    COUNTRY_CURRENCY,
    COUNTRY_OFFSET,
    CURRENCIES,
    to_currency,
)
from alcyon.simulation.identifiers import (
    Bytes,
    Ints,
    address,
    decimal,
    fixed,
    hexadecimal,
    lettered,
    prefixed,
    scattered,
)
from alcyon.simulation.merchants import CATEGORIES
from alcyon.simulation.population import Population
from alcyon.simulation.rows import CHANNELS, KINDS, NO_KEY, Rows


@dataclass(frozen=True, eq=False)
class _Words:
    """A small vocabulary: looked up by code without a Python object per value."""

    matrix: Bytes  # uint8[words, width], padded with 0
    length: Ints

    @classmethod
    def of(cls, words: tuple[str, ...]) -> _Words:
        width = max(map(len, words))
        padded = b"".join(w.encode().ljust(width, b"\0") for w in words)
        matrix = np.frombuffer(padded, np.uint8).reshape(-1, width)
        return cls(matrix, np.array([len(w) for w in words], np.int64))

    def strings(self, codes: Ints) -> Strings:
        """One word per code; a negative code is null."""
        valid = codes >= 0
        if self.matrix.shape[1] == self.length.min():
            return fixed(self.matrix[codes], None if valid.all() else valid)
        offsets = np.zeros(len(codes) + 1, np.int64)
        np.cumsum(np.where(valid, self.length[codes], 0), out=offsets[1:])
        padded = self.matrix[codes if valid.all() else codes[valid]].reshape(-1)
        return Strings(offsets, padded[np.flatnonzero(padded)], None if valid.all() else valid)


@dataclass(frozen=True, eq=False)
class Renderer:
    """Writes out the rows of one run; ids start with the run's tag (ten characters)."""

    population: Population
    tag: str
    attacks: tuple[str, ...]

    def transactions(self, rows: Rows, first: int) -> Batch:
        """The canonical columns; the first row is transaction number `first` of the run."""
        people, shops = self.population.cards, self.population.merchants
        country = self.population.places.country[shops.place[rows.merchant]]
        currency = COUNTRY_CURRENCY[country]
        amount, base = to_currency(rows.base, currency)
        return Batch(
            {
                "transaction_id": self._ids(len(rows), first),
                "event_time": rows.time,
                "amount_minor": amount,
                "currency": _CURRENCIES.strings(currency),
                "card_id": _numbered("c", people.number[rows.card]),
                "customer_id": _numbered("u", people.customer[rows.card]),
                "merchant_id": _numbered("m", shops.number[rows.merchant]),
                "device_id": _keyed("d", rows.device),
                "email_hash": _hashed(rows.email),
                "ip": _addressed(rows.ip),
                "country": _COUNTRIES.strings(rows.country),
                "merchant_country": _COUNTRIES.strings(country),
                "category": _CATEGORIES.strings(shops.category[rows.merchant]),
                "channel": _CHANNELS.strings(rows.channel),
                "transaction_type": _KINDS.strings(rows.kind),
                "card_bin": fixed(decimal(400_000 + people.issuer[rows.card] * 7, 6)),
                "card_last4": fixed(decimal(people.last4[rows.card], 4)),
                "amount_base_minor": base,
                "latitude": rows.latitude,
                "longitude": rows.longitude,
                "merchant_latitude": shops.latitude[rows.merchant],
                "merchant_longitude": shops.longitude[rows.merchant],
                "utc_offset_minutes": COUNTRY_OFFSET[country],
            }
        )

    def truth(self, rows: Rows, first: int) -> Batch:
        """transaction_id, is_fraud (0 or 1), attack (null for the genuine)."""
        return Batch(
            {
                "transaction_id": self._ids(len(rows), first),
                "is_fraud": (rows.attack != NO_KEY).astype(np.int64),
                "attack": _Words.of(self.attacks).strings(rows.attack),
            }
        )

    def _ids(self, n: int, first: int) -> Strings:
        return fixed(prefixed(f"t-{self.tag}-", decimal(np.arange(first, first + n), 10)))


_CURRENCIES = _Words.of(CURRENCIES)
_COUNTRIES = _Words.of(COUNTRIES)
_CATEGORIES = _Words.of(CATEGORIES)
_CHANNELS = _Words.of(CHANNELS)
_KINDS = _Words.of(KINDS)


def _numbered(prefix: str, numbers: Ints) -> Strings:
    return fixed(prefixed(prefix, decimal(numbers, 8)))


def _keyed(prefix: str, keys: Ints) -> Strings:
    valid = keys != NO_KEY
    return scattered(prefixed(f"{prefix}-", lettered(keys[valid])), valid)


def _hashed(keys: Ints) -> Strings:
    valid = keys != NO_KEY
    return scattered(hexadecimal(keys[valid]), valid)


def _addressed(keys: Ints) -> Strings:
    valid = keys != NO_KEY
    return scattered(address(keys[valid]), valid)
