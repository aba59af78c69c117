"""Telling: requests counted by route and status, and how long they took."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from alcyon.telemetry import LATENCY_BUCKETS_S, OTHER

STATUSES = ("2xx", "3xx", "4xx", "5xx")
REFUSALS = ("rate", "size")
"""Why a request was turned away before it was looked at."""


class Requests(Collector):
    """Counts; each is there from the start, at 0. Used in one event loop, read from any thread.

    routes: the paths that there are; whatever else is asked for counts as `other`.
    """

    def __init__(self, routes: Sequence[str]) -> None:
        self._routes = (*dict.fromkeys(routes), OTHER)
        self._counts = {(r, status): 0 for r in self._routes for status in STATUSES}
        self._buckets = {r: [0] * (len(LATENCY_BUCKETS_S) + 1) for r in self._routes}
        self._seconds = dict.fromkeys(self._routes, 0.0)
        self._refused = dict.fromkeys(REFUSALS, 0)
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def add(self, route: str, status: int, seconds: float) -> None:
        """One was answered."""
        named = route if route in self._buckets else OTHER
        self._counts[named, STATUSES[min(max(status // 100, 2), 5) - 2]] += 1
        self._buckets[named][bisect_left(LATENCY_BUCKETS_S, seconds)] += 1
        self._seconds[named] += seconds

    def refused(self, why: str) -> None:
        """One was turned away, for one of `REFUSALS`."""
        self._refused[why] += 1

    def text(self) -> bytes:
        """As Prometheus reads it."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """All of them."""
        requests = CounterMetricFamily(
            "alcyon_api_requests", "Requests answered", labels=("route", "status")
        )
        for (route, status), count in self._counts.items():
            requests.add_metric((route, status), count)
        refused = CounterMetricFamily(
            "alcyon_api_refused_requests", "Requests turned away at the door", labels=("why",)
        )
        for why, count in self._refused.items():
            refused.add_metric((why,), count)
        latency = HistogramMetricFamily(
            "alcyon_api_latency_seconds", "From a request to its answer", labels=("route",)
        )
        bounds = [*map(repr, LATENCY_BUCKETS_S), "+Inf"]
        for route, counts in self._buckets.items():
            buckets = list(zip(bounds, map(float, accumulate(counts)), strict=True))
            latency.add_metric((route,), buckets, self._seconds[route])
        return requests, refused, latency
