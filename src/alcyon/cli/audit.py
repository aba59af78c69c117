"""`alcyon audit`: a group of commands, whose module is imported when one is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from cyclopts import App

from alcyon.cli.subcommands.grouping import group

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "verify": (
            "audit_walked:verify",
            "Check the audit log, and the decisions log against its seals.",
        ),
        "show": ("audit_walked:show", "Show the newest entries."),
    }
)
"""Each command's place, and its line in the overview."""


def audit(given: Sequence[str]) -> App:
    """Show who changed what, and check that nothing was tampered with.

    Each entry holds the digest of the one before, and so do the commits of the decisions log.

    An example:
        alcyon audit verify
        alcyon audit show --limit 20
    """
    return group(audit, COMMANDS, given)
