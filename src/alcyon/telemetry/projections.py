"""The projections' metrics: what each stored, and how far behind it is."""

from __future__ import annotations

from alcyon.telemetry.instruments import Maker
from alcyon.telemetry.words import STORES


class ProjectionMetrics:
    """Of the stores that a process fills: of another's it would tell what is not so.
    Thread-safe."""

    def __init__(self, make: Maker) -> None:
        self.commits = make.some_counts("projection_commits", "Commits stored", "store", STORES)
        self.rows = make.some_counts(
            "projection_rows", "Rows stored; of the office, alerts that were new to its cases",
            "store", STORES,
        )  # fmt: skip
        self.outages = make.some_counts(
            "projection_outages", "Times a store could not be written", "store", STORES
        )
        self.away = make.some_levels(
            "projection_away_bool", "1: the store cannot be written", "store", STORES, 0
        )
        self.failures = make.some_counts(
            "projection_failures", "Times one halted before commits it has not stored", "store",
            STORES,
        )  # fmt: skip
        self.halted = make.some_levels(
            "projection_halted_bool", "1: it does not go on; see the log", "store", STORES, 0
        )
        self.lag = make.some_levels(
            "projection_lag_commits", "Commits not stored yet", "store", STORES
        )

    def know(self, store: str) -> None:
        """This process fills it: its series are there from now on."""
        for counts in (self.commits, self.rows, self.outages, self.failures):
            counts.know((store,))
        for levels in (self.away, self.halted, self.lag):
            levels.know((store,))
