"""Feeds: what is decided now, for whoever watches; every queue is bounded.

`decisions` tells some of them as `Line`s, `alerts` what is not APPROVE as `AlertLine`s, each
message one; `statistics` tells `LiveFeeds.now` once a second.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, Literal, get_args

import msgspec
import numpy as np

from alcyon.domain.alert import expected_loss
from alcyon.domain.decision import Reason
from alcyon.domain.errors import InputError, SlowError
from alcyon.domain.office.searching import AlertLine, Line
from alcyon.domain.projected import DecisionRow
from alcyon.runners.serving.live_statistics import LiveStatistics
from alcyon.runners.serving.watching import Seen, amounts_base, column
from alcyon.runners.stream.in_force import InForce
from alcyon.scoring.reasons import shown_text

QUEUE_MAX = 256
"""Messages that may wait for one watcher: seconds of them."""
LINES_PER_S, ALERTS_PER_S = 20, 100
LINES_AT_ONCE = 4
PAST_S = 300
"""Seconds whose statistics are kept for who comes now."""
_OF_PAST = ("at", "rate", "latency_ms", "actions")
Feed = Literal["decisions", "alerts", "statistics"]
FEEDS: tuple[Feed, ...] = get_args(Feed)
_TEXTS = (
    "card_id", "merchant_id", "device_id", "country", "merchant_country", "category", "channel",
)  # fmt: skip
_reasons = msgspec.json.Decoder(tuple[Reason, ...])
_encode = msgspec.json.Encoder().encode


class Subscriber:
    """One watcher's bounded queue; made, read and closed in the event loop."""

    def __init__(self, forget: Callable[[Subscriber], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: deque[bytes] = deque()
        self._is_there = asyncio.Event()
        self.is_slow = False
        """It was cut off."""
        self._forget = forget

    async def next(self) -> bytes:
        """The next message, as JSON. SlowError: the queue was full, cut it off."""
        while not self._queue and not self.is_slow:
            self._is_there.clear()
            await self._is_there.wait()
        if self.is_slow:
            raise SlowError(f"more than {QUEUE_MAX} messages waited: read faster")
        return self._queue.popleft()

    def close(self) -> None:
        """Called once, last."""
        self._forget(self)

    def offer(self, messages: Sequence[bytes]) -> None:
        """From any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, messages)

    def _take(self, messages: Sequence[bytes]) -> None:
        if self.is_slow:
            return
        if len(self._queue) + len(messages) > QUEUE_MAX:
            self.is_slow = True
            self._queue.clear()
            self._forget(self)
        else:
            self._queue.extend(messages)
        self._is_there.set()


class LiveFeeds:
    """What happens now; a `Watcher`. Subscribers come and go in the event loop.

    on_dropped: a subscriber was too slow, and was cut off.
    """

    def __init__(
        self,
        statistics: LiveStatistics,
        in_force: Callable[[], InForce],
        on_dropped: Callable[[], None],
    ) -> None:
        self._statistics, self._in_force, self._on_dropped = statistics, in_force, on_dropped
        self._lock = Lock()
        self._subscribers: dict[Feed, set[Subscriber]] = {feed: set() for feed in FEEDS}
        self._lines_left, self._alerts_left = LINES_PER_S, ALERTS_PER_S
        self._now = self._told()
        self._past: tuple[dict[str, Any], ...] = ()

    @property
    def watcher_count(self) -> int:
        """Watchers that are there."""
        return sum(map(len, self._subscribers.values()))

    def subscribe(self, feed: str) -> Subscriber:
        """In the event loop. InputError: there is no such feed."""
        if feed not in FEEDS:
            raise InputError(f"there is no feed {feed[:100]}: one of {', '.join(FEEDS)}")
        named: Feed = feed
        made = Subscriber(lambda one: self._forget(named, one))
        with self._lock:
            self._subscribers[named].add(made)
        return made

    def now(self) -> dict[str, Any]:
        """The newest statistics."""
        return self._now

    def past(self) -> list[dict[str, Any]]:
        """Some of the statistics of each of the last minutes' seconds, the oldest first."""
        return list(self._past)

    def take(self, seen: Seen) -> None:
        """Count them; tell some of them."""
        stopped = self._statistics.count(seen)
        if self._subscribers["alerts"]:
            rows = stopped[: self._alerts_left]
            self._alerts_left -= len(rows)
            self._offer("alerts", [_encode(one) for one in self._alerts(seen, rows)])
        if self._subscribers["decisions"]:
            count = min(len(seen.decisions), LINES_AT_ONCE, self._lines_left)
            self._lines_left -= count
            rows = np.linspace(0, len(seen.decisions) - 1, count, dtype=np.int64).tolist()
            self._offer("decisions", [_encode(line) for line in self._lines(seen, rows)])

    def tick(self) -> None:
        """Once a second, tell the statistics."""
        if self._statistics.roll():
            self._lines_left, self._alerts_left = LINES_PER_S, ALERTS_PER_S
            self._now = self._told()
            # Made anew: whoever reads the one before does so in another thread.
            self._past = (*self._past[1 - PAST_S :], {name: self._now[name] for name in _OF_PAST})
            self._offer("statistics", [_encode(self._now)])

    def _told(self) -> dict[str, Any]:
        return {**self._statistics.told(), "base_currency": self._in_force().rates.base}

    def _alerts(self, seen: Seen, rows: Sequence[int]) -> list[AlertLine]:
        lines = self._lines(seen, rows)
        risks = [seen.decisions[row].probability_ppm for row in rows]
        return [
            AlertLine(line, "open", None, expected_loss(line.amount_base_minor, ppm))
            for ppm, line in zip(risks, lines, strict=False)  # none, where one cannot be read
        ]

    def _lines(self, seen: Seen, rows: Sequence[int]) -> list[Line]:
        part = seen.whole(rows)
        if not len(part):
            return []
        names = {rule.reason_code: rule.name for rule in self._in_force().conduct.rules.evaluated}
        amounts = np.asarray(part.numbers("amount_minor"), np.int64).tolist()
        base, currencies = amounts_base(part), column(part, "currency")
        texts = zip(*(column(part, name) for name in _TEXTS), strict=True)
        return [
            _line(seen.decisions[row], (amount, currency or "", of), words, names)
            for row, amount, currency, of, words in zip(
                rows, amounts, currencies, base, texts, strict=True
            )
        ]

    def _offer(self, feed: Feed, messages: Sequence[bytes]) -> None:
        if messages:
            with self._lock:
                subscribers = list(self._subscribers[feed])
            for subscriber in subscribers:
                subscriber.offer(messages)

    def _forget(self, feed: Feed, one: Subscriber) -> None:
        with self._lock:
            is_there = one in self._subscribers[feed]
            self._subscribers[feed].discard(one)
        if is_there and one.is_slow:
            self._on_dropped()


def _line(
    decision: DecisionRow,
    money: tuple[int, str, int],
    words: Sequence[str | None],
    names: Mapping[str, str],
) -> Line:
    reason = decision.reason_shown()
    text = shown_text(reason, _reasons.decode(decision.reasons), names)
    card, merchant, device, country, merchant_country, category, channel = words
    return Line(
        decision.sequence, decision.transaction_id, decision.event_time, decision.action,
        decision.score, reason, text, *money, card, merchant, device, country, merchant_country,
        category, channel, None,
    )  # fmt: skip
