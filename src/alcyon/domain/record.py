"""Records: raw bytes with a place in the log; dead letters: records that could not be used."""

from __future__ import annotations

from enum import IntEnum

import msgspec


class Topic(IntEnum):
    """The topics a worker reads, as the embedded log numbers them."""

    TRANSACTIONS = 1
    LABELS = 2
    CONTROL = 3


class Record(msgspec.Struct, frozen=True, gc=False):
    """Raw bytes as read from a source. There are many, and none can be part of a cycle: gc=False
    spares the collector looking."""

    topic: Topic
    position: int
    """Where it stands in its source; reading on starts behind it."""
    payload: bytes
    time: int | None = None
    """When the log took it, UTC ms by the log's own clock; None where it does not say."""


class DeadLetter(msgspec.Struct, frozen=True):
    """A record that failed decoding or validation, kept with its reason."""

    sequence: int
    topic: str
    position: int
    reason: str
    """A stable code, such as `invalid_json` or `amount_out_of_range`."""
    detail: str
    payload: bytes
    """What was read, cut to a bound, card numbers masked."""
