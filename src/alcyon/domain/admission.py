"""Admission: what every record goes through before the core sees it, wherever it comes from.

Validated first, then card numbers are replaced by tokens, then the amount in the base currency is
filled in. What fails leaves as a fault and never harms its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import NULL_INT, Batch
from alcyon.domain.currency import Rates
from alcyon.domain.tokens import TokenKeys, tokenise, tokenise_ids
from alcyon.domain.transaction import AMOUNT_MINOR_MAX
from alcyon.domain.validation import Fault, Verdict, all_within, validate, validate_labels


@dataclass(frozen=True, eq=False)
class Admitted:
    """The records that may go on, and why the others may not."""

    batch: Batch
    rows: NDArray[np.int64]
    """int64[m]: where each record of `batch` stood in what was given, rising."""
    faults: list[Fault]
    """One for each other record, by row."""


def admit(batch: Batch, keys: TokenKeys, rates: Rates) -> Admitted:
    """Validate transactions, replace card numbers, fill `amount_base_minor` where it is absent.

    Raises InputError when a required column is absent from the whole batch.
    """
    verdict = validate(batch)
    converted, unconverted = _with_base_amount(batch, rates, verdict.accepted)
    admitted = _kept(converted, verdict, unconverted)
    return Admitted(tokenise(admitted.batch, keys), admitted.rows, admitted.faults)


def admit_labels(batch: Batch, keys: TokenKeys) -> Admitted:
    """Validate labels and replace card numbers, so that a label finds its transaction's token."""
    admitted = _kept(batch, validate_labels(batch), [])
    ids = {
        name: tokenise_ids(admitted.batch.strings(name), keys)
        for name in ("label_id", "transaction_id")
    }
    return Admitted(Batch({**admitted.batch.columns, **ids}), admitted.rows, admitted.faults)


def _with_base_amount(
    batch: Batch, rates: Rates, accepted: NDArray[np.bool_]
) -> tuple[Batch, list[Fault]]:
    given = _amounts(batch, "amount_base_minor") if "amount_base_minor" in batch else None
    if given is not None and not (given == NULL_INT).any():
        return batch, []
    currency = batch.strings("currency")
    base = rates.to_base(_amounts(batch, "amount_minor"), currency)
    if given is not None:
        base = np.where(given == NULL_INT, base, given)
    filled = Batch({**batch.columns, "amount_base_minor": base})
    # A null is smaller than any amount: one look finds both faults.
    if all_within(base, 0, AMOUNT_MINOR_MAX):
        return filled, []
    refused = np.flatnonzero(((base < 0) | (base > AMOUNT_MINOR_MAX)) & accepted)
    return filled, [_base_fault(filled, rates, int(row)) for row in refused]


def _amounts(batch: Batch, name: str) -> NDArray[np.int64]:
    return cast("NDArray[np.int64]", batch.numbers(name))


def _base_fault(batch: Batch, rates: Rates, row: int) -> Fault:
    code = batch.strings("currency").slice(row, row + 1).to_list()[0]
    amount = batch.numbers("amount_base_minor")[row]
    if amount == NULL_INT:
        return Fault(row, "no_rate", f"no rate of {code} in {rates.base} in table {rates.version}")
    detail = f"amount_base_minor {amount} is above {AMOUNT_MINOR_MAX}"
    return Fault(row, "amount_out_of_range", detail)


def _kept(batch: Batch, verdict: Verdict, further: list[Fault]) -> Admitted:
    faults = sorted([*verdict.faults, *further])
    if not faults:
        return Admitted(batch, np.arange(len(batch)), [])
    accepted = verdict.accepted.copy()
    accepted[[fault.row for fault in further]] = False
    rows = np.flatnonzero(accepted)
    return Admitted(batch.take(rows), rows, faults)
