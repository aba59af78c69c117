"""How soon alerts come, as the reference says, held against what promtool makes of the rules."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.prometheus.delays import EVERY_S, Delay, delays, deployed
from services.monitors import hastened
from tests.deploy.rule_files import RULES, alerts
from tests.deploy.test_rules import said

SCRAPE_S = 5
BEFORE_S = 7200
"""So long that the usual stays what it was while a fault is a few minutes old."""
OF = {(d.alert, d.severity): d for d in deployed()}
WORKER = 'job="alcyon_worker",process="worker",instance="w"'
API = 'job="alcyon_api",process="api",instance="a"'
RECORDS = f'alcyon_worker_records_total{{{WORKER},topic="transactions"}}'
POISON = f'alcyon_worker_dead_letters_total{{{WORKER},reason="invalid_json"}}'
DECIDED = f"alcyon_worker_decision_latency_seconds_count{{{WORKER}}}"
IN_TIME = f'alcyon_worker_decision_latency_seconds_bucket{{{WORKER},le="0.1"}}'
SCORED = f"alcyon_worker_scores_count{{{WORKER}}}"
LOW = f'alcyon_worker_scores_bucket{{{WORKER},le="0.5"}}'
POST = 'route="/v1/decisions",method="POST"'
GOOD, BAD = (f'alcyon_api_requests_total{{{API},{POST},status="{s}xx"}}' for s in (2, 5))
UP, READY = f"up{{{WORKER}}}", f"alcyon_run_readiness_bool{{{WORKER}}}"

Rates = dict[str, tuple[float, float]]
"""Growth of counters in a scrape, before the fault and from then on."""
EVERYTHING: dict[str, Rates] = {
    "AlcyonDeadLetters": {RECORDS: (100, 100), POISON: (0, 100)},
    "AlcyonDecisionLatencyBurn": {DECIDED: (100, 100), IN_TIME: (100, 0)},
    "AlcyonApiAvailabilityBurn": {GOOD: (100, 0), BAD: (0, 100)},
}
JUST_ENOUGH: dict[str, Rates] = {
    "AlcyonDeadLetters": {RECORDS: (1000, 1000), POISON: (0, 102)},
    "AlcyonFraudRateJump": {SCORED: (1000, 1000), LOW: (990, 890)},
    "AlcyonNoTraffic": {RECORDS: (100, 0)},
}
"""Faults that the whole range must hold."""


def test_each_alert_has_its_delay_from_its_rule() -> None:
    assert list(OF) == [(rule["alert"], rule["labels"]["severity"]) for rule in alerts()]
    critical = "critical"
    assert OF["AlcyonTargetDown", critical] == Delay("AlcyonTargetDown", critical, 0, None, 30)
    assert OF["AlcyonDeadLetters", "warning"] == Delay("AlcyonDeadLetters", "warning", 300, 3.0, 0)
    burn = OF["AlcyonDecisionLatencyBurn", critical]
    assert (burn.range_s, burn.for_s) == (3600, 0), "the quickest of its windows"
    assert burn.total_s == pytest.approx(0.144 * 3600)
    stopped = Delay("AlcyonLabelsStopped", "warning", 86_400, None, 300)
    assert OF["AlcyonLabelsStopped", "warning"] == stopped


def test_in_haste_delays_are_those_of_the_hastened_rules() -> None:
    found = {(d.alert, d.severity): d for d in delays(hastened(f.read_text(), 60) for f in RULES)}
    assert found["AlcyonLabelsStopped", "warning"].fires_s(1) == 1440 + 5 + 2


def rules_of(name: str) -> Path:
    """The file that has an alert; what it reads is recorded there."""
    return next(file for file in RULES if f"- alert: {name}\n" in file.read_text())


def silent_then_firing(severity: str, name: str, series: Any, silent_s: float, fires_s: float,
                       begin_s: int) -> dict[str, Any]:  # fmt: skip
    """A case of promtool's: at these seconds after the fault."""
    expr = f'count(ALERTS{{alertname="{name}",severity="{severity}",alertstate="firing"}})'
    silent = begin_s + silent_s // EVERY_S * EVERY_S
    checks = [(silent, []), (begin_s + -(-fires_s // EVERY_S) * EVERY_S, [{"value": 1}])]
    return {
        "name": f"{name} {severity}",
        "interval": f"{SCRAPE_S}s",
        "external_labels": {"runbooks": "https://runbook.example"},
        "input_series": series,
        "promql_expr_test": [
            {"expr": expr, "eval_time": f"{at:.0f}s", "exp_samples": samples}
            for at, samples in checks
        ],
    }


def grown(rates: Rates, before_s: int, after_s: float) -> list[dict[str, str]]:
    """Counters as promtool has them; the first scrape after the fault shows it."""
    before, after = before_s // SCRAPE_S, int(after_s // SCRAPE_S) + 2 * EVERY_S
    return [
        {"series": name, "values": f"0+{old}x{before} {old * before + new}+{new}x{after}"}
        for name, (old, new) in rates.items()
    ]


def test_promtool_finds_them_firing_when_it_is_said_and_not_long_before(
    client: Callable[[str, str], str], tmp_path: Path
) -> None:
    cases = defaultdict[Path, list[dict[str, Any]]](list)
    for faults, is_total in ((EVERYTHING, True), (JUST_ENOUGH, False)):
        for name, rates in faults.items():
            delay = OF[name, "critical"]
            seen_s = delay.total_s if is_total else delay.range_s
            assert seen_s, name
            fires_s = delay.fires_s(is_total=is_total)
            series = grown(rates, BEFORE_S, fires_s)
            cases[rules_of(name)].append(
                silent_then_firing("critical", name, series, 0.8 * seen_s, fires_s, BEFORE_S)
            )
    down = [
        {"series": UP, "values": "1x60 0x60"},
        {"series": READY, "values": "1x60 0x60"},
    ]
    for name in ("AlcyonTargetDown", "AlcyonNotReady"):
        delay = OF[name, "critical"]
        case = silent_then_firing("critical", name, down, delay.for_s, delay.fires_s(), 300)
        cases[rules_of(name)].append(case)
    for rules, of_rules in cases.items():  # all rules in each case would take minutes
        given = {"rule_files": [str(rules)], "evaluation_interval": f"{EVERY_S}s"}
        # JSON is YAML.
        (tmp_path / rules.name).write_text(json.dumps({**given, "tests": of_rules}))
    files = [tmp_path / rules.name for rules in cases]
    assert len(files) > 3
    said(client("promtool", "prometheus"), "test", "rules", *files)
