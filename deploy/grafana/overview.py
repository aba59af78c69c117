"""Overview: is it deciding, in time, and what is at stake? Details are on the other dashboards."""

from __future__ import annotations

from deploy.grafana.board import Board, Row, Shelf
from deploy.grafana.look import Lines, Number, States
from deploy.grafana.panel import ACTIONS, GREEN, MONEY, RED, Goal, Limits, Panel
from deploy.grafana.promql import (
    level,
    of,
    or_zero,
    per_minute,
    quantile,
    rate,
    share,
    total,
    within,
)

DECLINE = 'action="DECLINE"'
DECISIONS, MONEY_BY_ACTION = "alcyon_worker_decisions_total", "alcyon_worker_amount_total"
LATENCY = "alcyon_worker_decision_latency_seconds"
IN_TIME = Limits(0.1, 0.5)
"""A caller waits 0.1 s (`serve.decision_timeout_ms`), then it is answered provisionally."""
LATE = Limits(5, 30)
"""Not ready beyond 5 s (`status.lag_s_max`); both are bounds of the Prometheus alert."""
UP = of("up", 'job=~"alcyon.*"')
READY = or_zero(f"min({of('alcyon_run_readiness_bool')} >= 0 or {UP})")
"""Of a process that says so; whether it is up, of those that are down or do not."""
NO_BROKER = "nothing decided over a broker"
"""Logs in files do not say when they took a record, or how many wait."""
FIRING = 'ALERTS{alertstate="firing", alertname=~"Alcyon.*"}'

NOW = Row(
    "Now",
    (
        Shelf(
            5,
            (
                Panel(
                    "Ready",
                    "Whether every process that Prometheus reads is up and says that it is ready "
                    "(/readyz).",
                    {"": READY},
                    Number(),
                    names={0: ("No", RED), 1: ("Yes", GREEN)},
                    runbook="AlcyonNotReady",
                ),
                Panel(
                    "Decided per second",
                    "Decisions committed to the log.",
                    {"": rate(DECISIONS)},
                    Number(),
                    unit="count:/s",
                    runbook="AlcyonNoTraffic",
                ),
                Panel(
                    "Decided within 0.1 s",
                    "Share of decisions over the time shown that were committed within 0.1 s of "
                    "the log taking the payment. To be at least 99 %.",
                    {"": within(LATENCY, "0.1")},
                    Number(is_total=True),
                    unit="percentunit",
                    decimals=2,
                    limits=Goal(0.99),
                    unknown=NO_BROKER,
                    runbook="AlcyonDecisionLatencyBurn",
                ),
                Panel(
                    "Slowest of 100",
                    "99th percentile of the time from when the log took a payment to when its "
                    "decision was committed. Beyond 0.1 s callers of the API get provisional "
                    "answers.",
                    {"": quantile(0.99, LATENCY)},
                    Number(),
                    unit="s",
                    limits=IN_TIME,
                    unknown=NO_BROKER,
                    runbook="AlcyonDecisionLatencyBurn",
                ),
                Panel(
                    "Waiting since",
                    "Age of the oldest payment known to wait for its decision. 0: none waits.",
                    {"": level("alcyon_worker_lag_seconds")},
                    Number(),
                    unit="s",
                    limits=LATE,
                    unknown="no worker",
                    runbook="AlcyonLagging",
                ),
                Panel(
                    "Prometheus alerts",
                    "Alerts of Alcyon's Prometheus rules that fire. 0 also where the rules are "
                    "not loaded.",
                    {"": or_zero(f"count({FIRING})")},
                    Number(),
                    unit="none",
                    limits=Limits(bad=1),
                ),
            ),
        ),
        Shelf(
            4,
            (
                Panel(
                    "Declined as fraud",
                    "Share of decisions that are DECLINE, over the time shown. What was fraud in "
                    "truth is known weeks later, from labels.",
                    {"": share(total(DECISIONS, where=DECLINE), total(DECISIONS))},
                    Number(is_total=True),
                    unit="percentunit",
                    decimals=2,
                    runbook="AlcyonFraudRateJump",
                ),
                Panel(
                    "Money stopped",
                    "Amounts of what was declined over the time shown, in the base currency.",
                    {"": total(MONEY_BY_ACTION, where=DECLINE)},
                    Number(is_total=True),
                    unit=MONEY,
                ),
                Panel(
                    "Alerts for analysts",
                    "Decisions other than APPROVE over the time shown: each wants a human.",
                    {"": total("alcyon_worker_alerts_total")},
                    Number(is_total=True),
                    decimals=0,
                ),
                Panel(
                    "Dead letters",
                    "Records over the time shown that could not be used; the Worker dashboard "
                    "has the reasons.",
                    {"": total("alcyon_worker_dead_letters_total")},
                    Number(is_total=True),
                    decimals=0,
                    limits=Limits(1, 100),
                    runbook="AlcyonDeadLetters",
                ),
            ),
        ),
    ),
)

