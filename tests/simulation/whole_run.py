"""A whole run of traffic in memory, as plain columns, for the statistical tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import Batch, concatenate
from alcyon.simulation import Population, Scenario, Slice, simulate

DAY_MS = 86_400_000


@dataclass(frozen=True, eq=False)
class Run:
    """A whole run in memory."""

    scenario: Scenario
    population: Population
    slices: Sequence[Slice]
    transactions: Batch
    truth: Batch

    def words(self, name: str) -> NDArray[np.object_]:
        """A string column as Python text; null is ''."""
        return np.array([v or "" for v in self.transactions.strings(name).to_list()], object)

    def codes(self, name: str) -> NDArray[np.int64]:
        """A string column as small integers, equal where the words are equal; null is -1."""
        words = self.words(name)
        _, code = np.unique(words.astype(np.str_), return_inverse=True)
        return np.where(words == "", -1, code)

    @cached_property
    def attack(self) -> NDArray[np.object_]:
        """Names; '' for genuine."""
        return np.array([v or "" for v in self.truth.strings("attack").to_list()], object)

    @cached_property
    def rows_of_card(self) -> dict[str, NDArray[np.int64]]:
        """The rows of every card, the oldest first."""
        card = self.words("card_id").astype(np.str_)
        order = np.argsort(card, kind="stable")
        names, start = np.unique(card[order], return_index=True)
        return dict(zip(names.tolist(), np.split(order, start[1:]), strict=True))

    @cached_property
    def cards(self) -> NDArray[np.object_]:
        return self.words("card_id")

    def before(self, row: int, days: float = 60) -> NDArray[np.int64]:
        """The rows of the same card before a row, the oldest first."""
        rows = self.rows_of_card[self.cards[row]]
        rows = rows[: np.searchsorted(rows, row)]
        time = self.transactions.numbers("event_time")
        recent: NDArray[np.int64] = rows[time[rows] >= time[row] - days * DAY_MS]
        return recent


def run_of(scenario: Scenario, population: Population | None = None) -> Run:
    people = population or scenario.create_population()
    slices = list(simulate(scenario, people))
    return Run(
        scenario,
        people,
        slices,
        concatenate([s.transactions for s in slices]),
        concatenate([s.truth for s in slices]),
    )
