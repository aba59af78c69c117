"""What a projection stores: commits of the decisions log, as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.alert import Alert
from alcyon.domain.columns import Batch
from alcyon.domain.decision import Decision
from alcyon.domain.errors import AlcyonError
from alcyon.domain.record import DeadLetter


class StoreError(AlcyonError):
    """A projection's store cannot be reached or written; nothing of the last write is in it."""


@dataclass(frozen=True, eq=False)
class Projected:
    """The commits [first_index, next_index) as rows.

    A store that has some of them already keeps those and adds the others.
    """

    first_index: int
    next_index: int
    transactions: Sequence[Batch]
    """The transactions decided on, in parts, each with the columns that it has; together as many
    rows as `decisions`, in the same order."""
    positions: NDArray[np.int64]
    """Their places in the intake."""
    decisions: Sequence[Decision]
    labels: Batch
    label_sequences: NDArray[np.int64]
    alerts: Sequence[Alert]
    dead_letters: Sequence[DeadLetter]
