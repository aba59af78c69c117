"""Delivery: what the office tells others, kept in the outbox until they have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

LABELS = "labels"
"""To the log of labels."""
RESOLUTIONS = "resolutions"
"""To the topic of that name, or the embedded log."""
STATUSES = "statuses"
"""To the projection's store, whose queue is searched by the status of each alert's case."""
SLACK, WEBHOOK, MAIL = "slack", "webhook", "mail"
"""To people and programs outside; WEBHOOK gets resolutions too."""


ALL_TARGETS = (LABELS, RESOLUTIONS, STATUSES, SLACK, WEBHOOK, MAIL)


@dataclass(frozen=True)
class Message:
    """One thing to tell. `message_id` is the same however often it is told."""

    message_id: str
    body: bytes
    """JSON."""


@dataclass(frozen=True)
class Parcel:
    """Messages that are delivered together; the same ones under the same id at each try."""

    parcel_id: str
    target: str
    messages: Sequence[Message]
    attempts: int
    """This one included."""


class Waiting(NamedTuple):
    """What is not delivered yet. oldest_at: when the oldest of it was put there, UTC ms; None:
    there is none."""

    messages: int
    oldest_at: int | None


class Channel(Protocol):
    """Where a target's messages go."""

    @property
    def target(self) -> str:
        """Which messages it takes."""
        ...

    @property
    def window_ms(self) -> int:
        """At most one new parcel in so long; what comes meanwhile goes with the next."""
        ...

    @property
    def attempts_max(self) -> int | None:
        """Then a parcel is dead; None: never."""
        ...

    def send(self, parcel: Parcel) -> None:
        """Deliver it. Any AlcyonError: it may not have arrived, and is tried again."""
        ...


class Outbox(Protocol):
    """Keeps messages until they are delivered: at least once."""

    def take(self, target: str, window_ms: int) -> Parcel | None:
        """A parcel to send now; nobody else gets it within `LEASE_MS`. One at a time per target:
        while one waits for its next try, what is new waits behind it."""
        ...

    def sent(self, parcel: Parcel) -> None:
        """It has arrived."""
        ...

    def failed(self, parcel: Parcel, problem: str, retry_in_ms: int | None) -> None:
        """It did not arrive. None: it is dead, kept and not tried again."""
        ...


LEASE_MS = 120_000
"""Sending takes less: what is not told to have ended by then is sent again."""
