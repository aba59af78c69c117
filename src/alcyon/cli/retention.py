"""`alcyon retention`"""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from cyclopts import Parameter

from alcyon.cli.opening.keepings import keeping, kept_office
from alcyon.cli.opening.offices import shell
from alcyon.cli.showing.options import Flag, Json, duration, settings
from alcyon.cli.showing.talk import show_json, show_table, tell

Age = Annotated[str, Parameter(name="--older-than")]


class Retired(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    before: str
    before_sequence: int
    rows: dict[str, int]
    """By table; `cases` are those that were closed earlier."""
    is_dry_run: bool


def retention(*, older_than: Age, dry_run: Flag = False, as_json: Json = False) -> None:
    """Remove what is older than an age from the stores.

    From Postgres whole partitions of ten million sequences, once all of their payments and labels
    are older; from SQLite the rows themselves. Closed cases go by when they were closed. Counts per
    hour, the audit log, seals, snapshots and models stay; topics have a retention of their own
    (docs/data-care.md).

    An example:
        alcyon retention --older-than 400d --dry-run

    Parameters
    ----------
    older_than
        The age, by event time, as in 400d or 36h.
    dry_run
        Only show what would go.
    as_json
        Print what went as JSON.
    """
    before_ms = round(time.time() * 1000) - duration("--older-than", older_than)
    set_to = settings()
    with ExitStack() as files:
        store, office = keeping(set_to, files), kept_office(set_to, files)
        rows, before = dict[str, int](), 0
        if store is not None:
            found = store.old(before_ms) if dry_run else store.drop_old(before_ms)
            rows, before = dict(found.rows), found.before_sequence
        if office is not None and dry_run:
            rows["cases"] = office.closed_before(before_ms)
        elif office is not None:
            rows["cases"] = office.retire(shell(), before_ms, rows)
    at = datetime.fromtimestamp(before_ms / 1000, UTC).isoformat(timespec="seconds")
    if as_json:
        show_json(Retired(at, before, rows, dry_run))
    elif any(rows.values()):
        show_table(None, ["", "rows"], [[name, f"{count:,}"] for name, count in rows.items()])
    words = "would go" if dry_run else "went"
    tell(f"{sum(rows.values()):,} rows from before {at} {words}")
