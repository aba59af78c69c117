"""The history: simulated, let through the kernel, and kept where the model learns from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import Batch, Strings, concatenate
from alcyon.features.kernel import Kernel, LabelRows
from alcyon.learning.dataset import DAY_MS, Rows
from alcyon.runners.demo.recipe import Recipe
from alcyon.simulation import Population, Slice, labels_of, simulate

SLICE_ROWS = 8192
UNLEARNT = ("merchant_count_1h", "merchant_small_amounts_1h")
"""How dense the traffic is at a merchant says nothing here: by the clock it flows hundreds of
times denser than in the history, since nobody waits hours to see something."""
_KEPT = ("transaction_id", "event_time", "amount_base_minor")


@dataclass(frozen=True, eq=False)
class History:
    """What happened before the demo began.

    labels: all there will ever be, by labelled_at.
    """

    slices: list[Slice]
    labels: Batch

    @classmethod
    def of(cls, recipe: Recipe, population: Population) -> History:
        """Simulate it."""
        slices = list(simulate(recipe.history, population, SLICE_ROWS))
        return cls(slices, labels_of(slices, recipe.history_reporting))

    def labels_until(self, time: int) -> Batch:
        """What was said by then."""
        return self.labels.slice(0, self._place(time))

    def labels_after(self, time: int) -> Batch:
        """What was not."""
        return self.labels.slice(self._place(time), len(self.labels))

    def _place(self, time: int) -> int:
        return int(np.searchsorted(self.labels.numbers("labelled_at"), time, side="right"))


@dataclass(frozen=True, eq=False)
class Backfilled:
    """The rows to learn from, and the time of the last transaction that the state has seen."""

    rows: Rows
    front: int


def backfill(
    kernel: Kernel, history: History, recipe: Recipe, progress: Callable[[int, int], None]
) -> Backfilled:
    """Let the history change the kernel's state; features of the rows that are learnt from."""
    labels, features, kept = _label_rows(history.labels), [], []
    until = recipe.now - recipe.label_days * DAY_MS
    old = sum(int((_times(part) < until).sum()) for part in history.slices)
    passed, total = 0, sum(map(len, history.slices))
    for part in history.slices:
        observed = kernel.observe(part.transactions, labels=labels)
        labels = _rest(labels, observed.labels_used)
        first = max(old - recipe.trained_transactions - passed, 0)
        last = min(old - passed, len(part))
        if first < last:
            features.append(observed.vectors()[first:last])
            kept.append(_kept(part, first, last))
        passed += len(part)
        progress(passed, total)
    front = kernel.state.front
    assert front is not None
    return Backfilled(_rows(kernel, np.concatenate(features), concatenate(kept)), front)


def _times(part: Slice) -> NDArray[np.int64]:
    return np.asarray(part.transactions.numbers("event_time"), np.int64)


def _kept(part: Slice, first: int, last: int) -> Batch:
    columns = part.transactions.columns
    return Batch({name: columns[name] for name in _KEPT}).slice(first, last)


def _rows(kernel: Kernel, features: NDArray[np.float32], kept: Batch) -> Rows:
    """The same value throughout teaches nothing: so no tree asks for an unlearnt feature."""
    names = kernel.layout.catalog.model_names
    for name in UNLEARNT:
        features[:, names.index(name)] = 0
    return Rows(
        features=features,
        feature_names=names,
        transaction_id=kept.strings("transaction_id"),
        event_time=np.asarray(kept.numbers("event_time"), np.int64),
        amount_minor=np.asarray(kept.numbers("amount_base_minor"), np.int64),
    )


def _label_rows(labels: Batch) -> LabelRows:
    is_fraud = np.asarray(labels.numbers("is_fraud"), np.int64)
    due = np.asarray(labels.numbers("labelled_at"), np.int64)
    return LabelRows(labels.strings("transaction_id"), is_fraud, due, by_time=True)


def _rest(labels: LabelRows, used: int) -> LabelRows:
    ids: Strings = labels.transaction_ids.slice(used, len(labels.due))
    return LabelRows(ids, labels.is_fraud[used:], labels.due[used:], labels.by_time)
