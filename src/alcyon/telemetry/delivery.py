"""Metrics of what is told to others: what arrived by which channel, and what still waits."""

from __future__ import annotations

from alcyon.telemetry.instruments import Maker
from alcyon.telemetry.words import CHANNELS, DELIVERED, GIVEN_UP, RETRIED


class DeliveryMetrics:
    """Thread-safe."""

    def __init__(self, make: Maker) -> None:
        self.messages = make.counts_by_two(
            "delivery_messages",
            "Messages sent: they arrived, are tried again, or were given up",
            {"channel": CHANNELS, "outcome": (DELIVERED, RETRIED, GIVEN_UP)},
        )
        self.outbox = make.gauge("delivery_outbox_messages", "Messages that wait")
        self.oldest = make.gauge(
            "delivery_oldest_seconds", "Age of the oldest message that waits, 0 without one"
        )
