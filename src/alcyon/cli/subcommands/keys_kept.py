"""`alcyon keys create`, `list` and `revoke`"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Literal

from cyclopts import Parameter

from alcyon.cli.opening.offices import opened, shell
from alcyon.cli.showing.options import Json, settings
from alcyon.cli.showing.talk import show_json, show_table, tell
from alcyon.domain.errors import InputError
from alcyon.domain.office.access import Key, Role

_DAY_MS = 86_400_000
_DAYS_MAX = 36_500
RoleName = Literal["ingest", "learner", "viewer", "analyst", "lead", "admin"]
Days = Annotated[int | None, Parameter(name="--expires-days")]


def create(*, role: RoleName, note: str = "", expires_days: Days = None) -> None:
    """Make a key, and print it: this once.

    It is all that is written to stdout; only its hash is kept.

    An example:
        alcyon keys create --role ingest --note shop --expires-days 90

    Parameters
    ----------
    role
        ingest may ask for decisions and send labels, learner publish what alcyon learn makes; each
        of the others may what those before it may, but for these two.
    note
        What it is for.
    expires_days
        It ends by itself after so many days; never otherwise.
    """
    if expires_days is not None and not 1 <= expires_days <= _DAYS_MAX:
        raise InputError(f"--expires-days is 1 to {_DAYS_MAX}")
    until = None
    if expires_days is not None:
        until = round(time.time() * 1000) + expires_days * _DAY_MS
    with opened(settings()) as office:
        secret, key = office.create_key(shell(), Role(role), note, until)
    ends = "it does not expire" if until is None else f"it expires on {day(until)}"
    tell(f"key {key.key_id} of role {role}; {ends}; it is not shown again:")
    print(secret)


def list_keys(*, as_json: Json = False) -> None:
    """List the keys, the newest first, without their secrets.

    An example:
        alcyon keys list

    Parameters
    ----------
    as_json
        Print them as JSON.
    """
    with opened(settings()) as office:
        found = office.keys()
    if as_json:
        show_json(found)
    elif found:
        header = ["key", "role", "note", "made by", "on", "last used", "ends"]
        show_table(None, header, [_row(key) for key in found], figures=False)
    tell(f"{len(found)} keys")


def revoke(key_id: str, /) -> None:
    """End a key; a program that shows it is refused within five seconds.

    An example:
        alcyon keys revoke 250671122f1c

    Parameters
    ----------
    key_id
        As alcyon keys list shows it: the part of the key between the underscores.
    """
    with opened(settings()) as office:
        office.revoke_key(shell(), key_id)
    tell(f"key {key_id} is revoked")


def day(at: int) -> str:
    """UTC ms as a date."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d")


def _row(key: Key) -> list[str]:
    ends = "" if key.expires_at is None else day(key.expires_at)
    if key.revoked_at is not None:
        ends = f"revoked {day(key.revoked_at)}"
    used = "never" if key.last_used_at is None else day(key.last_used_at)
    made = (key.note, key.created_by, day(key.created_at))
    return [key.key_id, key.role.value, *made, used, ends]
