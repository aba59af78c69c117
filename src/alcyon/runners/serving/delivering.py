"""Delivering: what waits in the outbox goes out, at least once, until it has arrived.

A kill between any two steps loses nothing: what was not said to have arrived is sent again, under
the same id, so that who receives can tell.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event

import msgspec

from alcyon.domain.errors import AlcyonError, UnreachableError
from alcyon.domain.office.cases import CaseStatus
from alcyon.domain.office.delivery import STATUSES, Channel, Outbox, Parcel

RETRY_MS_MIN, RETRY_MS_MAX = 1_000, 3_600_000
PAUSE_S = 0.5
OnFailure = Callable[[Parcel, AlcyonError, bool], None]
"""Told of a parcel that did not arrive, why, and whether it is dead now."""
OnArrival = Callable[[Parcel], None]


@dataclass(frozen=True)
class Appending:
    """A channel into a log of ours: labels, or resolutions. It is never given up.

    append: adds payloads, all of them or none.
    """

    target: str
    append: Callable[[Sequence[bytes]], None]
    window_ms: int = 0
    attempts_max: int | None = None

    def send(self, parcel: Parcel) -> None:
        """Append the messages, in order."""
        self.append([message.body for message in parcel.messages])


class _Moved(msgspec.Struct):
    transaction_ids: list[str]
    status: CaseStatus


_moved = msgspec.json.Decoder(_Moved)


@dataclass(frozen=True)
class Moving:
    """A channel into the queue's store, which is searched by the status of each alert's case.

    move: gives alerts on these transactions a status; how many there are.
    """

    move: Callable[[Sequence[str], CaseStatus], int]
    target: str = STATUSES
    window_ms: int = 0
    attempts_max: int | None = None

    def send(self, parcel: Parcel) -> None:
        """Move them; of several statuses of one alert, the last counts. UnreachableError: the
        projection has not come so far."""
        newest: dict[str, CaseStatus] = {}
        for message in parcel.messages:
            moved = _moved.decode(message.body)
            newest |= dict.fromkeys(moved.transaction_ids, moved.status)
        count = 0
        for status in sorted(set(newest.values())):
            count += self.move([name for name, s in newest.items() if s == status], status)
        if count < len(newest):
            raise UnreachableError(f"the projection lacks {len(newest) - count} alerts")


class Delivering:
    """Delivers what waits for these channels."""

    def __init__(
        self,
        outbox: Outbox,
        channels: Sequence[Channel],
        on_failure: OnFailure | None = None,
        on_arrival: OnArrival | None = None,
    ) -> None:
        self._outbox, self._channels = outbox, channels
        self._on_failure = on_failure or (lambda parcel, error, is_dead: None)
        self._on_arrival = on_arrival or (lambda parcel: None)

    def step(self) -> int:
        """Send at most one parcel per channel; how many arrived. UnreachableError: the outbox is
        away; what was sent may be sent again."""
        return sum(self._step(channel) for channel in self._channels)

    def run(self, stop: Event) -> None:
        """Deliver until stopped; an outage of the outbox is waited out."""
        while not stop.is_set():
            with suppress(UnreachableError):  # the office's own users are told of that
                if self.step():
                    continue
            stop.wait(PAUSE_S)

    def _step(self, channel: Channel) -> bool:
        parcel = self._outbox.take(channel.target, channel.window_ms)
        if parcel is None:
            return False
        try:
            channel.send(parcel)
        except AlcyonError as error:
            is_dead = channel.attempts_max is not None and parcel.attempts >= channel.attempts_max
            retry_in_ms = None if is_dead else retry_ms(parcel.attempts)
            self._outbox.failed(parcel, str(error), retry_in_ms)
            self._on_failure(parcel, error, is_dead)
            return False
        self._outbox.sent(parcel)
        self._on_arrival(parcel)
        return True


def retry_ms(attempts: int) -> int:
    """How long to wait after so many attempts: twice as long as the last time, up to an hour; a
    part of it is drawn, so that many do not come back at once."""
    longest = min(RETRY_MS_MIN << min(attempts, 20), RETRY_MS_MAX)
    return random.randint(longest // 2, longest)
