"""Trust: which labels may teach and judge models, and how much any one person can bring about.

A label that is not trusted is as if it had not been given. Chargebacks and issuers are trusted;
of an analyst, the first `author_labels_per_day_max` of a day of theirs, so that neither an error
made a thousand times nor ill will moves a model far. Rules are not: a model that learnt from them
would be taught by what decides beside it.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.label import SOURCES
from alcyon.learning.dataset import DAY_MS

ANALYST = SOURCES.index("analyst")
TRUSTED = tuple(SOURCES.index(source) for source in ("chargeback", "issuer", "analyst"))
"""Sources are held as their place in `SOURCES`: the smaller, the more trusted."""


class Trust(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of one analyst's influence; who gives no name counts as one person."""

    author_labels_per_day_max: Annotated[int, msgspec.Meta(ge=0)] = 50
    """Of each truth (fraud, genuine) and day of `labelled_at`; the others do not count."""
    author_share_max: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.02
    """In training, of the weight that all others' frauds have: those that one analyst alone tells
    of weigh that much at most, or as much as a colleague's."""


def trusted(
    source: NDArray[np.int8],
    author: NDArray[np.int64],
    labelled_at: NDArray[np.int64],
    is_fraud: NDArray[np.bool_],
    trust: Trust,
) -> NDArray[np.bool_]:
    """bool[n]: which labels count, all arguments [n] in order of arrival.

    >>> source, same = np.full(3, ANALYST, np.int8), np.zeros(3, np.int64)
    >>> trusted(source, same, same, np.ones(3, bool), Trust(2)).tolist()
    [True, True, False]
    """
    counts = np.isin(source, TRUSTED)
    analysts = np.flatnonzero(source == ANALYST)
    keys = author[analysts], labelled_at[analysts] // DAY_MS, is_fraud[analysts]
    order = np.lexsort((np.arange(len(analysts)), *keys))
    begins = np.ones(len(order), np.bool_)
    begins[1:] = np.any([k[order][1:] != k[order][:-1] for k in keys], axis=0)
    first = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
    rank = np.arange(len(order)) - first
    counts[analysts[order[rank >= trust.author_labels_per_day_max]]] = False
    return counts


def bounded_by_author(
    weight: NDArray[np.float64],
    author: NDArray[np.int64],
    is_fraud: NDArray[np.bool_],
    share_max: float,
) -> NDArray[np.float64]:
    """float64[n]: weights of which no author (int64[n], -1: nobody's) has more among the frauds
    than `share_max` of what all others have there, or than the median of the other authors,
    whichever is more; where nobody else tells of a fraud, than `share_max` of everything.

    What is bounded is the gross error that one person can bring about (P. Huber, "Robust estimation
    of a location parameter", 1964), not who is believed: wrong labels on what looks like fraud
    cannot be told from right ones. Measured by the others, for whoever says much would else be
    allowed the more.
    """
    bounded = weight.copy()
    frauds = np.flatnonzero(is_fraud)
    names, place = np.unique(author[frauds], return_inverse=True)
    sums = np.bincount(place, weight[frauds], len(names))
    for k in np.flatnonzero(names >= 0).tolist():
        others, own = np.delete(sums, k), float(sums[k])
        peers = others[np.delete(names, k) >= 0]
        measure = float(others.sum()) or float(weight.sum())
        allowed = max(share_max * measure, float(np.median(peers)) if len(peers) else 0.0)
        bounded[frauds[place == k]] *= min(1.0, allowed / max(own, 1e-300))
    return bounded
