"""Latencies: a histogram that does not grow, and the newest for the eye."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from threading import Lock

import numpy as np
from numpy.typing import NDArray

STEP = 1.01
"""Each bin ends one per cent above the one before: so exact is a percentile."""
LEAST_MS = 0.01
BINS = 2400
NEWEST = 5_000


@dataclass(frozen=True)
class Percentiles:
    """Milliseconds."""

    p50: float
    p95: float
    p99: float


class Latencies:
    """May be told and read from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts = np.zeros(BINS, np.int64)
        self._newest: deque[float] = deque(maxlen=NEWEST)
        self._untaken: deque[float] = deque(maxlen=NEWEST)

    def add(self, seconds: Sequence[float]) -> None:
        """Latencies in the order in which they came."""
        if not seconds:
            return
        ms = np.asarray(seconds) * 1000.0
        bins = np.ceil(np.log(np.maximum(ms, LEAST_MS) / LEAST_MS) / np.log(STEP)).astype(np.int64)
        with self._lock:
            np.add.at(self._counts, np.minimum(bins, BINS - 1), 1)
            self._newest.extend(ms.tolist())
            self._untaken.extend(seconds)

    def taken(self) -> list[float]:
        """Seconds, of the newest that were not taken before."""
        with self._lock:
            taken = list(self._untaken)
            self._untaken.clear()
        return taken

    def all(self) -> Percentiles | None:
        """Over all, rounded up by one per cent at most; None without any."""
        with self._lock:
            counts: NDArray[np.int64] = self._counts.cumsum()
        total = int(counts[-1])
        if not total:
            return None
        ranks = [max(1, ceil(total * share)) for share in (0.50, 0.95, 0.99)]
        bins = np.searchsorted(counts, ranks)
        return Percentiles(*(float(LEAST_MS * STEP**b) for b in bins.tolist()))

    def newest(self) -> Percentiles | None:
        """Over the newest few thousand; None without any."""
        with self._lock:
            newest = list(self._newest)
        if not newest:
            return None
        found = np.percentile(newest, (50, 95, 99), method="inverted_cdf").tolist()
        return Percentiles(*found)
