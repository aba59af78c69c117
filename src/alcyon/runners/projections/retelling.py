"""Retelling: a store that was filled anew has every alert open again, and is told what is not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Event
from typing import Protocol

from alcyon.domain.errors import UnreachableError
from alcyon.domain.office.cases import CaseStatus

EVERY_S = 60.0


class CaseBook(Protocol):
    """The office, as far as it takes part. UnreachableError from any method."""

    def newest_told(self) -> tuple[str, CaseStatus] | None:
        """The newest alert whose case is not open, and that status; None: there is none, or the
        store is still to be told of something."""
        ...

    def tell_statuses(self) -> int:
        """Tell the store of all cases that are not open, once more; how many."""
        ...


def retold(office: CaseBook, status_of: Callable[[str], CaseStatus | None]) -> int:
    """How many cases the store is told of again, 0 where it knows what it was told.

    status_of: what the store says of an alert; None: it has not come so far. The newest alert is
    looked at, so that the store has all the others by then.
    """
    newest = office.newest_told()
    if newest is None:
        return 0
    said = status_of(newest[0])
    return 0 if said is None or said == newest[1] else office.tell_statuses()


def keep_told(
    office: CaseBook,
    status_of: Callable[[str], CaseStatus | None],
    told: Callable[[int], None],
    stop: Event,
    every_s: float = EVERY_S,
) -> None:
    """Look now and then, until stopped; an outage is waited out. told: how many cases, above 0."""
    while not stop.is_set():
        with suppress(UnreachableError):  # who asks either of them is told of that
            if count := retold(office, status_of):
                told(count)
        stop.wait(every_s)