FLOW = Row(
    "Flow",
    (
        Shelf(
            8,
            (
                Panel(
                    "Decisions by action",
                    "Stacked; the height is all that was decided per second.",
                    {"{{action}}": rate(DECISIONS, "action")},
                    Lines(is_stacked=True),
                    unit="count:/s",
                    colors=ACTIONS,
                    runbook="AlcyonRequestRateJump",
                ),
                Panel(
                    "How long a payment waits",
                    "From when the log took a payment to when its decision was committed. The "
                    "lines: 0.1 s, after which callers get provisional answers, and 0.5 s.",
                    {
                        "p50": quantile(0.5, LATENCY),
                        "p95": quantile(0.95, LATENCY),
                        "p99": quantile(0.99, LATENCY),
                    },
                    Lines(),
                    unit="s",
                    limits=IN_TIME,
                    unknown=NO_BROKER,
                    runbook="AlcyonDecisionLatencyBurn",
                ),
            ),
        ),
        Shelf(
            7,
            (
                Panel(
                    "Share not approved",
                    "Of all decisions. A step where no new version is marked: see who pays, then "
                    "the Models & drift dashboard.",
                    {
                        "{{action}}": share(
                            rate(DECISIONS, "action", 'action!="APPROVE"'), rate(DECISIONS)
                        )
                    },
                    Lines(),
                    unit="percentunit",
                    colors=ACTIONS,
                    runbook="AlcyonApprovalRateJump",
                ),
                Panel(
                    "Inference, p95",
                    "Time of the models on one batch of payments.",
                    {"p95": quantile(0.95, "alcyon_worker_inference_seconds")},
                    Lines(),
                    unit="s",
                    unknown="nothing scored",
                    runbook="AlcyonDecisionLatencyBurn",
                ),
                Panel(
                    "Lag",
                    "Records that wait in the log, not yet decided on.",
                    {"records": level("alcyon_worker_lag_records")},
                    Lines(),
                    unknown=NO_BROKER,
                    runbook="AlcyonLagging",
                ),
            ),
        ),
        Shelf(
            7,
            (
                Panel(
                    "Money stopped per minute",
                    "Amounts held for review and declined, in the base currency.",
                    {
                        "{{action}}": per_minute(
                            MONEY_BY_ACTION, "action", 'action=~"REVIEW|DECLINE"'
                        )
                    },
                    Lines(is_stacked=True),
                    unit=MONEY,
                    colors=ACTIONS,
                ),
                Panel(
                    "Alerts per minute",
                    "Decisions other than APPROVE: what comes to the analysts.",
                    {"alerts": per_minute("alcyon_worker_alerts_total")},
                    Lines(),
                    unit="count:/min",
                ),
                Panel(
                    "Processes up",
                    "Whether Prometheus can read each process.",
                    {"{{job}} {{instance}}": UP},
                    States(),
                    names={0: ("down", RED), 1: ("up", GREEN)},
                    runbook="AlcyonTargetDown",
                ),
            ),
        ),
    ),
)

BOARD = Board(
    "overview",
    "Overview",
    "Is every payment decided, in time, and what is at stake?",
    (NOW, FLOW),
)
