"""What the deployed rules and their test cases say, read as YAML."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
CASES = sorted((DEPLOY / "prometheus" / "tests").glob("*.yml"))
RUNBOOK = DEPLOY.parent / "docs" / "runbook"
PREFIX = "{{ $externalLabels.runbooks }}/"


@cache
def rules() -> list[dict[str, Any]]:
    """All rules, alerts and recordings."""
    groups = [g for file in RULES for g in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """The alerts; a name may have two, of two severities."""
    return [rule for rule in rules() if "alert" in rule]


def names() -> set[str]:
    """The alerts' names."""
    return {str(rule["alert"]) for rule in alerts()}


def recorded() -> set[str]:
    """The names of what is recorded."""
    return {str(rule["record"]) for rule in rules() if "record" in rule}


def cases() -> list[dict[str, Any]]:
    """All test cases of promtool's."""
    return [case for file in CASES for case in yaml.safe_load(file.read_text())["tests"]]


def metrics_in(text: str) -> set[str]:
    """The series of ours that a text names; recorded ones have colons, jobs no more words."""
    named = set(re.findall(r"(?<![\w:/])alcyon_[a-z_]+[a-z](?![\w:*])", text))
    return named - {"alcyon_worker", "alcyon_api", "alcyon_learner"}
