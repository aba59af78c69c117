"""The view: what a person who watches the demo is told, in words and figures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from alcyon.domain.currency import EXPONENTS
from alcyon.io.sqlite.newest import AlertRow, NewestAlerts
from alcyon.runners.demo.latencies import Percentiles
from alcyon.runners.demo.opening import Opened
from alcyon.runners.demo.running import Running
from alcyon.runners.demo.scoreboard import Figures, Throughput
from alcyon.scoring.decided import FUTURE, LATE, MODEL_FAILED, MODEL_MISSING
from alcyon.scoring.reasons import BASE_RATE, OTHER_FEATURES, text_of

ALERTS = 8
REASONS_MAX = 2
_CARD_MAX = 9
_TEXTS = {
    LATE: "It came more than a day late",
    FUTURE: "Its time is in the future",
    MODEL_MISSING: "No model: decided by rules and the fallback action",
    MODEL_FAILED: "The model gave no score: the fallback action",
}


class AlertLine(NamedTuple):
    """An alert in a list."""

    time_ms: int
    amount: str
    card: str
    action: str
    reasons: str


@dataclass(frozen=True)
class View:
    """One moment; `warnings` are to be told loudly."""

    seconds: float
    """Since the traffic began."""
    per_second: float | None
    latency: Percentiles | None
    """Of the newest few thousand decisions."""
    figures: Figures
    alerts: Sequence[AlertLine]
    snapshot_age_s: float | None
    undecided: int
    model: str
    warnings: Sequence[str]


class Watching:
    """Looks at a demo that runs, a few times a second. `close` it before the demo."""

    def __init__(self, opened: Opened, running: Running) -> None:
        self._opened, self._running = opened, running
        self._started = time.time()
        self._throughput = Throughput()
        self._newest = NewestAlerts(opened.place.store)
        self._snapshot_at = opened.snapshot_at
        self._rules = {r.id: r.name for r in opened.rules}

    def look(self) -> View:
        """The view now. StoreError: the store cannot be read."""
        now, figures = time.time(), self._opened.scoreboard.figures()
        stepped, seen = self._running.seen.stepped, self._running.seen
        snapshot_at = seen.snapshot_at or self._snapshot_at
        return View(
            seconds=now - self._started,
            per_second=self._throughput.tell(now, figures.decisions),
            latency=self._opened.scoreboard.latencies.newest(),
            figures=figures,
            alerts=[alert_line(row, self._rules) for row in self._newest.read(ALERTS)],
            snapshot_age_s=None if snapshot_at is None else now - snapshot_at,
            undecided=self._running.undecided,
            model=stepped.versions.model if stepped else "",
            warnings=seen.warnings,
        )

    def close(self) -> None:
        """Called once."""
        self._newest.close()


def alert_line(row: AlertRow, rules: Mapping[str, str]) -> AlertLine:
    """An alert in words. rules: names by id."""
    return AlertLine(
        row.event_time,
        amount_text(row.amount_minor, row.currency),
        shortened(row.card_id or ""),
        row.action,
        "; ".join(_reasons(row, rules)[:REASONS_MAX]),
    )


def _reasons(row: AlertRow, rules: Mapping[str, str]) -> list[str]:
    """The strongest first: what failed, then rules, then the model's."""
    failed = [_TEXTS[code] for code in row.codes if code in _TEXTS]
    named = [rules.get(rule, rule) for rule in row.rule_hits]
    parts = [r for r in row.reasons if r.code not in (BASE_RATE, OTHER_FEATURES)]
    parts.sort(key=lambda reason: -reason.log_odds)
    return [*failed, *named, *map(text_of, parts)]


def amount_text(minor: int, currency: str) -> str:
    """An amount with its currency's own decimals.

    >>> amount_text(1951, "GBP"), amount_text(1951, "JPY"), amount_text(1234567, "KWD")
    ('GBP 19.51', 'JPY 1,951', 'KWD 1,234.567')
    """
    digits = EXPONENTS.get(currency, 2)
    whole, part = divmod(abs(minor), 10**digits)
    decimals = f".{part:0{digits}d}" if digits else ""
    return f"{currency} {'-' if minor < 0 else ''}{whole:,}{decimals}"


def shortened(text: str, most: int = _CARD_MAX) -> str:
    """The text, without its middle where it is too long.

    >>> shortened("c00004078"), shortened("k1_abcdefghijkl")
    ('c00004078', 'k1_a…ijkl')
    """
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"
