"""Exploration: which would-be declines are let through to learn what they were, and how likely
each action was."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import Batch
from alcyon.domain.decision import CERTAIN_PPM, Action
from alcyon.scoring.policy import Exploration


@dataclass(frozen=True, eq=False)
class Explored:
    """By row of the decisions: what was let through, and the propensity where it is not certain."""

    through: frozenset[int] = frozenset()
    propensity_ppm: dict[int, int] = field(default_factory=dict)


def explore(
    exploration: Exploration,
    batch: Batch,
    rows: NDArray[np.int64],
    actions: NDArray[np.int8],
    unscored: NDArray[np.int8],
) -> Explored:
    """Change `actions` int8[m] of the decisions on `rows` int64[m] where exploration draws.

    unscored: int8[m], what rules alone would do. Only a decline that no rule asks for is drawn;
    what is let through is treated as the rules alone treat it. A repeat draws the same.
    """
    if not exploration.share_ppm or "amount_base_minor" not in batch:
        return Explored()
    declined = (actions == Action.DECLINE.code) & (unscored < Action.DECLINE.code)
    amounts = np.asarray(batch.numbers("amount_base_minor"), np.int64)[rows]
    within = (amounts >= 0) & (amounts <= exploration.amount_base_minor_max)
    candidates = np.flatnonzero(declined & within)
    ids = batch.strings("transaction_id").take(rows[candidates]).to_list()
    through = {
        row for row, i in zip(candidates.tolist(), ids, strict=True) if exploration.draws(i or "")
    }
    share = exploration.share_ppm
    for row in through:
        actions[row] = unscored[row]
    propensity = {r: share if r in through else CERTAIN_PPM - share for r in candidates.tolist()}
    return Explored(frozenset(through), propensity)
