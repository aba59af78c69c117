"""The projections' metrics: what each stored, and how far behind it is."""

from __future__ import annotations

from alcyon.telemetry.instruments import Maker
from alcyon.telemetry.words import STORES


class ProjectionMetrics:
    """Thread-safe."""

    def __init__(self, make: Maker) -> None:
        self.commits = make.counts("projection_commits", "Commits stored", "store", STORES)
        self.rows = make.counts("projection_rows", "Rows stored", "store", STORES)
        self.outages = make.counts(
            "projection_outages", "Times a store could not be written", "store", STORES
        )
        self.away = make.levels(
            "projection_away_bool", "1: the store cannot be written", "store", STORES, 0
        )
        self.failures = make.counts(
            "projection_failures", "Times one halted before commits it has not stored", "store",
            STORES,
        )  # fmt: skip
        self.halted = make.levels(
            "projection_halted_bool", "1: it does not go on; see the log", "store", STORES, 0
        )
        self.lag = make.levels("projection_lag_commits", "Commits not stored yet", "store", STORES)
