"""The API's metrics: requests, watchers, refusals, and what a language model was asked."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from alcyon.telemetry.instruments import PREFIX, Maker
from alcyon.telemetry.words import METHODS, OTHER, PROSE, STATUSES, UNMATCHED

REQUEST_BUCKETS_S = (
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
_REQUESTS, _SECONDS = "api_requests", "api_request_seconds"
_REQUESTS_WORDS = (
    "HTTP requests answered, by route template; unmatched: what no route serves, or "
    "was turned away before it was looked at"
)
_SECONDS_WORDS = "From a request to the end of its answer"


class ApiMetrics:
    """Thread-safe, but for `requests`."""

    def __init__(self, make: Maker) -> None:
        counter = make.counter
        self.requests = Requests(make)
        self.provisional = counter("api_provisional_answers", "Answers before the decision")
        self.watchers = make.gauge("api_watchers", "WebSocket clients that are there", 0)
        self.slow_watchers = counter(
            "api_dropped_watchers", "WebSocket clients cut off, for they took nothing"
        )
        self.refused_sign_ins = counter(
            "api_refused_sign_ins", "Sign-ins refused: a wrong name or password, or too many tries"
        )
        self.rate_limited = counter(
            "api_rate_limited", "Requests and WebSockets turned away, for their caller had too many"
        )
        self.oversized = counter("api_oversized_requests", "Requests refused for a body too large")
        self.prose_calls = make.counts(
            "api_prose_calls",
            "Questions to the language model; ungrounded: its answer did not keep to the facts, "
            "timeout: it came too late; in each but told the template was shown",
            "outcome", PROSE,
        )  # fmt: skip


class Requests(Collector):
    """Requests by route, method and status, and how long they took by route. Each that there is,
    is there from the start, at 0. Used in one event loop, read from any thread."""

    def __init__(self, make: Maker) -> None:
        self._counts: dict[tuple[str, str, str], int] = {}
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}
        self.know([(UNMATCHED, method) for method in (*METHODS, OTHER)])
        labels = {"route": (), "method": (*METHODS, OTHER), "status": STATUSES}
        make.note(f"{_REQUESTS}_total", "counter", _REQUESTS_WORDS, labels)
        make.note(_SECONDS, "histogram", _SECONDS_WORDS, {"route": ()}, REQUEST_BUCKETS_S)
        make.add(self)

    def know(self, routes: Iterable[tuple[str, str]]) -> None:
        """(path template, method) of what is served, before it is."""
        for route, method in routes:
            for status in STATUSES:
                self._counts.setdefault((route, method, status), 0)
            self._buckets.setdefault(route, [0] * (len(REQUEST_BUCKETS_S) + 1))
            self._seconds.setdefault(route, 0.0)

    def add(self, route: str, method: str, status: int, seconds: float) -> None:
        """One was answered."""
        name = STATUSES[min(max(status // 100, 2), 5) - 2]
        if (route, method, name) not in self._counts:
            route, method = UNMATCHED, method if method in METHODS else OTHER
        self._counts[route, method, name] += 1
        self._buckets[route][bisect_left(REQUEST_BUCKETS_S, seconds)] += 1
        self._seconds[route] += seconds

    def collect(self) -> Iterable[Metric]:
        """All of them."""
        labels = ("route", "method", "status")
        requests = CounterMetricFamily(PREFIX + _REQUESTS, _REQUESTS_WORDS, labels=labels)
        for named, count in self._counts.items():
            requests.add_metric(named, count)
        times = HistogramMetricFamily(PREFIX + _SECONDS, _SECONDS_WORDS, labels=("route",))
        bounds = [*map(repr, REQUEST_BUCKETS_S), "+Inf"]
        for route, counts in self._buckets.items():
            buckets = list(zip(bounds, map(float, accumulate(counts)), strict=True))
            times.add_metric((route,), buckets, self._seconds[route])
        return requests, times
