"""Statuses: what a case has become of, told to the alerts that it holds."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update

from alcyon.io.searching.engines import Database
from alcyon.io.searching.queue import AlertStatus
from alcyon.io.searching.tables import ALERTS

_IDS_MAX = 500


class AlertStatuses:
    """Moves alerts on, so that the queue need not ask for the case of each.

    database: opened with `is_writing`. A store that is filled anew has all of them open again:
    whoever keeps the cases tells it once more.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def move(self, transaction_ids: Sequence[str], status: AlertStatus) -> int:
        """How many alerts there are on these transactions; all of them have the status now.

        Fewer than were named: the projection has not come so far, tell it again later.
        UnreachableError: some may have it, tell all of them again.
        """
        count = 0
        for start in range(0, len(transaction_ids), _IDS_MAX):
            some = transaction_ids[start : start + _IDS_MAX]
            query = update(ALERTS).where(ALERTS.c.transaction_id.in_(some)).values(status=status)
            with self._database.connected() as connection:
                count += connection.execute(query).rowcount
        return count

    def status_of(self, transaction_id: str) -> AlertStatus | None:
        """That of the alert on it; None: the projection has none. UnreachableError."""
        query = select(ALERTS.c.status).where(ALERTS.c.transaction_id == transaction_id)
        with self._database.connected() as connection:
            status: AlertStatus | None = connection.execute(query.limit(1)).scalar()
            return status

    def close(self) -> None:
        """Called once, last."""
        self._database.close()
