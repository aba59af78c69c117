"""Telemetry: the metrics of a running process, and its log lines.

Every metric is `alcyon_<noun>_<unit>[_total]`; what a process is in itself keeps the names that all
Prometheus clients give it (`process_…`). Nothing here knows the worker: the runners bring the facts
(`alcyon.runners.telling`), the logic does not know of either. A gauge is NaN while its value is not
known. No label and no log line ever holds an id of a payment or of a person.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from threading import Lock
from typing import Protocol, TextIO, cast

import numpy as np
import structlog
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Info, ProcessCollector
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

TOPICS = ("transactions", "labels", "control")
ACTIONS = ("APPROVE", "STEP_UP", "REVIEW", "DECLINE")
PARTS = ("poll", "decode", "decide", "commit", "snapshot")
"""The parts of a worker's step."""
VERSIONS = ("engine", "catalog", "rules", "lists", "policy", "model", "rates", "challenger")
STORES = ("sqlite", "postgres", "redis", "office")
APPLIED, REFUSED = "applied", "refused"
WRITTEN, FAILED = "written", "failed"
PROMOTE, KEEP = "promote", "keep"
LESSONS = ("retrained", "online")
"""How a challenger was made."""
OTHER = "other"
"""Whatever is not known beforehand: labels stay few, the log line has the name."""
REASONS = (
    "amount_out_of_range", "conflicting_duplicate", "control_character", "control_refused",
    "empty_id", "event_time_out_of_range", "id_too_long", "invalid_avro", "invalid_control",
    "invalid_json", "labelled_at_out_of_range", "latitude_out_of_range", "longitude_out_of_range",
    "merchant_latitude_out_of_range", "merchant_longitude_out_of_range", "missing_field",
    "negative_amount", "no_holder", "no_rate", "payload_too_large", "schema_mismatch",
    "text_too_long", "unknown_currency", "unknown_schema", "unknown_source",
    "utc_offset_minutes_out_of_range", "wrong_type", OTHER,
)  # fmt: skip
"""Why a record became a dead letter; a detector's own columns have reasons of their own."""
KINDS = (
    "fenced", "unreachable", "log", "state", "snapshot", "model", "conflict", "settings", "catalog",
    "input", "store", "access", "slow", OTHER,
)  # fmt: skip
"""What a process ended by, or what could not be done."""
LATENCY_BUCKETS_S = (
    0.005, 0.01, 0.025, 0.04, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
BATCH_BUCKETS = tuple(float(2**k) for k in range(13))
"""1 … 4,096 records."""

NAN = float("nan")


class Counts:
    """A counter with one label; its values are known, so each is there from the start, at 0."""

    def __init__(self, counter: Counter, values: Sequence[str]) -> None:
        self._counters = {value: counter.labels(value) for value in values}

    def add(self, value: str, amount: float = 1) -> None:
        """Count; an unknown value counts as `other`, KeyError where there is no such."""
        self._counters[value if value in self._counters else OTHER].inc(amount)


class Levels:
    """A gauge with one label, of known values."""

    def __init__(self, gauge: Gauge, values: Sequence[str], initial: float) -> None:
        self._gauges = {value: gauge.labels(value) for value in values}
        for each in self._gauges.values():
            each.set(initial)

    def set(self, value: str, level: float) -> None:
        """KeyError for an unknown value."""
        self._gauges[value].set(level)


class Histogram(Collector):
    """A histogram that takes a whole batch at once. Thread-safe."""

    def __init__(self, name: str, words: str, bounds: Sequence[float]) -> None:
        self._name, self._words = name, words
        self._bounds = np.array(bounds, np.float64)
        self._counts = np.zeros(len(bounds) + 1, np.int64)
        self._sum, self._lock = 0.0, Lock()

    def observe(self, values: NDArray[np.float64]) -> None:
        """Add float64[n]; a value at a bound is in that bound's bucket."""
        places = np.searchsorted(self._bounds, values)
        counts = np.bincount(places, minlength=len(self._counts))
        with self._lock:
            self._counts += counts
            self._sum += float(values.sum())

    def collect(self) -> Iterable[Metric]:
        """As Prometheus reads it: each bucket with all that are below."""
        with self._lock:
            upto, total = np.cumsum(self._counts).tolist(), self._sum
        bounds = [*map(repr, self._bounds.tolist()), "+Inf"]
        buckets = list(zip(bounds, upto, strict=True))
        yield HistogramMetricFamily(self._name, self._words, buckets=buckets, sum_value=total)


class _Registry(CollectorRegistry):
    """Leaves out `…_created`, a second series for each counter, which nobody asks for."""

    def collect(self) -> Iterable[Metric]:
        for metric in super().collect():
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric


class Telemetry:
    """All metrics of one process, on a registry of their own. Thread-safe."""

    def __init__(self) -> None:
        self.registry: CollectorRegistry = _Registry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        self._add_worker()
        self._add_state()
        self._add_around()
        self._add_learner()
        self._add_api()

    def _add_worker(self) -> None:
        counts, counter = self._counts, self._counter
        self.records = counts("worker_records", "Records read", "topic", TOPICS)
        self.decisions = counts("worker_decisions", "Decisions committed", "action", ACTIONS)
        self.alerts = counter("worker_alerts", "Decisions other than APPROVE")
        self.dead_letters = counts(
            "worker_dead_letters", "Records that could not be used", "reason", REASONS
        )
        self.duplicates = counter("worker_duplicates", "Transactions seen before")
        self.labels = counter("worker_labels", "Labels taken in")
        self.controls = counts("worker_controls", "Control records", "outcome", (APPLIED, REFUSED))
        self.batches = counter("worker_batches", "Steps that had records")
        self.step_seconds = counts(
            "worker_step_seconds", "Time of steps, waiting for records (poll) included", "part",
            PARTS,
        )  # fmt: skip
        self.latency = self._histogram(
            "worker_decision_latency_seconds",
            "From when the log took a record to when its batch was committed", LATENCY_BUCKETS_S,
        )  # fmt: skip
        self.batch_records = self._histogram(
            "worker_batch_records", "Records of a batch", BATCH_BUCKETS
        )
        self.recoveries = counter("worker_recoveries", "Recoveries that ended well")
        self.replayed = counter("worker_replayed_records", "Records replayed by recoveries")
        self.refused_snapshots = counter(
            "worker_refused_snapshots", "Snapshots that a recovery could not use"
        )
        self.snapshots = counts("worker_snapshots", "Snapshots", "outcome", (WRITTEN, FAILED))

    def _add_state(self) -> None:
        gauge = self._gauge
        self.lag_seconds = gauge("worker_lag_seconds", "Age of the oldest record known to wait")
        self.lag_records = gauge("worker_lag_records", "Records that wait")
        self.next_sequence = gauge("worker_next_sequence", "Sequence of the next record")
        self.front = gauge(
            "worker_front_timestamp_seconds", "Largest event time accepted, unix time"
        )
        self.state_bytes = gauge("worker_state_bytes", "Memory taken by the state")
        self.snapshot_seconds = gauge(
            "worker_snapshot_duration_seconds", "What the last whole snapshot took"
        )
        self.snapshot_bytes = gauge("worker_snapshot_bytes", "Size of the last whole snapshot")
        self.snapshot_at = gauge(
            "worker_snapshot_timestamp_seconds", "When the last whole snapshot ended, unix time"
        )
        self.model_missing = gauge(
            "worker_model_missing_bool", "1: the model that should decide is not there", 0
        )
        self._versions = Info("alcyon_versions", "What decides", registry=self.registry)

    def _add_around(self) -> None:
        counts, counter, gauge = self._counts, self._counter, self._gauge
        self.readiness = gauge("run_readiness_bool", "1: ready, as /readyz tells", 0)
        self.failures = counts("run_failures", "Errors that ended a part", "kind", KINDS)
        self.lost_lines = counter("log_lost_lines", "Log lines that could not be written")
        self.broker_outages = counter("broker_outages", "Times the broker went out of reach")
        self.broker_away = gauge("broker_away_bool", "1: the broker is out of reach", 0)
        stored = counts("projection_commits", "Commits stored", "store", STORES)
        self.projection_commits = stored
        self.projection_rows = counts("projection_rows", "Rows stored", "store", STORES)
        outages = counts(
            "projection_outages", "Times a store could not be written", "store", STORES
        )
        self.projection_outages = outages
        self.projection_away = self._levels(
            "projection_away_bool", "1: the store cannot be written", 0
        )
        self.projection_failures = counts(
            "projection_failures", "Times one halted before commits it has not stored", "store",
            STORES,
        )  # fmt: skip
        self.projection_halted = self._levels(
            "projection_halted_bool", "1: it does not go on; see the log", 0
        )
        self.projection_lag = self._levels("projection_lag_commits", "Commits not stored yet", NAN)

    def _add_learner(self) -> None:
        counts, counter, gauge = self._counts, self._counter, self._gauge
        self.learnt_commits = counter("learner_commits", "Commits read")
        self.learnt_decisions = counter("learner_decisions", "Decisions read")
        self.learnt_labels = counter("learner_labels", "Labels read")
        self.learner_rows = gauge("learner_history_rows", "Decisions in memory", 0)
        self.unknown_labels = gauge(
            "learner_unknown_labels", "Labels of transactions that no decision is known on", 0
        )
        self.learner_lag = gauge("learner_lag_commits", "Commits not read yet")
        self.findings = counts("learner_findings", "Challengers judged", "outcome", (PROMOTE, KEEP))
        self.published = counts(
            "learner_published_models", "Challengers published", "kind", LESSONS
        )
        self.promotions = counter("learner_promotions", "Challengers promoted by approval")
        self.roll_backs = counter("learner_roll_backs", "Champions rolled back")
        self.learner_outages = counter(
            "learner_outages", "Times the logs, the registry or the intake went out of reach"
        )
        self.learner_away = gauge(
            "learner_away_bool", "1: the logs, the registry or the intake are out of reach", 0
        )

    def _add_api(self) -> None:
        self.provisional = self._counter("api_provisional_answers", "Answers before the decision")
        self.watchers = self._gauge("api_watchers", "WebSocket clients that are there", 0)
        self.slow_watchers = self._counter("api_dropped_watchers", "WebSocket clients cut off")

    def versions(self, named: Mapping[str, str]) -> None:
        """What decides from now on, by `VERSIONS`."""
        self._versions.info({name: named[name] for name in VERSIONS})

    def _counter(self, name: str, words: str) -> Counter:
        return Counter(f"alcyon_{name}", words, registry=self.registry)

    def _counts(self, name: str, words: str, label: str, values: Sequence[str]) -> Counts:
        counter = Counter(f"alcyon_{name}", words, (label,), registry=self.registry)
        return Counts(counter, values)

    def _gauge(self, name: str, words: str, initial: float = NAN) -> Gauge:
        gauge = Gauge(f"alcyon_{name}", words, registry=self.registry)
        gauge.set(initial)
        return gauge

    def _levels(self, name: str, words: str, initial: float) -> Levels:
        gauge = Gauge(f"alcyon_{name}", words, ("store",), registry=self.registry)
        return Levels(gauge, STORES, initial)

    def _histogram(self, name: str, words: str, bounds: Sequence[float]) -> Histogram:
        histogram = Histogram(f"alcyon_{name}", words, bounds)
        self.registry.register(histogram)
        return histogram


class Log(Protocol):
    """Where lines go: an event in a few words, and keys from `KEYS`.

    `now_ms` (UTC ms) is when it happened; without it, now.
    """

    def info(self, event: str, **keys: object) -> object:
        """As it should be."""
        ...

    def warning(self, event: str, **keys: object) -> object:
        """Somebody should look at it some time."""
        ...

    def error(self, event: str, **keys: object) -> object:
        """Somebody should look at it now."""
        ...


KEYS = frozenset(VERSIONS) | {
    "away_s", "bytes", "count", "epoch", "error", "first_sequence", "host", "kind", "last_sequence",
    "name", "next_sequence", "now_ms", "port", "position", "reasons", "replayed", "seconds",
    "signal", "snapshot", "store", "where", "why",
}  # fmt: skip
"""The only keys that reach a line; another is left out, and named under `withheld`."""

_READ_MAX, _TEXT_MAX = 4000, 600
_Event = MutableMapping[str, object]


def make_log(stream: TextIO, is_terminal: bool, on_lost: Callable[[], None]) -> Log:
    """Lines for a person at a terminal, JSON elsewhere.

    on_lost: called for a line that `stream` does not take; a worker does not end for it.
    """
    render = (
        structlog.dev.ConsoleRenderer(timestamp_key="time", pad_event_to=0)
        if is_terminal
        else structlog.processors.JSONRenderer()
    )
    logger = structlog.wrap_logger(
        _Lines(stream, on_lost),
        processors=[_safe, structlog.processors.add_log_level, _timed, render],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        context_class=dict,
    )
    return cast(Log, logger)


class _Lines:
    """The end of the way: one write for each line."""

    def __init__(self, stream: TextIO, on_lost: Callable[[], None]) -> None:
        self._stream, self._on_lost, self._lock = stream, on_lost, Lock()

    def info(self, line: str) -> None:
        try:
            with self._lock:
                self._stream.write(f"{line}\n")
                self._stream.flush()
        except (OSError, ValueError):  # the reader is gone, or the stream is closed
            self._on_lost()

    warning = error = info


def _safe(_logger: object, _method: str, event: _Event) -> _Event:
    """Let only known keys and plain values through."""
    named = {key: _plain(value) for key, value in event.items() if key in KEYS}
    withheld = sorted(key for key in event if key not in KEYS and key != "event")
    if withheld:
        named["withheld"] = _clean(" ".join(withheld))
    return {"event": _clean(str(event["event"])), **named}


def _timed(_logger: object, _method: str, event: _Event) -> _Event:
    now_ms = event.pop("now_ms", None)
    seconds = now_ms / 1000 if isinstance(now_ms, int | float) else time.time()
    at = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return {"time": at.replace("+00:00", "Z"), "level": event.pop("level"), **event}


def _plain(value: object) -> object:
    match value:
        case None | bool():
            return value
        case int() | float():
            return value if abs(value) < 10**15 else _clean(str(value))
        case str():
            return _clean(value)
        case Mapping():
            return {_clean(str(key)): _plain(count) for key, count in value.items()}
    return f"({type(value).__name__})"


_SNAPSHOT = re.compile(r"[0-9]{10}-[0-9]{20}\.[a-z]+")
_DIGITS = re.compile(r"[0-9](?:[ -]?[0-9]){11,}")
_TOKEN = re.compile(r"k[0-9]+_[0-9a-f]{16,}")
_PASSWORD = re.compile(r"://[^/\s@]*@")
_BREAK = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")


def _clean(text: str) -> str:
    """One line of bounded length without card numbers, tokens and passwords."""
    if _SNAPSHOT.fullmatch(text):
        return text
    cut = _PASSWORD.sub("://…@", _BREAK.sub(" ", text[:_READ_MAX]).strip())
    cut = _DIGITS.sub(_masked, _TOKEN.sub("[token]", cut))
    return cut if len(cut) <= _TEXT_MAX else f"{cut[:_TEXT_MAX]}…"


def _masked(run: re.Match[str]) -> str:
    """Masked if any 12 to 19 digits in it, the first no 0, may be a card number."""
    digits = re.sub("[ -]", "", run[0])
    found = (
        _passes_luhn(digits[start:end])
        for start in range(len(digits) - 11)
        if digits[start] != "0"
        for end in range(start + 12, min(start + 19, len(digits)) + 1)
    )
    return "[number]" if any(found) else run[0]


def _passes_luhn(digits: str) -> bool:
    doubled = sum(sum(divmod(2 * int(c), 10)) for c in digits[-2::-2])
    return (doubled + sum(int(c) for c in digits[-1::-2])) % 10 == 0
