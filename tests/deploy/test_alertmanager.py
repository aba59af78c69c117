"""Alertmanager's file: whether it is right, and who is told of what."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
import yaml

from tests.deploy.rule_files import DEPLOY, alerts, names
from tests.deploy.test_rules import said

FILE = DEPLOY / "alertmanager" / "alertmanager.yml"
Client = Callable[[str, str], str]


@pytest.fixture
def amtool(client: Client) -> str:
    return client("amtool", "prometheus-alertmanager")


def test_amtool_accepts_it(amtool: str) -> None:
    assert "SUCCESS" in said(amtool, "check-config", FILE)


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("severity=critical", "alertname=AlcyonTargetDown", "process=worker"), "on-call"),
        (("severity=critical", "alertname=AlcyonDeadLetters"), "on-call"),
        (("severity=warning", "alertname=AlcyonDeadLetters"), "slack"),
        (("alertname=OfSomebodyElse",), "slack"),
    ],
)
def test_routes(amtool: str, labels: tuple[str, ...], receiver: str) -> None:
    test = (amtool, "config", "routes", "test", f"--config.file={FILE}")
    assert said(*test, f"--verify.receivers={receiver}", *labels)
    other = {"on-call": "slack", "slack": "on-call"}[receiver]
    refused = subprocess.run(
        [*test, f"--verify.receivers={other}", *labels], capture_output=True, check=False
    )
    assert refused.returncode != 0


def test_who_is_woken_gets_slack_and_mail_and_hears_when_it_is_over() -> None:
    receivers = {r["name"]: r for r in yaml.safe_load(FILE.read_text())["receivers"]}
    assert set(receivers["on-call"]) == {"name", "slack_configs", "email_configs"}
    assert set(receivers["slack"]) == {"name", "slack_configs"}
    told = [c for r in receivers.values() for kind in r if kind != "name" for c in r[kind]]
    assert all(config["send_resolved"] for config in told)


def test_secrets_are_in_files_and_no_file_of_them_is_committed() -> None:
    text = FILE.read_text()
    assert "slack_api_url_file: " in text
    assert "smtp_auth_password_file: " in text
    assert "hooks.slack.com" not in text
    known = subprocess.run(
        ["git", "ls-files", "secrets"], cwd=FILE.parent, capture_output=True, text=True, check=False
    )
    assert known.stdout.split() in ([], ["secrets/.gitignore"])


def test_inhibition_names_alerts_that_there_are_and_labels_that_they_have() -> None:
    inhibitions = yaml.safe_load(FILE.read_text())["inhibit_rules"]
    matchers = [m for i in inhibitions for m in i["source_matchers"] + i["target_matchers"]]
    named = {name for m in matchers for name in m.replace('"', " ").replace("|", " ").split()}
    assert {name for name in named if name.startswith("Alcyon")} <= names()
    assert "AlcyonTargetDown" in named
    twice = {a["alert"] for a in alerts() if a["labels"]["severity"] == "critical"} & {
        a["alert"] for a in alerts() if a["labels"]["severity"] == "warning"
    }
    assert len(twice) > 5
    both = next(i for i in inhibitions if 'severity="critical"' in i["source_matchers"])
    assert {"alertname", "job", "process"} <= set(both["equal"])
