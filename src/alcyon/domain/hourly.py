"""Roll-ups: decisions counted by hour of event time, so that statistics never scan them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from alcyon.domain.columns import NULL_INT, Batch
from alcyon.domain.projected import DecisionRow, Projected

HOUR_MS = 3_600_000


class Cell(msgspec.Struct, frozen=True, order=True):
    """What decisions are counted by."""

    hour_ms: int
    """The beginning of a UTC hour of event time."""
    country: str
    """The transaction's; `''` where it has none."""
    category: str
    """The merchant's; `''` where there is none."""
    action: str
    reason: str
    """`reason_shown`; `score` for most that are approved."""
    model: str
    """The model's version."""


class Hourly(msgspec.Struct, frozen=True, order=True):
    """The decisions of one cell. Any sum over cells is exact, too."""

    cell: Cell
    decision_count: int
    amount_base_minor_sum: int
    """In minor units of the base currency; an amount without a rate adds nothing."""


def hourly(projected: Projected) -> list[Hourly]:
    """The cells that these decisions fall into, in order."""
    counts, amounts = Counter[Cell](), Counter[Cell]()
    start = 0
    for batch in projected.transactions:
        decisions = projected.decisions[start : start + len(batch)]
        start += len(batch)
        for cell, amount in zip(_cells(decisions, batch), _amounts(batch), strict=True):
            counts[cell] += 1
            amounts[cell] += amount
    return [Hourly(cell, counts[cell], amounts[cell]) for cell in sorted(counts)]


def _cells(decisions: Sequence[DecisionRow], batch: Batch) -> Iterator[Cell]:
    words = [_words(batch, "country"), _words(batch, "category")]
    for d, country, category in zip(decisions, *words, strict=True):
        yield Cell(
            d.event_time // HOUR_MS * HOUR_MS, country, category, d.action, d.reason_shown(),
            d.versions_named().model,
        )  # fmt: skip


def _words(batch: Batch, name: str) -> list[str]:
    if name not in batch:
        return [""] * len(batch)
    return [word or "" for word in batch.strings(name).to_list()]


def _amounts(batch: Batch) -> list[int]:
    if "amount_base_minor" not in batch:
        return [0] * len(batch)
    amounts = batch.numbers("amount_base_minor")
    return [int(a) for a in np.where(amounts == NULL_INT, 0, amounts).tolist()]
