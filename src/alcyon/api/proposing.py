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


def checked(controlling: Controlling, kind: str, change: dict[str, Any]) -> tuple[str, str]:
    """(the version it is based on, its diff). InputError: it is none that could be approved."""
    diff = ""
    if kind == "rules":
        text = change.get("text")
        if not isinstance(text, str) or set(change) != {"text"}:
            raise InputError("a change of rules is {text}: the TOML of all rules")
        if wrong := controlling.validate(text):
            raise InputError("; ".join(str(one["problem"]) for one in wrong))
        before = str(controlling.in_force()["rules_text"])
        diff = "".join(
            unified_diff(before.splitlines(True), text.splitlines(True), "in force", "proposed")
        )
        if not diff:
            raise InputError("these are the rules in force: change something")
    elif kind in ("promotion", "challenger") and not isinstance(change.get("model"), str):
        raise InputError("name the model: {model}")
    return version_of(controlling, kind), diff
