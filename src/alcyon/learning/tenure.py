"""Tenure: which model decides since when, and the band in which it is watched.

All of it follows from the decisions: a model that decides for the first time, and was scored beside
the one it replaced, is watched from its first decision on. One that had decided before comes back
by a roll-back, and is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from alcyon.domain.errors import InputError
from alcyon.learning.band import Band, Departure, Live, Watch, follow, predict
from alcyon.learning.dataset import DAY_MS
from alcyon.learning.history import Recorded
from alcyon.scoring.policy import Policy

NONE = b"none"
SPAN_MS_MIN = DAY_MS
"""A band is of all hours of a day."""


@dataclass(frozen=True, eq=False)
class Tenure:
    """A champion's time so far; versions are those that decisions name."""

    champion: bytes
    since: int
    """Event time of its first decision."""
    former: frozenset[bytes] = frozenset()
    """Those that decided before."""
    band: Band | None = None
    watch: Watch | None = None
    unwatched: str = "it is the first that is known of"
    """Why there is no band."""

    @property
    def departure(self) -> Departure | None:
        """Where it left its band."""
        return None if self.watch is None else self.watch.departure


def followed(
    tenure: Tenure | None, before: Callable[[], Recorded], decided: Recorded, policy: Policy
) -> Tenure | None:
    """The tenure after these decisions; None until a model has decided.

    before: gives what was decided before them, where a band is to be made of it; policy: the one in
    force.
    """
    for part in _runs(decided):
        champion = bytes(part.champion[0])
        if champion == NONE:
            continue
        if tenure is None:
            tenure = Tenure(champion, int(part.event_time[0]))
        elif champion != tenure.champion:
            tenure = _succeeded(tenure, champion, part, before, policy)
        if tenure.band is not None and tenure.watch is not None:
            live = _live(part, tenure.band.replaced.encode())
            tenure = replace(tenure, watch=follow(tenure.band, tenure.watch, live))
    return tenure


def _succeeded(
    old: Tenure, champion: bytes, part: Recorded, before: Callable[[], Recorded], policy: Policy
) -> Tenure:
    new = Tenure(champion, int(part.event_time[0]), old.former | {old.champion})
    if champion in new.former:
        return replace(new, unwatched="it has decided before")
    past = before()
    rows = (past.champion == old.champion) & (past.challenger == champion)
    seen = Live(past.challenger_ppm[rows], past.champion_ppm[rows], past.event_time[rows])
    try:
        if len(seen) and int(np.ptp(seen.event_time)) < SPAN_MS_MIN:
            raise InputError("it was scored beside the one it replaced for less than a day")
        band = predict(champion.decode(), old.champion.decode(), seen, policy)
    except InputError as error:
        return replace(new, unwatched=str(error))
    return replace(new, band=band, watch=Watch.begin(band), unwatched="")


def _live(part: Recorded, replaced: bytes) -> Live:
    paired = np.where(part.challenger == replaced, part.challenger_ppm, -1)
    return Live(part.champion_ppm, paired, part.event_time)


def _runs(decided: Recorded) -> list[Recorded]:
    """Parts of one champion each."""
    changes = np.flatnonzero(decided.champion[1:] != decided.champion[:-1]) + 1
    ends = [0, *changes.tolist(), len(decided)]
    return [decided.slice(a, b) for a, b in pairwise(ends) if a < b]
