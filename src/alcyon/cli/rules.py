"""`alcyon rules`: a group of commands, whose modules are imported when one is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from cyclopts import App

from alcyon.cli.subcommands.grouping import group

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "show": ("rules_shown:show", "Show the rules and lists in force."),
        "export": ("rules_shown:export", "Write the rules in force as TOML."),
        "check": ("rules_shown:check", "Say what is wrong with a file of rules."),
        "propose": ("rules_proposed:propose", "Propose a file of rules; another one approves it."),
        "import": ("rules_proposed:import_rules", "The same, by the name that goes with export."),
    }
)
"""Each command's place, and its line in the overview."""


def rules(given: Sequence[str]) -> App:
    """Show, export and check the rules in force, and propose others.

    They are those that decide at the broker where kafka.bootstrap is set, else those of the logs in
    the home, else the demo's. A change is a whole file of rules; it decides once a second person
    has approved it.

    An example:
        alcyon rules export --out rules.toml
        alcyon rules check rules.toml
        alcyon rules propose rules.toml --why "card testing at night" --user ada
    """
    return group(rules, COMMANDS, given)
