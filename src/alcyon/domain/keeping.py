"""Keeping: what leaves a projection's store by age, and what leaves it because somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from alcyon.domain.transaction import ID_COLUMNS

ENTITY_COLUMNS = tuple(name for name in ID_COLUMNS if name != "transaction_id")
"""Where an id that is to be erased may stand."""


@dataclass(frozen=True)
class Removal:
    """Rows that leave a store, or would."""

    before_sequence: int
    """All of them have smaller ones."""
    rows: Mapping[str, int]
    """By table."""
    transaction_ids: tuple[str, ...] = ()
    """Of the payments that are erased; retention names none."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing leaves."""
        return not any(self.rows.values())


class Keeping(Protocol):
    """Removes rows from a store while a projection fills it. StoreError from any method."""

    def old(self, before_ms: int) -> Removal:
        """What is older: a run of sequences from the first on in which no event time and no label's
        time is at or after `before_ms`; where a store drops whole partitions, in whole ones."""
        ...

    def drop_old(self, before_ms: int) -> Removal:
        """Remove that, all or nothing."""
        ...

    def next_sequence(self) -> int:
        """Behind the last that is stored; 0 for an empty store."""
        ...

    def ids(self) -> Iterator[str]:
        """Every value of `ENTITY_COLUMNS`; one may come several times."""
        ...

    def about(self, value: str, before_sequence: int) -> Removal:
        """What is stored about payments with this id in one of `ENTITY_COLUMNS`, and dead letters
        in which it stands."""
        ...

    def erase(self, value: str, before_sequence: int) -> Removal:
        """Remove that, all or nothing."""
        ...

    def close(self) -> None:
        """Called once, last."""
        ...
