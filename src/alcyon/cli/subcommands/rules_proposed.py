"""`alcyon rules propose` and `import`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from alcyon.cli.opening.signing_in import URL, Url, User, signed_in
from alcyon.cli.showing.options import Json
from alcyon.cli.subcommands.proposals_made import propose_by
from alcyon.cli.subcommands.rules_shown import read_rules

Why = Annotated[str, Parameter(help="Why, for whoever approves it.")]


def propose(file: Path, /, *, why: Why, user: User, url: Url = URL, as_json: Json = False) -> None:
    """Propose a file of rules; another one approves it.

    It goes to a running alcyon serve, which checks it and shows the difference to whoever approves
    it: alcyon proposals approve, or the console.

    An example:
        alcyon rules propose rules.toml --why "card testing at night" --user ada

    Parameters
    ----------
    file
        All rules as TOML, as alcyon rules export writes them.
    as_json
        Print the proposal as JSON.
    """
    change = {"text": read_rules(file)}
    with signed_in(url, user) as client:
        propose_by(client, "rules", change, why, as_json)


def import_rules(
    file: Path, /, *, why: Why, user: User, url: Url = URL, as_json: Json = False
) -> None:
    """The same, by the name that goes with export.

    Whoever may approve alone would need no second person: an import is a proposal.

    An example:
        alcyon rules import rules.toml --why "from the test system" --user ada

    Parameters
    ----------
    file
        All rules as TOML, as alcyon rules export writes them.
    as_json
        Print the proposal as JSON.
    """
    propose(file, why=why, user=user, url=url, as_json=as_json)
