"""Measuring: what decisions come to beside what is kept of them: facts for telemetry."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import NULL_INT, Batch
from alcyon.domain.currency import EXPONENTS
from alcyon.domain.decision import Action
from alcyon.features.compiled.observe import LATE
from alcyon.pipeline import Outcome
from alcyon.runners.stream.in_force import LoadModel
from alcyon.scoring.model import Model

_ACTIONS = tuple(Action.of_code(code).value for code in range(1, 5))


@dataclass
class Measured:
    """Of the decisions of one batch."""

    late: int = 0
    """Transactions later than the catalog's lateness_max."""
    event_times: list[NDArray[np.int64]] = field(default_factory=list)
    """Of all decisions, UTC ms."""
    probabilities: list[NDArray[np.float64]] = field(default_factory=list)
    """The champion's, of what it scored."""
    amounts: Counter[str] = field(default_factory=Counter)
    """Minor units of the base currency by action."""
    rule_hits: Counter[str] = field(default_factory=Counter)
    """Of live rules, by id."""
    inference_s: float = 0.0
    """Time of the models, the challenger's included."""

    def add(self, batch: Batch, outcome: Outcome) -> None:
        """These were decided."""
        decided = outcome.decided
        if not len(decided):
            return
        self.late += int(np.count_nonzero(outcome.observed.status == LATE))
        self.event_times.append(decided.event_times)
        ppm = decided.probability_ppm
        scored = ppm if decided.is_scored.all() else ppm[decided.is_scored]
        self.probabilities.append(scored / 1e6)
        amounts = np.asarray(batch.numbers("amount_base_minor"), np.int64)[outcome.rows]
        known = np.where(amounts == NULL_INT, 0, amounts)
        by_code = np.bincount(decided.actions, known, len(_ACTIONS) + 1).tolist()
        for action, amount in zip(_ACTIONS, by_code[1:], strict=True):
            if amount:
                self.amounts[action] += round(amount)
        if decided.rule_hits:
            self.rule_hits.update(chain.from_iterable(decided.rule_hits.values()))


def minor_units(currency: str) -> int:
    """How many make one whole unit."""
    return int(10 ** EXPONENTS[currency])


class Stopwatch:
    """How long models took. For one thread."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def taken(self) -> float:
        """Seconds since it was asked last."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    def over(self, load: LoadModel) -> LoadModel:
        """Gives the same models, timed."""

        def timed(name: str) -> Model:
            model = load(name)
            return replace(model, session=_Timed(model.session, self))

        return timed

    def run(self, run: Callable[..., Any], *arguments: Any) -> Any:
        """Do it, and add what it took."""
        began = time.perf_counter()
        try:
            return run(*arguments)
        finally:
            self._seconds += time.perf_counter() - began


class _Timed:
    """An onnxruntime session whose runs are timed; the library is untyped."""

    def __init__(self, session: Any, stopwatch: Stopwatch) -> None:
        self._session, self._stopwatch = session, stopwatch

    def run(self, outputs: Any, inputs: Any) -> Any:
        """As the session's."""
        return self._stopwatch.run(self._session.run, outputs, inputs)
