"""The learner's metrics: what it read, what it made and found, and how payments drift."""

from __future__ import annotations

from alcyon.telemetry.instruments import Maker
from alcyon.telemetry.words import ACCEPTED, KEEP, LESSONS, PROMOTE, REFUSED


class LearnerMetrics:
    """Thread-safe."""

    def __init__(self, make: Maker) -> None:
        self._add_read(make)
        self._add_made(make)
        self._add_drift(make)

    def _add_read(self, make: Maker) -> None:
        counter, gauge = make.counter, make.gauge
        self.commits = counter("learner_commits", "Commits read")
        self.decisions = counter("learner_decisions", "Decisions read")
        self.labels = counter("learner_labels", "Labels read")
        self.rows = gauge("learner_history_rows", "Decisions in memory", 0)
        self.unknown_labels = gauge(
            "learner_unknown_labels", "Labels of transactions that no decision is known on", 0
        )
        self.lag = gauge("learner_lag_commits", "Commits not read yet")
        self.outages = counter(
            "learner_outages", "Times the logs, the registry or the intake went out of reach"
        )
        self.away = gauge(
            "learner_away_bool", "1: the logs, the registry or the intake are out of reach", 0
        )

    def _add_made(self, make: Maker) -> None:
        counts, counter = make.counts, make.counter
        self.findings = counts("learner_findings", "Challengers judged", "outcome", (PROMOTE, KEEP))
        self.published = counts(
            "learner_published_models", "Challengers published", "kind", LESSONS
        )
        self.online_updates = counts(
            "learner_online_updates",
            "Challengers taught online, and those that were not good enough to publish", "outcome",
            (ACCEPTED, REFUSED),
        )  # fmt: skip
        self.promotions = counter("learner_promotions", "Challengers promoted by approval")
        self.roll_backs = counter("learner_roll_backs", "Champions rolled back")
        self.champion_at = make.gauge(
            "learner_champion_timestamp_seconds", "When the champion was registered, unix time"
        )

    def _add_drift(self, make: Maker) -> None:
        self.feature_drift = make.levels(
            "learner_feature_drift_psi",
            "PSI of a feature's last day beside what the champion learnt from, beyond what is "
            "usual between days", "feature", (),
        )  # fmt: skip
        self.score_drift = make.gauge(
            "learner_score_drift_psi", "As that, of the champion's log-odds"
        )
        self.drift_alarms = make.counter(
            "learner_drift_alarms",
            "Comparisons, every six hours of event time, in which a signal drifted",
        )
