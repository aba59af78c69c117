"""The deployed rules: what promtool says of them, and whether each alert is whole."""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.monitors import hastened
from tests.deploy.exposed import buckets, exposed
from tests.deploy.rule_files import (
    CASES,
    DEPLOY,
    PREFIX,
    RULES,
    RUNBOOK,
    alerts,
    cases,
    metrics_in,
    names,
    recorded,
    rules,
)

Client = Callable[[str, str], str]


def said(*command: str | Path) -> str:
    """What a checker prints, which must be content."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def promtool(client: Client) -> str:
    return client("promtool", "prometheus")


def test_promtool_accepts_configuration_and_rules(promtool: str) -> None:
    text = said(promtool, "check", "config", DEPLOY / "prometheus" / "prometheus.yml")
    assert f"{len(RULES)} rule files found" in text


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_each_alert_fires_and_ends_as_its_cases_say(promtool: str, file: Path) -> None:
    assert "SUCCESS" in said(promtool, "test", "rules", file)


def test_each_alert_has_a_case_where_it_is_silent_fires_and_is_silent_again() -> None:
    found: dict[str, list[list[bool]]] = defaultdict(list)
    for case in cases():
        by_alert: dict[str, list[bool]] = defaultdict(list)
        for check in case["alert_rule_test"]:
            by_alert[check["alertname"]].append(bool(check["exp_alerts"]))
        for name, fires in by_alert.items():
            found[name].append(fires)
    whole = {
        name
        for name, several in found.items()
        if any(f[0] is False and f[-1] is False and True in f for f in several)
    }
    assert whole == names()


def test_each_severity_of_an_alert_has_a_case_that_fires() -> None:
    told = {
        (check["alertname"], one["exp_labels"]["severity"])
        for case in cases()
        for check in case["alert_rule_test"]
        for one in check["exp_alerts"]
    }
    assert told == {(rule["alert"], rule["labels"]["severity"]) for rule in alerts()}


def test_each_alert_is_whole() -> None:
    for rule in alerts():
        name, annotations = rule["alert"], rule["annotations"]
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert "{{" not in annotations["summary"], name
        assert annotations["summary"].endswith("."), name
        assert annotations["description"], name
        page = annotations["runbook_url"].removeprefix(PREFIX)
        assert page == f"{name}.md", name
        assert (RUNBOOK / page).is_file(), name


def test_each_metric_that_a_rule_reads_is_exposed() -> None:
    read = set[str]().union(*(metrics_in(rule["expr"]) for rule in rules()))
    assert len(read) > 30
    assert read - exposed() == set()
    named = set[str]().union(
        *(set(re.findall(r"\b\w+:alcyon_\w+:\w+", rule["expr"])) for rule in rules())
    )
    assert named - recorded() == set()


def test_each_bucket_that_a_rule_reads_is_there() -> None:
    """A bound that no bucket has reads as nothing, and the alert would never fire."""
    read = {
        (name, le)
        for rule in rules()
        for name, le in re.findall(r'(alcyon_\w+)_bucket\{[^}]*le="([^"]+)"', rule["expr"])
    }
    assert {name for name, _ in read} == {
        "alcyon_worker_decision_latency_seconds", "alcyon_worker_event_latency_seconds",
        "alcyon_worker_scores",
    }  # fmt: skip
    assert {(name, le) for name, le in read if le not in buckets(name)} == set()


def test_jobs_are_those_that_rules_read() -> None:
    configured = re.findall(r"job_name: (\w+)", (DEPLOY / "prometheus/prometheus.yml").read_text())
    assert sorted(configured) == ["alcyon_api", "alcyon_learner", "alcyon_worker"]
    for folder in ("targets", "targets-compose"):
        files = {file.stem for file in (DEPLOY / "prometheus" / folder).glob("*.yml")}
        assert files == {*configured, "alertmanager"}


def test_haste_shortens_times_and_nothing_else() -> None:
    rule: Any = """\
        expr: sum(rate(a_total[5m])) > 300 and rate(b[1d] offset 10m) < 0.5 or time() - c > 3600
        for: 2m
        group_wait: 0s
        name: x:y:ratio_rate10m
    """
    assert (
        hastened(rule, 60)
        == """\
        expr: sum(rate(a_total[5s])) > 300 and rate(b[1440s] offset 10s) < 0.5 or time() - c > 3600
        for: 2s
        group_wait: 0s
        name: x:y:ratio_rate10m
    """
    )
