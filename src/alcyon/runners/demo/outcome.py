"""The outcome: one object that says how a demo went."""

from __future__ import annotations

import msgspec

from alcyon.domain.record import Topic
from alcyon.runners.demo.latencies import Percentiles
from alcyon.runners.demo.opening import Opened


class Outcome(msgspec.Struct, frozen=True):
    """All traffic of the setup, but latency and throughput: those of this run.

    Money is in minor units of the base currency; recall and false_positive_rate are those of
    simulated data, null before the first fraud or genuine payment.
    """

    transactions: int
    decisions: int
    alerts: int
    dead_letters: int
    recall: float | None
    false_positive_rate: float | None
    fraud_amount_minor: int
    fraud_amount_stopped_minor: int
    latency_ms: dict[str, float] | None
    """At full speed from the append to the intake, by the clock from when it was due."""
    transactions_per_second: float | None


def outcome(opened: Opened, per_second: float | None) -> Outcome:
    """The outcome once the demo has ended: all that was sent is decided."""
    figures = opened.scoreboard.figures()
    return Outcome(
        transactions=opened.worker.place.applied.get(Topic.TRANSACTIONS.name, 0),
        decisions=figures.decisions,
        alerts=figures.alerts,
        dead_letters=figures.dead_letters,
        recall=figures.recall,
        false_positive_rate=figures.false_positive_rate,
        fraud_amount_minor=figures.fraud_minor,
        fraud_amount_stopped_minor=figures.fraud_stopped_minor,
        latency_ms=_as_dict(opened.scoreboard.latencies.all()),
        transactions_per_second=None if per_second is None else round(per_second, 1),
    )


def _as_dict(found: Percentiles | None) -> dict[str, float] | None:
    if found is None:
        return None
    return {name: round(getattr(found, name), 2) for name in ("p50", "p95", "p99")}
