"""What a proposal is checked against, and what it changes."""

from __future__ import annotations

from difflib import unified_diff
from typing import Any

from alcyon.api.desk import Controlling
from alcyon.domain.errors import InputError


def version_of(controlling: Controlling, kind: str) -> str:
    """The version in force of what such a proposal changes."""
    versions: dict[str, str] = controlling.in_force()["versions"]
    return versions[{"rules": "rules", "list": "lists"}.get(kind, "model")]


def checked(
    controlling: Controlling, kind: str, change: dict[str, Any]
) -> tuple[dict[str, Any], str, str]:
    """(the change as it is kept, the version it is based on, its diff). InputError, ModelError: it
    is none that could be approved."""
    prepared, diff = controlling.prepared(kind, change), ""
    if kind == "rules":
        before, after = str(controlling.in_force()["rules_text"]), str(prepared["text"])
        diff = "".join(
            unified_diff(before.splitlines(True), after.splitlines(True), "in force", "proposed")
        )
        if not diff:
            raise InputError("these are the rules in force: change something")
    return prepared, version_of(controlling, kind), diff
