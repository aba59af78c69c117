"""Instruments: counters, gauges and histograms whose label values are known, and their maker.

Every metric is `alcyon_<noun>_<unit>[_total]`. A counter is there from the start, at 0; a gauge is
NaN while its value is not known.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Info
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from alcyon.telemetry.words import OTHER

NAN = float("nan")
PREFIX = "alcyon_"


class Counts:
    """A counter with one label; its values are known, so each is there from the start, at 0."""

    def __init__(self, counter: Counter, values: Iterable[str], values_max: int) -> None:
        self._counter, self._values_max = counter, values_max
        self._counters = {value: counter.labels(value) for value in values}

    def know(self, values: Iterable[str]) -> None:
        """These may be counted from now on, as many as there is room for."""
        for value in values:
            if value not in self._counters and len(self._counters) < self._values_max:
                self._counters[value] = self._counter.labels(value)

    def add(self, value: str, amount: float = 1) -> None:
        """Count; an unknown value counts as `other`, KeyError where there is no such."""
        self._counters[value if value in self._counters else OTHER].inc(amount)


class ByTwo:
    """A counter with two labels of known values."""

    def __init__(self, counter: Counter, first: Iterable[str], second: Iterable[str]) -> None:
        values, others = tuple(first), tuple(second)
        self._counters = {(a, b): counter.labels(a, b) for a in values for b in others}

    def add(self, first: str, second: str, amount: float = 1) -> None:
        """Count; KeyError for an unknown value."""
        self._counters[first, second].inc(amount)


class Levels:
    """A gauge with one label, of known values."""

    def __init__(self, gauge: Gauge, values: Iterable[str], initial: float) -> None:
        self._gauge, self._initial = gauge, initial
        self._gauges: dict[str, Gauge] = {}
        self.know(values)

    def know(self, values: Iterable[str]) -> None:
        """These may be set from now on."""
        for value in values:
            if value not in self._gauges:
                self._gauges[value] = self._gauge.labels(value)
                self._gauges[value].set(self._initial)

    def set(self, value: str, level: float) -> None:
        """KeyError for an unknown value."""
        self._gauges[value].set(level)


class Buckets:
    """How often a value fell between which bounds. Takes a whole batch at once. Thread-safe."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds, self._array = list(bounds), np.array(bounds, np.float64)
        self._counts = np.zeros(len(bounds) + 1, np.int64)
        self._sum, self._lock = 0.0, Lock()

    def add(self, value: float) -> None:
        """One value; one at a bound is in that bound's bucket."""
        place = bisect_left(self._bounds, value)
        with self._lock:
            self._counts[place] += 1
            self._sum += value

    def observe(self, values: NDArray[np.float64]) -> None:
        """As `add`, of float64[n]."""
        counts = np.bincount(self._array.searchsorted(values), minlength=len(self._counts))
        total = float(values.sum())
        with self._lock:
            self._counts += counts
            self._sum += total

    def upto(self) -> tuple[list[tuple[str, float]], float]:
        """Each bound with how many are not above it, and the sum of all values."""
        with self._lock:
            counts, total = np.cumsum(self._counts).tolist(), self._sum
        bounds = [*map(repr, self._bounds), "+Inf"]
        return list(zip(bounds, counts, strict=True)), total


class Histogram(Buckets, Collector):
    """A histogram without labels."""

    def __init__(self, name: str, words: str, bounds: Sequence[float]) -> None:
        super().__init__(bounds)
        self._name, self._words = name, words

    def collect(self) -> Iterable[Metric]:
        """As Prometheus reads it: each bucket with all that are below."""
        buckets, total = self.upto()
        yield HistogramMetricFamily(self._name, self._words, buckets=buckets, sum_value=total)


class Histograms(Collector):
    """A histogram with one label, of known values."""

    def __init__(
        self, name: str, words: str, label: str, values: Iterable[str], bounds: Sequence[float]
    ) -> None:
        self._name, self._words, self._label, self._bounds = name, words, label, tuple(bounds)
        self._buckets: dict[str, Buckets] = {}
        self.know(values)

    def know(self, values: Iterable[str]) -> None:
        """These may be observed from now on."""
        fresh = {value: Buckets(self._bounds) for value in values}
        self._buckets = fresh | self._buckets  # anew: it may be read meanwhile

    def add(self, value: str, number: float) -> None:
        """One number; KeyError for an unknown value."""
        self._buckets[value].add(number)

    def collect(self) -> Iterable[Metric]:
        """All of them."""
        family = HistogramMetricFamily(self._name, self._words, labels=(self._label,))
        for value, held in self._buckets.items():
            buckets, total = held.upto()
            family.add_metric((value,), buckets, total)
        yield family


