"""Producing: records into topics by a schedule that nothing slows down.

Record i is due at start + i ÷ rate. What is due is sent, however late earlier records were
acknowledged; how far behind we are is measured, told and never made up for by leaving out records.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Generic, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.io.kafka.sending import Sending
from alcyon.runners.files.outgoing import Block, SentLabel

AT_ONCE = 256
"""Transactions handed over between two looks at the clock: about half a millisecond."""
ON_TIME_S = 0.002
"""A transaction that is sent later than this after it was due counts as behind."""
_TICK_S = 0.001
"""At high rates what is due within a millisecond is sent together."""
_LOOK_S, _TELL_S = 0.1, 5.0
_BEHIND_S = 1.0
_LEAD_S = 0.05
"""Between the first block's making and the first record."""
_GRACE_S = 1.0
_STOP_S = 10.0
"""How long a stop may wait for acknowledgements."""
_AHEAD = 64
T = TypeVar("T")


class Produced(msgspec.Struct):
    """What became of the records; labels are among the first three."""

    sent: int = 0
    acknowledged: int = 0
    failed: int = 0
    labels: int = 0
    labels_left: int = 0
    """Labels of the file that are due after the last transaction that was sent."""
    refused: int = 0
    """Rows that the format cannot hold."""
    seconds: float = 0.0
    """From the start to the last acknowledgement."""
    rate: float = 0.0
    """Transactions per second of those."""
    lag_ms_max: float = 0.0
    """The longest that a transaction was handed over after it was due."""
    behind: int = 0
    """Transactions that were handed over more than 2 ms after they were due."""
    failures: dict[str, int] = {}
    """Failed records by reason."""


class Schedule:
    """When each record is due: start + i ÷ rate; without a rate, at once."""

    def __init__(self, rate: float | None) -> None:
        self.rate = rate
        self._start: float | None = None
        self._start_ms = 0.0

    def begin(self, lead_s: float = 0.0) -> None:
        """Let the first record be due in `lead_s`; the first call counts."""
        if self._start is None:
            self._start_ms = float(int((time.time() + lead_s) * 1000) + 1)
            # Between two records the clock of the machine may be set; ours goes on evenly.
            self._start = time.monotonic() + self._start_ms / 1000 - time.time()

    @property
    def start(self) -> float:
        """On the monotonic clock (s)."""
        self.begin()
        assert self._start is not None
        return self._start

    def due(self, i: int) -> float:
        """On the monotonic clock (s)."""
        return self.start + i / self.rate if self.rate else time.monotonic()

    def count(self, now: float) -> int:
        """How many records are due by `now` (monotonic s)."""
        if not self.rate:
            return 2**62
        return max(0, math.floor((now - self.start) * self.rate) + 1)

    def due_ms(self, first: int, n: int) -> NDArray[np.int64]:
        """When n records from number `first` on are due, UTC ms."""
        if not self.rate:
            return np.full(n, int(time.time() * 1000))
        self.begin()
        times = self._start_ms + np.arange(first, first + n) * (1000 / self.rate)
        return times.astype(np.int64)


