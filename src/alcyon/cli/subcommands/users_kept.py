"""`alcyon users add`, `list` and `disable`"""

from __future__ import annotations

import sys
from typing import Literal

from alcyon.cli.opening.offices import opened, shell
from alcyon.cli.opening.signing_in import typed_password
from alcyon.cli.showing.options import Json, settings
from alcyon.cli.showing.talk import show_json, show_table, tell
from alcyon.cli.subcommands.keys_kept import day
from alcyon.domain.errors import InputError
from alcyon.domain.office.access import Role

RoleName = Literal["viewer", "analyst", "lead", "admin"]


def add(name: str, /, *, role: RoleName) -> None:
    """Make an account; its password is asked for, or read from stdin (one line).

    An example:
        alcyon users add ada --role lead
        alcyon users add ada --role lead < password.txt

    Parameters
    ----------
    name
        1 to 64 of a-z, 0-9, dot, dash and underscore.
    role
        Each may what those before it may; lead approves, admin keeps accounts and keys.
    """
    password = new_password()
    with opened(settings()) as office:
        office.add_user(shell(), name, password, Role(role))
    tell(f"user {name} of role {role}")


def list_users(*, as_json: Json = False) -> None:
    """List the accounts, by name.

    An example:
        alcyon users list

    Parameters
    ----------
    as_json
        Print them as JSON.
    """
    with opened(settings()) as office:
        found = office.users()
    if as_json:
        show_json(found)
    elif found:
        rows = [
            [u.name, u.role.value, day(u.created_at), "" if u.disabled_at is None else "disabled"]
            for u in found
        ]
        show_table(None, ["name", "role", "since", ""], rows, figures=False)
    tell(f"{len(found)} users")


def disable(name: str, /) -> None:
    """End an account's sessions, and let it sign in no more. Keys that it made go on: revoke them.

    An example:
        alcyon users disable ada

    Parameters
    ----------
    name
        Of the account.
    """
    with opened(settings()) as office:
        office.change_user(shell(), name, role=None, is_disabled=True)
        made = office.keys()
    its = [key.key_id for key in made if key.created_by == name and key.revoked_at is None]
    tell(f"user {name} is disabled" + (f"; keys it made: {', '.join(its)}" if its else ""))


def new_password() -> str:
    """As `typed_password`, at a terminal twice. InputError: they differ."""
    password = typed_password("password: ")
    if sys.stdin.isatty() and typed_password("once more: ") != password:
        raise InputError("the passwords differ: nothing was changed")
    return password
