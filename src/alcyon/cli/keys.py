"""`alcyon keys`: a group of commands, whose module is imported when one is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from cyclopts import App

from alcyon.cli.subcommands.grouping import group

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "create": ("keys_kept:create", "Make a key, and print it: this once."),
        "list": ("keys_kept:list_keys", "List the keys, the newest first, without their secrets."),
        "revoke": ("keys_kept:revoke", "End a key."),
    }
)
"""Each command's place, and its line in the overview."""


def keys(given: Sequence[str]) -> App:
    """Make, list and revoke the keys that programs show.

    A program shows its key in the header X-API-Key. A key that was made here approves nothing,
    whatever its role: nobody knows who made it (docs/access.md).

    An example:
        alcyon keys create --role ingest --note shop
        alcyon keys revoke 250671122f1c
    """
    return group(keys, COMMANDS, given)