class LiveTimes:
    """Event times of live traffic: when each transaction is due, or without a rate by the clock."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule, self._last = schedule, int(time.time() * 1000)

    def __call__(self, first: int, n: int) -> NDArray[np.int64]:
        """UTC ms, not falling, of n transactions from number `first` on; starts the schedule."""
        if self._schedule.rate:
            self._schedule.begin(_LEAD_S)
            return self._schedule.due_ms(first, n)
        since, self._last = self._last, max(self._last, int(time.time() * 1000))
        return np.linspace(since, self._last, n).astype(np.int64)


@dataclass
class Bounds:
    """When it is enough; None: never."""

    transactions: int | None = None
    seconds: float | None = None


class Producing:
    """One run: make it, give `keeps_waiting` to the Sending, then `run`.

    stop: set to end early. tell: told in a line what a person would want to know meanwhile.
    """

    def __init__(
        self, schedule: Schedule, bounds: Bounds, stop: Event, tell: Callable[[str], None]
    ) -> None:
        self._schedule, self._stop, self._tell = schedule, stop, tell
        self.produced = Produced()
        self.transactions = 0
        """Handed over so far."""
        self._seconds, self._most = bounds.seconds, bounds.transactions
        if schedule.rate and bounds.seconds is not None:
            due = math.ceil(bounds.seconds * schedule.rate)
            self._most = due if self._most is None else min(due, self._most)
        self._sending: Sending | None = None
        self._is_finishing = False
        self._stopped_at: float | None = None
        self._heard, self._heard_at, self._told_at, self._shown_at = -1, 0.0, 0.0, 0.0

    def run(
        self,
        sending: Sending,
        topics: tuple[str, str],
        blocks: Iterable[Block],
        progress: Callable[[int], None] = lambda transactions: None,
    ) -> None:
        """Send until all is sent, enough, or stopped; in the end `produced` says what became of it.

        topics: for transactions and labels. Raises what making the blocks raises, after what was
        sent is accounted for.
        """
        self._sending, self._topics, self._progress = sending, topics, progress
        began = None
        try:
            for block in blocks:
                began = self._schedule.start if began is None else began
                self._refuse(block)
                if not self._send_block(block):
                    break
        finally:
            self._is_finishing = True
            sending.finish()
            self._sum_up(sending, time.monotonic() - began if began else 0.0)

    def keeps_waiting(self) -> bool:
        """Whether to wait on for the broker; tells how far behind that puts us."""
        now = time.monotonic()
        self._look(now, "the broker takes no more, the client's buffer is full")
        if self._is_finishing:
            return self._stopped_at is None or now < self._stopped_at + _STOP_S
        return not (self._stopped_at or self._is_over(now))

    def _send_block(self, block: Block) -> bool:
        """Send all of a block as it becomes due; False: it is enough."""
        at, labels = 0, list(block.labels)
        while at < len(block.payloads):
            n = min(self._wait(), len(block.payloads) - at)
            if not n:
                return False
            while labels and labels[0].row < at + n:
                label = labels.pop(0)
                if label.row > at and not self._send(block, at, label.row):
                    return False
                n, at = n - (label.row - at), label.row
                if not self._send_label(label):
                    return False
            if not self._send(block, at, at + n):
                return False
            at += n
        return True

    def _wait(self) -> int:
        """How many transactions to send now, once it is one; 0: it is enough."""
        assert self._sending is not None
        schedule = self._schedule
        while True:
            now = time.monotonic()
            self._look(now, "this machine is not fast enough")
            if self._stopped_at or self._is_over(now):
                return 0
            due = schedule.count(now) - self.transactions
            if due > 0:
                left = due if self._most is None else self._most - self.transactions
                return min(due, AT_ONCE, left)
            self._sending.serve()
            wait_s = schedule.due(self.transactions) - now
            self._stop.wait(min(max(wait_s, _TICK_S), _LOOK_S))

    def _is_over(self, now: float) -> bool:
        if self._most is not None and self.transactions >= self._most:
            return True
        if self._seconds is None:
            return False
        grace_s = _GRACE_S if self._schedule.rate else 0.0
        return now > self._schedule.start + self._seconds + grace_s

    def _send(self, block: Block, start: int, stop: int) -> bool:
        assert self._sending is not None
        n, first = stop - start, self.transactions
        due = self._schedule.due_ms(first, n).tolist()
        self._measure(first, n)
        taken = self._sending.send(
            self._topics[0], block.payloads[start:stop], block.keys[start:stop], due
        )
        self.transactions += taken
        if taken and self._schedule.rate:
            lag_s = time.monotonic() - self._schedule.due(self.transactions - 1)
            self.produced.lag_ms_max = max(self.produced.lag_ms_max, lag_s * 1000)
        return taken == n

    def _send_label(self, label: SentLabel) -> bool:
        assert self._sending is not None
        due = self._schedule.due_ms(self.transactions, 1).tolist()
        taken = self._sending.send(self._topics[1], [label.payload], [label.key], due)
        self.produced.labels += taken
        return taken == 1

    def _measure(self, first: int, n: int) -> None:
        """How late n transactions are that are sent now."""
        schedule, now = self._schedule, time.monotonic()
        if schedule.rate:
            lag_ms = (now - schedule.due(first)) * 1000
            self.produced.lag_ms_max = max(self.produced.lag_ms_max, lag_ms)
            self.produced.behind += min(max(schedule.count(now - ON_TIME_S) - first, 0), n)

    def _look(self, now: float, why_behind: str) -> None:
        """Notice a stop and acknowledgements; tell, now and then, what is amiss."""
        sending = self._sending
        if self._stop.is_set() and self._stopped_at is None:
            self._stopped_at = now
        if sending is None:
            return
        if sending.acknowledged != self._heard or not sending.waiting:
            self._heard, self._heard_at = sending.acknowledged, now
        if now < self._shown_at + _LOOK_S:
            return
        self._shown_at = now
        self._progress(self.transactions)
        silent_s, lag_s = now - self._heard_at, 0.0
        if not self._is_finishing:
            lag_s = now - self._schedule.due(self.transactions)
        if max(silent_s / _TELL_S, lag_s / _BEHIND_S) < 1 or now < self._told_at + _TELL_S:
            return
        self._told_at = now
        if silent_s >= _TELL_S:
            why_behind = (
                f"no acknowledgement for {silent_s:.0f} s, {sending.waiting:,} records wait"
            )
        self._tell(f"{lag_s:.1f} s behind schedule: {why_behind}" if lag_s > 0 else why_behind)

    def _refuse(self, block: Block) -> None:
        for line in block.refused:
            if self.produced.refused < 5:
                self._tell(f"cannot be sent: {line}")
            self.produced.refused += 1

    def _sum_up(self, sending: Sending, seconds: float) -> None:
        made = self.produced
        made.sent, made.acknowledged, made.failed = (
            sending.sent, sending.acknowledged, sending.failed,
        )  # fmt: skip
        made.failures = dict(sending.failures)
        made.seconds = round(seconds, 3)
        made.rate = round(self.transactions / seconds, 1) if seconds else 0.0
        made.lag_ms_max = round(made.lag_ms_max, 3)
        self._progress(self.transactions)


class Ahead(Generic[T]):
    """Things made ahead of time by a thread of their own, a bounded number of them.

    For what no schedule can wait for, such as simulated traffic, a quarter of a second at a time.
    """

    def __init__(self, source: Iterable[T], stop: Event) -> None:
        self._source, self._stop = source, stop
        self._is_closed = False
        self._queue: Queue[tuple[T] | Exception | None] = Queue(_AHEAD)
        self._thread = Thread(target=self._make, name="ahead", daemon=True)

    def __enter__(self) -> Iterator[T]:
        """One pass; it ends early once `stop` is set. Raises what making raises."""
        self._thread.start()
        return self._made()

    def __exit__(self, *_: object) -> None:
        self._is_closed = True
        self._thread.join(_STOP_S)

    def _made(self) -> Iterator[T]:
        while not self._stop.is_set():
            try:
                made = self._queue.get(timeout=_LOOK_S)
            except Empty:
                continue
            if made is None:
                return
            if isinstance(made, Exception):
                raise made
            yield made[0]

    def _make(self) -> None:
        end: Exception | None = None
        try:
            for made in self._source:
                if not self._put((made,)):
                    return
        except Exception as error:
            end = error  # told by whoever takes it
        self._put(end)

    def _put(self, made: tuple[T] | Exception | None) -> bool:
        while not self._is_closed:
            try:
                self._queue.put(made, timeout=_LOOK_S)
            except Full:
                continue
            return True
        return False
