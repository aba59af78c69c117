"""Business: what was decided over whose money, by which rules, and who was told."""

from __future__ import annotations

from deploy.grafana.board import Board, Row, Shelf
from deploy.grafana.look import Bars, Lines, Number
from deploy.grafana.overview import DECISIONS, MONEY_BY_ACTION
from deploy.grafana.panel import ACTIONS, GREEN, MONEY, ORANGE, RED, Limits, Panel
from deploy.grafana.promql import largest, level, or_zero, per_minute, quantile, rate, share, total

RULES, MESSAGES = "alcyon_worker_rule_hits_total", "alcyon_delivery_messages_total"
REQUESTS, ANSWERS = "alcyon_api_requests_total", "alcyon_api_request_seconds"
PROVISIONAL = "alcyon_api_provisional_answers_total"
TOLD = {"told": GREEN, "ungrounded": ORANGE, "timeout": ORANGE, "failed": RED}


def part(action: str) -> str:
    """Share of decisions with this action over the time shown."""
    return share(total(DECISIONS, where=f'action="{action}"'), total(DECISIONS))


NOW = Row(
    "Over the time shown",
    (
        Shelf(
            4,
            (
                *(
                    Panel(
                        title,
                        f"Share of decisions that are {action}.",
                        {"": part(action)},
                        Number(is_total=True),
                        unit="percentunit",
                        decimals=2,
                    )
                    for title, action in (
                        ("Approved", "APPROVE"),
                        ("Stepped up", "STEP_UP"),
                        ("To review", "REVIEW"),
                        ("Declined", "DECLINE"),
                    )
                ),
                Panel(
                    "Money decided on",
                    "Amounts of all payments, in the base currency.",
                    {"": total(MONEY_BY_ACTION)},
                    Number(is_total=True),
                    unit=MONEY,
                ),
                Panel(
                    "Money declined",
                    "Amounts of what was declined, in the base currency.",
                    {"": total(MONEY_BY_ACTION, where='action="DECLINE"')},
                    Number(is_total=True),
                    unit=MONEY,
                ),
            ),
        ),
    ),
)

DECIDED = Row(
    "Decisions and money",
    (
        Shelf(
            8,
            (
                Panel(
                    "Share of decisions",
                    "By action, without APPROVE, which is the rest.",
                    {
                        "{{action}}": share(
                            rate(DECISIONS, "action", 'action!="APPROVE"'), rate(DECISIONS)
                        )
                    },
                    Lines(is_stacked=True),
                    unit="percentunit",
                    colors=ACTIONS,
                    runbook="AlcyonApprovalRateJump",
                ),
                Panel(
                    "Money per minute",
                    "By action, without APPROVE.",
                    {"{{action}}": per_minute(MONEY_BY_ACTION, "action", 'action!="APPROVE"')},
                    Lines(is_stacked=True),
                    unit=MONEY,
                    colors=ACTIONS,
                ),
                Panel(
                    "Money by action",
                    "Over the time shown, in the base currency.",
                    {"{{action}}": total(MONEY_BY_ACTION, "action")},
                    Bars(),
                    unit=MONEY,
                    colors=ACTIONS,
                    wide=6,
                ),
            ),
        ),
    ),
)

BY_RULES = Row(
    "Rules and alerts",
    (
        Shelf(
            8,
            (
                Panel(
                    "Rules that hit most",
                    "Hits of live rules over the time shown; a payment may be hit by several.",
                    {"{{rule}}": largest(f"topk(12, {total(RULES, 'rule')})", "rule")},
                    Bars(),
                    decimals=0,
                ),
                Panel(
                    "Rule hits",
                    "Per minute, of the rules that hit most. A rule that rises alone: an attack, "
                    "or a change of the rule.",
                    {"{{rule}}": or_zero(f"topk(8, {per_minute(RULES, 'rule')})", "rule")},
                    Lines(legend="right"),
                    unit="count:/min",
                ),
                Panel(
                    "Alerts",
                    "Decisions other than APPROVE per minute: what comes to the analysts.",
                    {"alerts": per_minute("alcyon_worker_alerts_total")},
                    Lines(),
                    unit="count:/min",
                    wide=6,
                ),
            ),
        ),
    ),
)

