"""Entity lists: block, allow and watch lists of ids, whose entries expire in event time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import Strings
from alcyon.domain.control import AddToList, RemoveFromList, encode_control

NAMES = ("block", "allow", "watch")
_NEVER = 2**63 - 1
_Entries = Mapping[tuple[str, str], Mapping[str, int]]


@dataclass(frozen=True)
class EntityLists:
    """All lists at one moment; every change gives a new value with a new version."""

    entries: _Entries = field(default_factory=lambda: MappingProxyType({}))
    """By (list, column): value to the event time at which it expires."""
    version: str = "0"

    def changed(self, change: AddToList | RemoveFromList) -> EntityLists:
        """The lists after a control record."""
        pair = (change.name, change.column)
        values = dict(self.entries.get(pair, {}))
        if isinstance(change, AddToList):
            values[change.value] = _NEVER if change.expires_at is None else change.expires_at
        else:
            values.pop(change.value, None)
        digest = hashlib.sha256(self.version.encode() + encode_control(change)).hexdigest()
        return EntityLists(MappingProxyType({**self.entries, pair: values}), digest[:12])

    def listed(
        self, name: str, column: str, values: Strings | None, event_time: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """float64[n]: 1.0 where the value is listed and not expired, else 0.0; null is NaN.

        values: the transaction's column, None where the batch has no such column.
        """
        if values is None:
            return np.full(len(event_time), np.nan)
        entries = self.entries.get((name, column))
        out = np.zeros(len(values)) if not entries else _looked_up(entries, values, event_time)
        if values.valid is not None:
            out[~values.valid] = np.nan
        return out


def _looked_up(
    entries: Mapping[str, int], values: Strings, event_time: NDArray[np.int64]
) -> NDArray[np.float64]:
    expires = [entries.get(value, 0) if value is not None else 0 for value in values.to_list()]
    return (np.array(expires, np.int64) > event_time).astype(np.float64)
