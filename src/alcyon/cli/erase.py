"""`alcyon erase`"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from alcyon.cli.opening.keepings import controls, intake, stores
from alcyon.cli.opening.logs import is_embedded
from alcyon.cli.opening.offices import shell
from alcyon.cli.opening.servers import connection, topic_names
from alcyon.cli.showing.options import Flag, Json, settings
from alcyon.cli.showing.talk import show_json, show_table, tell
from alcyon.domain.errors import InputError

if TYPE_CHECKING:
    from alcyon.domain.keeping import Removal
    from alcyon.runners.care.erasing import Gone
    from alcyon.settings import Settings


class Told(msgspec.Struct, frozen=True):
    """What `--json` prints; the id is not in it."""

    digest: str
    rows: dict[str, int]
    case_alerts: int
    read_model: int
    topics_until: str | None
    """When the topics have let go of it; None: there are none, or they keep everything for ever."""


def erase(
    card: str | None = None, /, *, yes: Flag = False, again: Flag = False, as_json: Json = False
) -> None:
    """Remove everything about a card, or another id, for good.

    Its payments and what was decided on them leave Postgres or SQLite, Redis and the office's
    cases; the worker forgets its history; and what is restored from an older backup is erased
    again, by the list erasures.json in the home: keep a copy of it elsewhere. Topics keep what they
    hold until their retention lets go of it, and an embedded log for ever (docs/data-care.md).
    Payments that come later are new history. An id that a list or a rule in force names is refused:
    its removal is a change that another person approves, and comes first.

    An example:
        alcyon erase k1_0123456789abcdef0123456789abcdef --yes

    Parameters
    ----------
    card
        A token, a card number, or the id of an account, customer, merchant, device or counterparty.
    yes
        Do not ask.
    again
        Erase what the list names and a store has again: after a projection was filled anew.
    as_json
        Print what was removed as JSON.
    """
    if (card is None) != again:
        raise InputError("name what to erase, or give --again")
    set_to = settings()
    told: list[Gone] = []
    from alcyon.runners.care import erasing

    with ExitStack() as files:
        if card is None:
            erasing.again(stores(set_to, files), shell(), told.append)
        else:
            value = erasing.stored_value(card, set_to.token.keys())
            to_worker, of = intake(set_to, files), stores(set_to, files)
            now_ms = round(time.time() * 1000)
            erasing.check_unnamed(controls(set_to) if to_worker else (), value, now_ms)
            about = of.keeping and of.keeping.about(value, of.keeping.next_sequence())
            _confirmed(about or None, yes, is_shown=not as_json)
            told.append(erasing.erase(of, value, to_worker, shell(), now_ms))
    until, words = (None, "") if card is None else _topics(set_to)
    if as_json:
        show_json([_told(gone, until) for gone in told])
    for gone in told:
        rows = sum(_rows(gone).values())
        tell(
            f"erased {gone.digest[:12]}: {rows:,} rows, {gone.case_alerts:,} alerts in cases, "
            f"{gone.read_model:,} entries of Redis"
        )
    if card is not None:
        tell(words)
        tell(
            f"keep a copy of {of.list_file} where no backup is: alcyon restore --erasures reads it"
        )
    else:
        tell(f"{len(told):,} ids of the list were there again, and are erased")


def _confirmed(about: Removal | None, yes: bool, is_shown: bool) -> None:
    """Show what would go, and ask. InputError: nobody can answer, or somebody said no."""
    if not yes and not sys.stdin.isatty():
        raise InputError("this cannot be undone: give --yes where nobody can be asked")
    if is_shown and about is not None and not about.is_empty:
        show_table(None, ["", "rows"], [[n, f"{c:,}"] for n, c in about.rows.items()])
    if yes:
        return
    tell("this cannot be undone; type erase to go on:")
    if sys.stdin.readline().strip() != "erase":
        raise InputError("nothing was erased")


def _told(gone: Gone, until: str | None) -> Told:
    return Told(gone.digest, _rows(gone), gone.case_alerts, gone.read_model, until)


def _rows(gone: Gone) -> dict[str, int]:
    return dict(gone.store.rows) if gone.store else {}


def _topics(set_to: Settings) -> tuple[str | None, str]:
    """Until when the log holds it, as a time and in words."""
    if is_embedded(set_to):
        return None, (
            "the embedded log in the home still holds it, for ever: what must be erasable needs a "
            "broker, whose topics let go of it"
        )
    from alcyon.io.kafka import kept_ms

    kept = kept_ms(connection(set_to), topic_names(set_to))
    if kept is None:
        return None, "a topic keeps records for ever: set retention.ms, or it stays there"
    until = datetime.fromtimestamp(time.time() + kept / 1000, UTC).isoformat(timespec="minutes")
    return until, f"the topics hold it until {until}, when their retention lets go of it"
