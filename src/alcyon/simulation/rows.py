"""Traffic as numbers, before it is written out as canonical columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from alcyon.simulation.geography import Floats
from alcyon.simulation.identifiers import Ints

NO_KEY = -1
"""The device, e-mail or IP key that stands for null; also the `attack` of genuine traffic."""

CHANNELS = ("card_present", "contactless", "ecommerce")
CARD_PRESENT, CONTACTLESS, ECOMMERCE = range(3)
KINDS = ("purchase", "withdrawal", "recurring", "verification")
PURCHASE, WITHDRAWAL, RECURRING, VERIFICATION = range(4)


@dataclass(frozen=True, eq=False)
class _Frame:
    """Arrays of one length."""

    def __len__(self) -> int:
        return len(next(iter(self._arrays().values())))

    def _arrays(self) -> dict[str, NDArray[np.int64] | NDArray[np.float64]]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Self:
        """The rows at these positions, or where the mask is true."""
        return replace(self, **{name: array[rows] for name, array in self._arrays().items()})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All parts one after the other; at least one part."""
        arrays = [part._arrays() for part in parts]
        return cls(**{name: np.concatenate([a[name] for a in arrays]) for name in arrays[0]})


@dataclass(frozen=True, eq=False)
class Visits(_Frame):
    """Who pays where and from what, before the amount is known.

    time: UTC ms; card, merchant: positions in the population; place: where the buyer is or
    seems to be; device, email: 64-bit keys or NO_KEY; host: key of the network connection;
    factor: multiplies the usual amount; attack: a code or NO_KEY.
    """

    time: Ints
    card: Ints
    merchant: Ints
    place: Ints
    device: Ints
    email: Ints
    host: Ints
    factor: Floats
    attack: Ints


@dataclass(frozen=True, eq=False)
class Rows(_Frame):
    """Transactions as numbers. arrival, time: UTC ms; base: euro cents wished; latitude and
    longitude: degrees or NaN; channel, kind: codes; the rest as in `Visits`."""

    arrival: Ints
    time: Ints
    card: Ints
    merchant: Ints
    base: Ints
    channel: Ints
    kind: Ints
    device: Ints
    email: Ints
    ip: Ints
    country: Ints
    latitude: Floats
    longitude: Floats
    attack: Ints

    @classmethod
    def none(cls) -> Rows:
        """No rows."""
        floats = ("latitude", "longitude")
        return cls(
            **{f.name: np.empty(0, float if f.name in floats else np.int64) for f in fields(cls)}
        )
