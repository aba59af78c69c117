"""Sending: stretches of traffic into the intake, by the clock or as fast as they are decided."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from threading import Event
from typing import NamedTuple

from alcyon.codecs.json import encode
from alcyon.domain.record import Topic
from alcyon.io.log import EmbeddedIntake
from alcyon.runners.demo.scoreboard import Scoreboard
from alcyon.runners.demo.traffic import Stretch

AT_ONCE = 256
"""Records that are sent together at full speed."""
BACKLOG_MAX = 512
"""Records that may wait to be decided at full speed: enough to keep the worker busy, few enough
that a latency is the engine's and not the queue's."""
_PAUSE_S = 0.0005


class Item(NamedTuple):
    """A record to be sent when the clock of the traffic shows `due` (UTC ms)."""

    due: int
    topic: Topic
    payload: bytes
    transaction_id: str | None


@dataclass(frozen=True)
class Sending:
    """Appends records to the intake; `run` once, in a thread of its own.

    ahead_ms: how far the traffic's clock is ahead of ours; None: without a clock.
    waiting: how many records are in the intake and not decided.
    """

    intake: EmbeddedIntake
    scoreboard: Scoreboard
    ahead_ms: int | None
    waiting: Callable[[], int]
    is_stopped: Event

    def run(self, stretches: Iterable[Stretch]) -> None:
        """Send until all is sent, or stopped. LogError: the disk is full, or worse."""
        for stretch in stretches:
            items = list(items_of(stretch))
            if self.ahead_ms is None:
                self._sent_as_decided(items)
            else:
                self._sent_by_clock(items, self.ahead_ms)
            if self.is_stopped.is_set():
                return

    def _sent_as_decided(self, items: list[Item]) -> None:
        """Send some whenever few are waiting."""
        for at in range(0, len(items), AT_ONCE):
            while self.waiting() > BACKLOG_MAX and not self.is_stopped.is_set():
                time.sleep(_PAUSE_S)
            if self.is_stopped.is_set():
                return
            self._send(items[at : at + AT_ONCE], None)

    def _sent_by_clock(self, items: list[Item], ahead_ms: int) -> None:
        """Send each when it is due, those that are due together."""
        while items and not self.is_stopped.is_set():
            wait_s = (items[0].due - ahead_ms) / 1000 - time.time()
            if wait_s > 0:
                self.is_stopped.wait(wait_s)
                continue
            now = time.time() * 1000 + ahead_ms
            due = next((k for k, item in enumerate(items) if item.due > now), len(items))
            self._send(items[:due], ahead_ms)
            items = items[due:]

    def _send(self, items: list[Item], ahead_ms: int | None) -> None:
        """Open loop: a latency counts from when a record was due, however late it is sent."""
        for topic, run in groupby(items, key=lambda item: item.topic):
            group = list(run)
            if topic is Topic.TRANSACTIONS:
                now = time.time()
                times = [
                    now if ahead_ms is None else (item.due - ahead_ms) / 1000 for item in group
                ]
                self.scoreboard.sent([item.transaction_id for item in group], times)
            self.intake.append(topic, [item.payload for item in group])
        self.intake.sync()


def items_of(stretch: Stretch) -> Iterator[Item]:
    """What of a stretch is not sent yet, in order."""
    rest = stretch.transactions.slice(stretch.sent, len(stretch))
    if not len(rest):
        ids, payloads = [], list[bytes]()
    else:
        ids, payloads = rest.strings("transaction_id").to_list(), encode(rest)
    labels, at = iter(stretch.labels), stretch.sent
    before = next(labels, None)
    for row in range(stretch.sent, len(stretch)):
        while before is not None and before[0] <= row:
            yield Item(before[1].due, Topic.LABELS, before[1].payload, None)
            before = next(labels, None)
        time_due = int(stretch.times[row])
        yield Item(time_due, Topic.TRANSACTIONS, payloads[row - at], ids[row - at])
