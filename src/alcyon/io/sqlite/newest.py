"""The newest alerts of a SQLite store, for whoever watches."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from alcyon.domain.decision import Reason
from alcyon.domain.projected import StoreError

_QUERY = """
SELECT a.sequence, a.event_time, a.amount_minor, a.currency, t.card_id, a.action, a.score,
    d.codes, d.rule_hits, d.reasons
FROM alerts AS a JOIN decisions AS d USING (sequence) JOIN transactions AS t USING (sequence)
ORDER BY a.sequence DESC LIMIT ?"""
_words = msgspec.json.Decoder(tuple[str, ...])
_reasons = msgspec.json.Decoder(tuple[Reason, ...])


class AlertRow(NamedTuple):
    """An alert with what a list shows of it."""

    sequence: int
    event_time: int
    amount_minor: int
    currency: str
    card_id: str | None
    action: str
    score: int | None
    codes: tuple[str, ...]
    rule_hits: tuple[str, ...]
    reasons: tuple[Reason, ...]


class NewestAlerts:
    """Reads beside the one that writes. `close` it, last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def read(self, count: int) -> list[AlertRow]:
        """The newest, the newest first; none while there is no store. StoreError: an outage."""
        if self._connection is None and not self._path.exists():
            return []
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)
            rows = self._connection.execute(_QUERY, (count,)).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error
        return [_alert_row(row) for row in rows]

    def close(self) -> None:
        """Called once, last."""
        if self._connection is not None:
            self._connection.close()


def _alert_row(row: tuple[Any, ...]) -> AlertRow:
    values = dict(zip(AlertRow._fields, row, strict=True))
    for name in ("codes", "rule_hits"):
        values[name] = _words.decode(values[name])
    return AlertRow(**values | {"reasons": _reasons.decode(values["reasons"])})
