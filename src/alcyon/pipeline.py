"""A batch of transactions in, a batch of decisions out: observe > score > rules > policy.

No clock, no I/O, no randomness: the decisions are a function of the order of records and of the
versions in force, whatever the size of the batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import Batch
from alcyon.domain.decision import Versions
from alcyon.features.compiled.observe import CONFLICTING, DUPLICATE
from alcyon.features.kernel import NO_LABELS, Kernel, LabelRows
from alcyon.features.observed import Observed
from alcyon.scoring.conduct import Conduct
from alcyon.scoring.decided import Decided
from alcyon.scoring.verdict import act, explain, score


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a batch of n transactions."""

    decided: Decided
    rows: NDArray[np.int64]
    """Rows of the batch that got a decision, in order; all but duplicates."""
    observed: Observed
    """Status, sequence and features of every row."""

    @property
    def duplicates(self) -> NDArray[np.int64]:
        """Rows that repeat an earlier transaction; they change nothing."""
        return np.flatnonzero(self.observed.status == DUPLICATE)

    @property
    def conflicting(self) -> NDArray[np.int64]:
        """Rows whose id was used before with another payload: dead letters."""
        return np.flatnonzero(self.observed.status == CONFLICTING)


class Pipeline:
    """One kernel and the conduct in force. Not for several threads."""

    def __init__(self, kernel: Kernel, conduct: Conduct) -> None:
        self.kernel = kernel
        self.conduct = conduct
        self.adopt(conduct)

    @property
    def versions(self) -> Versions:
        """What takes part in the next decision."""
        return self.conduct.versions

    def adopt(self, conduct: Conduct) -> None:
        """Decide by these rules, lists, policy and model from now on."""
        self.conduct = conduct
        self.kernel.read_also(conduct.transaction_columns)

    def decide(
        self,
        batch: Batch,
        *,
        labels: LabelRows = NO_LABELS,
        sequences: NDArray[np.int64] | None = None,
        latest: NDArray[np.int64] | None = None,
    ) -> Outcome:
        """Decide on a batch that was validated, in order; arguments as for `Kernel.observe`."""
        observed = self.kernel.observe(batch, labels=labels, sequences=sequences, latest=latest)
        rows = np.flatnonzero(observed.status < DUPLICATE)
        scored = score(self.conduct, observed, rows)
        acted = act(self.conduct, self.kernel, batch, observed, scored)
        decided = explain(self.conduct, batch, observed, scored, acted)
        return Outcome(decided, rows, observed)

    def observe(
        self,
        batch: Batch,
        *,
        labels: LabelRows = NO_LABELS,
        sequences: NDArray[np.int64] | None = None,
        latest: NDArray[np.int64] | None = None,
    ) -> None:
        """Change the state exactly as `decide` would, where the decisions are known already."""
        self.kernel.observe(batch, labels=labels, sequences=sequences, latest=latest)
        self.kernel.literals(self.conduct.rules.program.strings)