DELIVERED = Row(
    "Messages to the outside",
    (
        Shelf(
            7,
            (
                Panel(
                    "Messages",
                    "Over the time shown, by channel and outcome. Given up: after "
                    "delivery.attempts_max attempts; the audit log names them.",
                    {"{{channel}} {{outcome}}": total(MESSAGES, "channel, outcome")},
                    Bars(),
                    decimals=0,
                    runbook="AlcyonDeliveryGivenUp",
                ),
                Panel(
                    "Messages that wait",
                    "In the outbox; one per channel and delivery.window_s is usual.",
                    {"messages": level("alcyon_delivery_outbox_messages")},
                    Lines(),
                    unknown="no API",
                    runbook="AlcyonOutboxStuck",
                ),
                Panel(
                    "Oldest message",
                    "Age of the oldest in the outbox. It grows while its receiver is away.",
                    {"age": level("alcyon_delivery_oldest_seconds")},
                    Lines(),
                    unit="s",
                    limits=Limits(warn=900),
                    unknown="no API",
                    runbook="AlcyonOutboxStuck",
                ),
            ),
        ),
    ),
)

API = Row(
    "API",
    (
        Shelf(
            7,
            (
                Panel(
                    "Requests",
                    "Per second, the ten routes asked most.",
                    {"{{method}} {{route}}": f"topk(10, {rate(REQUESTS, 'method, route')})"},
                    Lines(legend="right"),
                    unit="count:/s",
                    runbook="AlcyonApiAvailabilityBurn",
                ),
                Panel(
                    "Time to an answer",
                    "From a request to its answer, all routes.",
                    {f"p{n}": quantile(n / 100, ANSWERS) for n in (50, 95, 99)},
                    Lines(),
                    unit="s",
                    limits=Limits(warn=0.1),
                    unknown="nobody asked",
                    runbook="AlcyonApiAvailabilityBurn",
                ),
                Panel(
                    "Answers by status",
                    "Per second. 5xx are ours.",
                    {"{{status}}": rate(REQUESTS, "status")},
                    Lines(),
                    unit="count:/s",
                    runbook="AlcyonApiAvailabilityBurn",
                ),
            ),
        ),
        Shelf(
            7,
            (
                Panel(
                    "Provisional answers",
                    "Per minute: callers that waited serve.decision_timeout_ms and were told "
                    "before the decision was there. The decision follows all the same.",
                    {"answers": per_minute(PROVISIONAL)},
                    Lines(),
                    unit="count:/min",
                    runbook="AlcyonProvisionalAnswers",
                ),
                Panel(
                    "Turned away",
                    "Per minute: too many requests, and wrong names or passwords.",
                    {
                        "rate limit": per_minute("alcyon_api_rate_limited_total"),
                        "sign-in": per_minute("alcyon_api_refused_sign_ins_total"),
                    },
                    Lines(),
                    unit="count:/min",
                    runbook="AlcyonSignInsRefused",
                ),
                Panel(
                    "Live feeds",
                    "WebSocket clients that are there now.",
                    {"clients": level("alcyon_api_watchers")},
                    Lines(),
                    unit="none",
                ),
                Panel(
                    "Explanations in prose",
                    "Calls of the language model over the time shown. What is not told (too "
                    "slow, failed, or not grounded in the decision) is said by a template.",
                    {"{{outcome}}": total("alcyon_api_prose_calls_total", "outcome")},
                    Bars(),
                    decimals=0,
                    colors=TOLD,
                ),
            ),
        ),
    ),
)

BOARD = Board(
    "business",
    "Business",
    "What was decided over whose money, by which rules, and who was told.",
    (NOW, DECIDED, BY_RULES, DELIVERED, API),
    span="24h",
    refresh="1m",
)
