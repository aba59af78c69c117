"""Bootstrap: how sure a difference is, by drawing whole blocks of rows again and again.

Rows of one block (an hour) are drawn together: payments of one attack stand and fall as one, and
drawn one by one they would seem surer than they are (H. Künsch, "The jackknife and the bootstrap
for general stationary observations", 1989).
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

DRAWS = 200
SURE = 0.95


class Interval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A figure and where it lies in `SURE` of the draws."""

    low: float
    estimate: float
    high: float


def draws(block: NDArray[np.int64], seed: int) -> Iterator[NDArray[np.int64]]:
    """int64[n], `DRAWS` times: how often each row was drawn. block: int64[n], a row's block."""
    random = np.random.default_rng(seed)
    distinct, at = np.unique(block, return_inverse=True)
    chance = np.full(len(distinct), 1 / len(distinct))
    for _ in range(DRAWS):
        yield random.multinomial(len(distinct), chance)[at]


def interval(estimate: float, drawn: NDArray[np.float64]) -> Interval:
    """By the percentiles of the draws; those that could not be had (NaN) are left out."""
    known = drawn[np.isfinite(drawn)]
    if len(known) == 0:
        return Interval(float("-inf"), estimate, float("inf"))
    low, high = np.quantile(known, [(1 - SURE) / 2, (1 + SURE) / 2]).tolist()
    return Interval(low, estimate, high)
