"""Telling of delivery: what arrived, what did not, and how much waits."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from alcyon.domain.errors import AlcyonError, UnreachableError
from alcyon.domain.office.delivery import Parcel, Waiting
from alcyon.telemetry.delivery import DeliveryMetrics
from alcyon.telemetry.instruments import NAN
from alcyon.telemetry.lines import Log
from alcyon.telemetry.words import DELIVERED, GIVEN_UP, RETRIED

EVERY_S = 5.0
"""How often it is asked how much waits."""


class DeliveryTelling:
    """Tells of parcels, from any thread."""

    def __init__(self, metrics: DeliveryMetrics, log: Log) -> None:
        self._metrics, self._log = metrics, log

    def arrived(self, parcel: Parcel) -> None:
        """Its receiver has it."""
        self._metrics.messages.add(parcel.target, DELIVERED, len(parcel.messages))

    def failed(self, parcel: Parcel, error: AlcyonError, is_dead: bool) -> None:
        """It may not have arrived; it is tried again, or dead."""
        outcome = GIVEN_UP if is_dead else RETRIED
        self._metrics.messages.add(parcel.target, outcome, len(parcel.messages))
        self._log.warning(
            "parcel not delivered", name=parcel.target, kind=outcome, count=parcel.attempts,
            why=str(error),
        )  # fmt: skip

    def waiting(self, waiting: Waiting, now_ms: int) -> None:
        """So much is not delivered yet."""
        oldest = now_ms if waiting.oldest_at is None else waiting.oldest_at
        self._metrics.outbox.set(waiting.messages)
        self._metrics.oldest.set(max(0.0, (now_ms - oldest) / 1000))

    def away(self) -> None:
        """How much waits cannot be had."""
        self._metrics.outbox.set(NAN)
        self._metrics.oldest.set(NAN)


def tell_waiting(
    ask: Callable[[], Waiting], now_ms: Callable[[], int], telling: DeliveryTelling, stop: Event
) -> None:
    """Every few seconds, until stopped."""
    while not stop.is_set():
        try:
            telling.waiting(ask(), now_ms())
        except UnreachableError:
            telling.away()
        stop.wait(EVERY_S)
