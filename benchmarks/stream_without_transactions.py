"""`alcyon` with a decisions log that only flushes: for what exactly-once costs, and nothing else.

    python -m stream_without_transactions run …

A worker that is killed here loses or doubles decisions.
"""

from __future__ import annotations

import sys
from typing import Any

from confluent_kafka import Producer

from alcyon.cli import main
from alcyon.io.kafka import commits


class FlushedProducer(Producer):
    """Begins and commits nothing; idempotent and acknowledged all the same."""

    def __init__(self, config: dict[str, Any]) -> None:
        kept = {k: v for k, v in config.items() if not k.startswith("transaction")}
        super().__init__(kept | {"enable.idempotence": True})

    def init_transactions(self, timeout: float = -1) -> None:
        """Nothing to fence."""

    def begin_transaction(self) -> None:
        """Nothing to begin."""

    def commit_transaction(self, timeout: float = -1) -> None:
        """All is acknowledged."""
        self.flush(timeout)


if __name__ == "__main__":
    commits.Producer = FlushedProducer  # type: ignore[misc]
    sys.exit(main())
