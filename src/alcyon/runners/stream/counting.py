"""Counting: what a worker's steps come to as metrics, batch by batch."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.decision import Action
from alcyon.domain.record import Topic
from alcyon.runners.stream.deciding import CONTROL_REFUSED, INVALID_CONTROL
from alcyon.runners.stream.worker import Stepped
from alcyon.telemetry.words import APPLIED, REFUSED
from alcyon.telemetry.worker import WorkerMetrics

REFUSED_CONTROLS = (INVALID_CONTROL, CONTROL_REFUSED)


class Counting:
    """Called by one thread."""

    def __init__(self, metrics: WorkerMetrics) -> None:
        self._metrics = metrics
        self._rules: tuple[str, ...] = ()

    def count(self, stepped: Stepped, now_ms: int) -> None:
        """A step has ended, just now."""
        metrics = self._metrics
        for part, seconds in stepped.seconds.items():
            metrics.stages.add(part, seconds)
        metrics.next_sequence.set(stepped.next_sequence)
        if stepped.front is not None:
            metrics.front.set(stepped.front / 1000)
        if stepped.live_rules is not self._rules:
            self._rules = stepped.live_rules
            metrics.rule_hits.know(self._rules)
        if stepped.records:
            self._records(stepped)
            self._decisions(stepped)
            self._times(stepped, now_ms)

    def _records(self, stepped: Stepped) -> None:
        metrics = self._metrics
        metrics.batches.inc()
        metrics.batch_records.add(stepped.records)
        for topic, count in _by_topic(stepped).items():
            if count:
                metrics.records.add(topic, count)
        if stepped.duplicates:
            metrics.duplicates.inc(stepped.duplicates)
        if stepped.labels:
            metrics.labels.add(APPLIED, stepped.labels)
        if stepped.controls:
            metrics.controls.add(APPLIED, stepped.controls)
        if not stepped.dead_letters:
            return
        refused = sum(letter.topic == Topic.LABELS.name for letter in stepped.dead_letters)
        if refused:
            metrics.labels.add(REFUSED, refused)
        for reason, count in Counter(each.reason for each in stepped.dead_letters).items():
            metrics.dead_letters.add(reason, count)
            if reason in REFUSED_CONTROLS:
                metrics.controls.add(REFUSED, count)

    def _decisions(self, stepped: Stepped) -> None:
        metrics, measured = self._metrics, stepped.measured
        for action, count in stepped.actions.items():
            metrics.decisions.add(action, count)
        for action, amount in measured.amounts.items():
            metrics.amount.add(action, amount / stepped.base_minor_units)
        alerts = stepped.decisions - stepped.actions.get(Action.APPROVE.value, 0)
        if alerts:
            metrics.alerts.inc(alerts)
        if measured.late:
            metrics.late.inc(measured.late)
        metrics.rule_hits.know(measured.rule_hits)  # some may have been replaced in this batch
        for rule, hits in measured.rule_hits.items():
            metrics.rule_hits.add(rule, hits)
        for probabilities in measured.probabilities:
            metrics.scores.observe(probabilities)
        if measured.inference_s:
            metrics.inference.add(measured.inference_s)

    def _times(self, stepped: Stepped, now_ms: int) -> None:
        committed_ms = now_ms - 1000 * stepped.committed_ago_s
        if len(stepped.times):
            self._metrics.latency.observe(_ages_s(committed_ms, stepped.times))
        for event_times in stepped.measured.event_times:
            self._metrics.event_latency.observe(_ages_s(committed_ms, event_times))


def _ages_s(now_ms: float, times: NDArray[np.int64]) -> NDArray[np.float64]:
    """To whole milliseconds; another's clock may be ahead."""
    ages: NDArray[np.float64] = np.maximum(np.rint(now_ms - times), 0.0) / 1000
    return ages


def _by_topic(stepped: Stepped) -> dict[str, int]:
    dead = Counter(letter.topic for letter in stepped.dead_letters)
    labels = stepped.labels + dead[Topic.LABELS.name]
    controls = stepped.controls + dead[Topic.CONTROL.name]
    return {
        "transactions": stepped.records - labels - controls,
        "labels": labels,
        "control": controls,
    }
