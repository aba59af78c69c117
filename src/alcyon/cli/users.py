"""`alcyon users`: a group of commands, whose module is imported when one is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from cyclopts import App

from alcyon.cli.subcommands.grouping import group

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "add": ("users_kept:add", "Make an account."),
        "list": ("users_kept:list_users", "List the accounts."),
        "disable": ("users_kept:disable", "End an account's sessions, and let it sign in no more."),
    }
)
"""Each command's place, and its line in the overview."""


def users(given: Sequence[str]) -> App:
    """Make, list and disable the accounts of people.

    People sign in to the console; programs have keys (alcyon keys).

    An example:
        alcyon users add ada --role lead
        alcyon users disable ada
    """
    return group(users, COMMANDS, given)
