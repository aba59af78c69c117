"""Tries: log-ins that failed, by name and by address, and how long the next one has to wait."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, update

from alcyon.io.office.database import Change
from alcyon.io.office.tables import TRIES

NAME_TRIES, ADDRESS_TRIES = 5, 20
"""Free ones; from then on each waits twice as long as the one before."""
WAIT_MS_MAX, FORGOTTEN_MS = 900_000, 3_600_000


def is_let_try(change: Change, name: str, address: str) -> bool:
    """Whether this log-in may be tried now; it counts as failed until `clear`.

    A name counts whether or not there is such a user. One that must wait does not count, so that
    nobody is kept out for longer than `WAIT_MS_MAX` by others' tries.
    """
    connection, now = change.connection, change.now
    connection.execute(delete(TRIES).where(TRIES.c.last_at < now - FORGOTTEN_MS))
    counts: dict[str, int | None] = {}
    for subject, free in _subjects(name, address).items():
        row = connection.execute(select(TRIES).where(TRIES.c.subject == subject)).one_or_none()
        counts[subject] = row.failed_count if row else None
        if row and now < row.last_at + _wait_ms(row.failed_count - free):
            return False
    for subject, count in counts.items():
        if count is not None:
            counted = update(TRIES).where(TRIES.c.subject == subject)
            connection.execute(counted.values(failed_count=count + 1, last_at=now))
        else:
            counted = insert(TRIES).values(subject=subject, failed_count=1, last_at=now)
            connection.execute(counted)
        if (count or 0) + 1 == _subjects(name, address)[subject]:
            change.tell("", "log_in_slowed", subject)
    return True


def clear(connection: Connection, name: str, address: str) -> None:
    """This one succeeded: the name's failures are forgotten. The address's are not, or a log-in of
    one's own would make room for guessing at others'."""
    connection.execute(delete(TRIES).where(TRIES.c.subject == f"name:{name[:64]}"))
    counted = update(TRIES).where(TRIES.c.subject == f"address:{address[:64]}")
    connection.execute(counted.values(failed_count=TRIES.c.failed_count - 1))


def _subjects(name: str, address: str) -> dict[str, int]:
    found = {f"name:{name[:64]}": NAME_TRIES}
    return found | ({f"address:{address[:64]}": ADDRESS_TRIES} if address else {})


def _wait_ms(beyond: int) -> int:
    """beyond: failures more than were free."""
    return 0 if beyond < 0 else min(1000 << min(beyond, 20), WAIT_MS_MAX)
