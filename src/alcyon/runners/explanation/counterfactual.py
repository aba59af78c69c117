"""Counterfactual: the smallest change that would have been approved, decided again on the state on
which the transaction itself was decided.

The grid is `scoring.honest_changes`. What was let through to learn from it (`explored`) counts as
not approved: the payer could not have known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from alcyon.domain.columns import NULL_INT, Batch, Column, ColumnType, Strings
from alcyon.domain.currency import Rates
from alcyon.domain.decision import Action, Decision
from alcyon.domain.errors import LogError
from alcyon.domain.office.explanation import Changed, Counterfactual
from alcyon.domain.projected import column_values
from alcyon.domain.transaction import COLUMNS
from alcyon.features.trial import trial
from alcyon.pipeline import Pipeline
from alcyon.runners.explanation.state_before import Standing
from alcyon.scoring.conduct import Conduct
from alcyon.scoring.decided import EXPLORED
from alcyon.scoring.honest_changes import Candidate, Row, Value, candidates


@dataclass(frozen=True)
class Again:
    """What a transaction would have come to."""

    action: str
    score: int | None
    is_explored: bool
    features: bytes

    @property
    def is_approved(self) -> bool:
        """By score and rules, and not by chance."""
        return self.action == Action.APPROVE.value and not self.is_explored


@dataclass(frozen=True)
class Trying:
    """Decides changed transactions on one state, any number of them; the state stays as it is."""

    standing: Standing
    conduct: Conduct

    def __post_init__(self) -> None:
        pipeline = self.standing.deciding.pipeline
        pipeline.adopt(self.conduct)
        pipeline.kernel.literals(self.conduct.rules.program.strings)

    def check(self, decision: Decision) -> None:
        """LogError unless the transaction itself comes to what was recorded."""
        found = self.decided({})
        then = (decision.action, decision.score, decision.features)
        if (found.action, found.score, found.features) != then:
            raise LogError(
                f"decided again, {decision.transaction_id} comes to {found.action} with score "
                f"{found.score}, not to {decision.action} with {decision.score}: alcyon replay "
                f"{decision.transaction_id} shows more"
            )

    def decided(self, values: Row) -> Again:
        """What it would have come to with these columns otherwise."""
        pipeline, transaction = self.standing.deciding.pipeline, self.standing.transaction
        batch = changed(transaction.transactions, values, self.standing.deciding.in_force.rates)
        latest = transaction.latest
        if latest is not None:  # who pays later is heard later
            before = np.asarray(transaction.transactions.numbers("event_time"), np.int64)
            latest = latest + (np.asarray(batch.numbers("event_time"), np.int64) - before)
        with trial(pipeline.kernel):
            return _decided(pipeline, batch, transaction.sequences, latest)

    def smallest(self, earlier: Sequence[Row]) -> tuple[Candidate, Counterfactual] | None:
        """The cheapest candidate that would have been approved, None where there is none."""
        transaction = row_of(self.standing.transaction.transactions)
        for tried, candidate in enumerate(candidates(transaction, earlier), 1):
            found = self.decided(candidate.values)
            if found.is_approved:
                shown = Counterfactual(
                    _changes(transaction, candidate), found.action, found.score, tried
                )
                return candidate, shown
        return None


def row_of(batch: Batch) -> dict[str, Value]:
    """The columns of a batch's first row, without those that are null."""
    values = {name: column_values(column)[0] for name, column in batch.columns.items()}
    return {name: value for name, value in values.items() if value is not None}


def changed(batch: Batch, values: Row, rates: Rates) -> Batch:
    """A batch of one row with some columns otherwise, its amount in the base currency with it."""
    columns: dict[str, Column] = dict(batch.columns)
    columns |= {name: _column(name, value) for name, value in values.items()}
    amount = values.get("amount_minor")
    if amount is not None and amount != batch.numbers("amount_minor")[0]:
        columns["amount_base_minor"] = np.array([_in_base(batch, cast(int, amount), rates)])
    return Batch(columns)


def _in_base(batch: Batch, amount: int, rates: Rates) -> int:
    """By the rates; where the record said itself what it comes to, in proportion."""
    currency = batch.strings("currency")
    before, base = (int(batch.numbers(n)[0]) for n in ("amount_minor", "amount_base_minor"))
    both = rates.to_base(np.array([before, amount], np.int64), currency.take(np.array([0, 0])))
    if int(both[0]) == base:
        return int(both[1])
    return base * amount // before


def _column(name: str, value: Value) -> Column:
    kind = COLUMNS[name]
    if kind is ColumnType.STRING:
        return Strings.from_list([None if value is None else str(value)])
    if kind is ColumnType.FLOAT:
        return np.array([np.nan if value is None else value], np.float64)
    return np.array([NULL_INT if value is None else value], np.int64)


def _decided(
    pipeline: Pipeline,
    batch: Batch,
    sequences: np.ndarray[tuple[int], np.dtype[np.int64]],
    latest: np.ndarray[tuple[int], np.dtype[np.int64]] | None,
) -> Again:
    decided = pipeline.decide(batch, sequences=sequences, latest=latest).decided
    if len(decided) != 1:
        raise LogError(f"sequence {int(sequences[0])} repeats an earlier transaction")
    return Again(
        Action.of_code(int(decided.actions[0])).value,
        int(decided.scores[0]) if decided.is_scored[0] else None,
        EXPLORED in decided.codes.get(0, ()),
        np.ascontiguousarray(decided.features[0], "<f4").tobytes(),
    )


def _changes(transaction: Mapping[str, Value], candidate: Candidate) -> list[Changed]:
    return [
        Changed(name, transaction.get(name), value, candidate.words[name])
        for name, value in candidate.values.items()
    ]
