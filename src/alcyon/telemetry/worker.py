"""The worker's metrics: what came in, what was decided, how long it took, and what it holds."""

from __future__ import annotations

from collections.abc import Mapping

from alcyon.telemetry.instruments import Maker
from alcyon.telemetry.words import (
    ACTIONS,
    APPLIED,
    FAILED,
    OTHER,
    PARTS,
    REASONS,
    REFUSED,
    TOPICS,
    VERSIONS,
    WRITTEN,
)

LATENCY_BUCKETS_S = (
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06, 0.075,
    0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
"""Fine where a decision should be."""
EVENT_BUCKETS_S = (
    0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 900.0, 3600.0,
)  # fmt: skip
STAGE_BUCKETS_S = (
    0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.075,
    0.1, 0.25, 0.5, 1.0, 2.5,
)  # fmt: skip
BATCH_BUCKETS = tuple(float(2**k) for k in range(13))
"""1 … 4,096 records."""
SCORE_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.9, 0.99, 1.0)
"""Probabilities of fraud."""
RULES_MAX = 200


class WorkerMetrics:
    """Thread-safe."""

    def __init__(self, make: Maker) -> None:
        self._add_records(make)
        self._add_decisions(make)
        self._add_times(make)
        self._add_recovery(make)
        self._add_state(make)

    def _add_records(self, make: Maker) -> None:
        self.records = make.counts("worker_records", "Records read", "topic", TOPICS)
        self.dead_letters = make.counts(
            "worker_dead_letters", "Records that could not be used", "reason", REASONS
        )
        self.duplicates = make.counter("worker_duplicates", "Transactions seen before")
        self.late = make.counter(
            "worker_late",
            "Transactions decided whose event time was longer before the front than the catalog's "
            "lateness_max: they change no window",
        )
        outcomes = (APPLIED, REFUSED)
        self.labels = make.counts(
            "worker_labels", "Labels taken in, and those that became dead letters", "outcome",
            outcomes,
        )  # fmt: skip
        self.controls = make.counts("worker_controls", "Control records", "outcome", outcomes)
        self.batches = make.counter("worker_batches", "Steps that had records")
        self.batch_records = make.histogram(
            "worker_batch_records", "Records of a batch", BATCH_BUCKETS
        )

    def _add_decisions(self, make: Maker) -> None:
        self.decisions = make.counts("worker_decisions", "Decisions committed", "action", ACTIONS)
        self.alerts = make.counter("worker_alerts", "Decisions other than APPROVE")
        self.amount = make.counts(
            "worker_amount",
            "Money decided on, in whole units of the base currency; DECLINE is what was stopped",
            "action", ACTIONS,
        )  # fmt: skip
        self.rule_hits = make.counts(
            "worker_rule_hits",
            "Hits of live rules, by rule id from when it came into force; beyond "
            f"{RULES_MAX} rules as other",
            "rule", (OTHER,), RULES_MAX + 1,
        )  # fmt: skip
        self.scores = make.histogram(
            "worker_scores", "Probability of fraud by the champion, of each decision it scored",
            SCORE_BUCKETS,
        )  # fmt: skip

    def _add_times(self, make: Maker) -> None:
        self.latency = make.histogram(
            "worker_decision_latency_seconds",
            "From when the log took a record to when its batch was committed; empty over files, "
            "whose records carry no time: alcyon_worker_event_latency_seconds and "
            "alcyon_api_request_seconds tell there", LATENCY_BUCKETS_S,
        )  # fmt: skip
        self.event_latency = make.histogram(
            "worker_event_latency_seconds",
            "From a transaction's event time, by its sender's clock, to when its decision was "
            "committed", EVENT_BUCKETS_S,
        )  # fmt: skip
        self.stages = make.histograms(
            "worker_stage_seconds",
            "Time of a step by part; poll is the waiting for records too, commit as far as it was "
            "waited for", "part", PARTS, STAGE_BUCKETS_S,
        )  # fmt: skip
        self.inference = make.histogram(
            "worker_inference_seconds", "Time of the models in a batch, the challenger's included",
            STAGE_BUCKETS_S,
        )  # fmt: skip

    def _add_recovery(self, make: Maker) -> None:
        self.recoveries = make.counter("worker_recoveries", "Recoveries that ended well")
        self.replayed = make.counter("worker_replayed_records", "Records replayed by recoveries")
        self.recovery_seconds = make.gauge("worker_recovery_seconds", "What the last one took")
        self.refused_snapshots = make.counter(
            "worker_refused_snapshots", "Snapshots that a recovery could not use"
        )
        outcomes = (WRITTEN, FAILED)
        self.snapshots = make.counts("worker_snapshots", "Snapshots", "outcome", outcomes)
        self.snapshot_seconds = make.gauge(
            "worker_snapshot_duration_seconds", "What the last whole snapshot took"
        )
        self.snapshot_pause = make.gauge(
            "worker_snapshot_pause_seconds", "How long the last one kept decisions waiting, in all"
        )
        self.snapshot_bytes = make.gauge("worker_snapshot_bytes", "Size of the last whole snapshot")
        self.snapshot_at = make.gauge(
            "worker_snapshot_timestamp_seconds", "When the last whole snapshot ended, unix time"
        )

    def _add_state(self, make: Maker) -> None:
        gauge = make.gauge
        self.lag_seconds = gauge("worker_lag_seconds", "Age of the oldest record known to wait")
        self.lag_records = gauge("worker_lag_records", "Records that wait")
        self.next_sequence = gauge("worker_next_sequence", "Sequence of the next record")
        self.front = gauge(
            "worker_front_timestamp_seconds", "Largest event time accepted, unix time"
        )
        self.state_bytes = gauge("worker_state_bytes", "Memory taken by the state")
        self.model_missing = gauge(
            "worker_model_missing_bool", "1: the model that should decide is not there", 0
        )
        self._versions = make.info("versions", "What decides", VERSIONS)

    def versions(self, named: Mapping[str, str]) -> None:
        """What decides from now on, by `VERSIONS`."""
        self._versions.info({name: named[name] for name in VERSIONS})
