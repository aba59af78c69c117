"""`alcyon proposals`: a group of commands, whose module is imported when one is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from cyclopts import App

from alcyon.cli.subcommands.grouping import group

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "list": ("proposals_decided:list_proposals", "List proposals, the newest first."),
        "approve": ("proposals_decided:approve", "Approve what another one proposed."),
        "reject": ("proposals_decided:reject", "Reject a proposal, or withdraw one's own."),
    }
)
"""Each command's place, and its line in the overview."""


def proposals(given: Sequence[str]) -> App:
    """List what people want changed, and approve or reject it.

    They are asked of a running alcyon serve, as a user who signs in: whoever proposed a change
    cannot approve it.

    An example:
        alcyon proposals list --user ada
        alcyon proposals approve 5f0c2a9e41d7b368 --user ada
    """
    return group(proposals, COMMANDS, given)
