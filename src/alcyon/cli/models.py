"""`alcyon models`: a group of commands, whose modules are imported when one is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from cyclopts import App

from alcyon.cli.subcommands.grouping import group

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "list": ("models_shown:list_models", "List the registered models with their figures."),
        "show": ("models_shown:show", "Show a model's figures and the moves that named it."),
        "compare": ("models_compared:compare", "Compare two models on payments neither has seen."),
        "register": ("models_moved:register", "Add a model to the registry, once it is checked."),
        "promote": ("models_moved:promote", "Let a registered model decide from now on."),
        "roll-back": ("models_moved:roll_back", "Let the champion before decide again."),
    }
)
"""Each command's place, and its line in the overview."""


def models(given: Sequence[str]) -> App:
    """Register models, compare them, and let another one decide.

    They lie in the home's folder or in MLflow (models.registry), the demo's beside it. A model is
    called by its name, or by an alias: champion, challenger.

    An example:
        alcyon models register m --alias challenger
        alcyon models promote challenger --user ada --why "finds more"
        alcyon models roll-back --user ada --why "declines doubled"
    """
    return group(models, COMMANDS, given)