class Registry(CollectorRegistry):
    """Leaves out `…_created`, a second series for each counter, which nobody asks for."""

    def collect(self) -> Iterable[Metric]:
        """All metrics."""
        for metric in super().collect():
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric


@dataclass(frozen=True)
class Described:
    """A metric as it is told of. labels: their values as far as they are known beforehand."""

    name: str
    """The whole name, as samples have it."""
    kind: str
    """counter, gauge or histogram."""
    labels: Mapping[str, Sequence[str]]
    words: str
    buckets: Sequence[float] = ()


class Maker:
    """Makes metrics, under `alcyon_` and a name, and remembers how each is described.

    registry: None for such as nobody reads.
    """

    def __init__(self, registry: CollectorRegistry | None) -> None:
        self._registry = registry
        self.described: list[Described] = []

    def counter(self, name: str, words: str) -> Counter:
        """A counter without labels."""
        self.note(f"{name}_total", "counter", words)
        return Counter(PREFIX + name, words, registry=self._registry)

    def counts(
        self, name: str, words: str, label: str, values: Sequence[str], values_max: int = 100
    ) -> Counts:
        """A counter with one label."""
        self.note(f"{name}_total", "counter", words, {label: values})
        counter = Counter(PREFIX + name, words, (label,), registry=self._registry)
        return Counts(counter, values, values_max)

    def some_counts(self, name: str, words: str, label: str, values: Sequence[str]) -> Counts:
        """As `counts`, of which a process has some values: those that it makes known."""
        self.note(f"{name}_total", "counter", words, {label: values})
        counter = Counter(PREFIX + name, words, (label,), registry=self._registry)
        return Counts(counter, (), len(values))

    def counts_by_two(self, name: str, words: str, labels: Mapping[str, Sequence[str]]) -> ByTwo:
        """A counter with two labels."""
        self.note(f"{name}_total", "counter", words, labels)
        counter = Counter(PREFIX + name, words, tuple(labels), registry=self._registry)
        return ByTwo(counter, *labels.values())

    def gauge(self, name: str, words: str, initial: float = NAN) -> Gauge:
        """A gauge without labels."""
        self.note(name, "gauge", words)
        gauge = Gauge(PREFIX + name, words, registry=self._registry)
        gauge.set(initial)
        return gauge

    def levels(
        self, name: str, words: str, label: str, values: Sequence[str], initial: float = NAN
    ) -> Levels:
        """A gauge with one label."""
        self.note(name, "gauge", words, {label: values})
        gauge = Gauge(PREFIX + name, words, (label,), registry=self._registry)
        return Levels(gauge, values, initial)

    def some_levels(
        self, name: str, words: str, label: str, values: Sequence[str], initial: float = NAN
    ) -> Levels:
        """As `levels`, of which a process has some values: those that it makes known."""
        self.note(name, "gauge", words, {label: values})
        gauge = Gauge(PREFIX + name, words, (label,), registry=self._registry)
        return Levels(gauge, (), initial)

    def histogram(self, name: str, words: str, bounds: Sequence[float]) -> Histogram:
        """A histogram without labels."""
        self.note(name, "histogram", words, buckets=bounds)
        histogram = Histogram(PREFIX + name, words, bounds)
        self.add(histogram)
        return histogram

    def histograms(
        self, name: str, words: str, label: str, values: Sequence[str], bounds: Sequence[float]
    ) -> Histograms:
        """A histogram with one label."""
        self.note(name, "histogram", words, {label: values}, bounds)
        histograms = Histograms(PREFIX + name, words, label, values, bounds)
        self.add(histograms)
        return histograms

    def info(self, name: str, words: str, labels: Sequence[str]) -> Info:
        """What is the case, as labels of a gauge that is 1."""
        self.note(f"{name}_info", "gauge", words, dict.fromkeys(labels, ()))
        return Info(PREFIX + name, words, registry=self._registry)

    def add(self, collector: Collector) -> None:
        """Let it be read."""
        if self._registry is not None:
            self._registry.register(collector)

    def note(
        self,
        name: str,
        kind: str,
        words: str,
        labels: Mapping[str, Sequence[str]] = MappingProxyType({}),
        buckets: Sequence[float] = (),
    ) -> None:
        """Remember a metric that was made; what is made here is noted already."""
        self.described.append(Described(PREFIX + name, kind, labels, words, buckets))
