"""What a proposal is checked against, and what it changes."""

from __future__ import annotations

from difflib import unified_diff
from typing import Any

from alcyon.api.desk import Controlling
from alcyon.domain.errors import ConflictError, InputError
from alcyon.domain.office.proposals import Proposal

_BASED_ON = {"rules": "rules", "list": "lists", "challenger": "challenger"}


def version_of(controlling: Controlling, kind: str) -> str:
    """The version in force of what such a proposal changes."""
    versions: dict[str, str] = controlling.in_force()["versions"]
    return versions[_BASED_ON.get(kind, "model")]


def check_again(controlling: Controlling, wanted: Proposal) -> None:
    """Before it takes effect. ConflictError: what is in force is no longer what it was based on.
    InputError, ModelError: it could not take effect any more."""
    controlling.look_again()
    if wanted.base_version != version_of(controlling, wanted.kind):
        raise ConflictError(
            "what is in force changed since this was proposed: look, and propose it anew"
        )
    controlling.prepared(wanted.kind, wanted.change)


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
