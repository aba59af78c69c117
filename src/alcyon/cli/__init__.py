"""The command line: `alcyon COMMAND`, a module per command.

A command's module, and with it all that is heavy, is imported when that command is given:
`alcyon --help` reads this file alone.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version
from types import MappingProxyType

from cyclopts import App, CycloptsError

from alcyon.domain.errors import AlcyonError, InputError

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "demo": "See fraud being caught, with nothing but Python.",
        "generate": "Make labelled card traffic with known truth.",
        "convert": "Convert a published data set into transactions and labels.",
        "features": "Compute every feature of a file.",
        "train": "Train a model on a file and its labels, and judge it on the days after.",
        "evaluate": "Say how good a model is on payments it has not seen.",
        "drift": "Say whether features, scores, amounts or frauds differ from what was usual.",
        "score": "Decide on every transaction of a file, as the worker would.",
        "models": "Register models, compare them, and let another one decide.",
        "rules": "Show, export and check the rules in force, and propose others.",
        "serve": "Serve the API and the console, until stopped.",
        "run": "Decide on what comes through Kafka, until stopped.",
        "produce": "Send a file or simulated traffic into Kafka at a set rate.",
        "learn": "Learn from late labels: publish, judge, promote and roll back challengers.",
        "analytics": "See where fraud is: countries, cards, merchants, devices, trends.",
        "warm": "Build state from history without deciding.",
        "replay": "Decide again what was decided, and compare to the byte.",
        "keys": "Make, list and revoke the keys that programs show.",
        "users": "Make, list and disable the accounts of people.",
        "proposals": "List what people want changed, and approve or reject it.",
        "audit": "Show who changed what, and check that nothing was tampered with.",
        "backup": "Copy stores, snapshots and models into a folder, while everything goes on.",
        "restore": "Put a backup back into an empty home and an empty database.",
        "retention": "Remove what is older than an age from the stores.",
        "erase": "Remove everything about a card, or another id, for good.",
        "doctor": "Say whether this machine is ready, and what to do where it is not.",
    }
)
"""Each command's name and the first line of its help, in the order of the overview; `generate` is
the function of that name in `alcyon.cli.generate`."""
GROUPS = frozenset({"audit", "keys", "models", "proposals", "rules", "users"})
"""Commands that have commands: their function takes what was given, and gives their App."""

USAGE, INTERRUPTED = 2, 130
"""Exit codes: what was asked for cannot be done as asked; Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. An unexpected error keeps its traceback."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        _check_command(given)
        code = _app(given)(given)
    except (CycloptsError, AlcyonError) as error:
        from alcyon.cli.showing.talk import tell_error

        tell_error(" ".join(str(error).split()))
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _app(given: Sequence[str]) -> App:
    """The commands; only the one that is wanted is let import its module."""
    app = App(
        name="alcyon",
        help="Decides, for every payment, approve, step up, review or decline while it waits.",
        help_epilogue="alcyon COMMAND --help shows a command's options and an example.",
        version=lambda: version("alcyon"),
        help_format="plaintext",
        exit_on_error=False,
        suppress_keyboard_interrupt=False,
        result_action="return_value",
        print_error=False,
    )
    for name, line in COMMANDS.items():
        place = f"alcyon.cli.{name}:{name}"
        if given[:1] == [name] and name in GROUPS:
            app.command(getattr(import_module(f"alcyon.cli.{name}"), name)(given[1:]))
        elif given[:1] == [name]:
            app.command(place, name=name)
        else:
            app.command(place, name=name, help=line)
    return app


def _check_command(given: Sequence[str]) -> None:
    """cyclopts would import every command to say that one is unknown."""
    if given and not given[0].startswith("-") and given[0] not in COMMANDS:
        near = get_close_matches(given[0], COMMANDS, 1)
        remedy = f"did you mean {near[0]}?" if near else "alcyon --help names them all"
        raise InputError(f"unknown command {given[0]}: {remedy}")
