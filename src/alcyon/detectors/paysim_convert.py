"""PaySim's simulated mobile money as canonical transactions.

Read are Kaggle's columns, but for `isFlaggedFraud`, a rule's answer. The balances become the extra
columns that the paysim detector declares. The source has hours from an unnamed start, no ids and no
currency: the first hour is taken as 2024-01-01T00:00Z, a row's number as its id, the amounts as
euros. Source: Lopez-Rojas, Elmir, Axelsson, "PaySim", 2016.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from alcyon.detectors.conversion import Converted, minor_units, repeated
from alcyon.detectors.paysim import columns as balances
from alcyon.domain.columns import NULL_INT, Batch, ColumnType, Strings

COLUMNS = {
    "step": ColumnType.INT,
    "type": ColumnType.STRING,
    "amount": ColumnType.FLOAT,
    "nameOrig": ColumnType.STRING,
    "oldbalanceOrg": ColumnType.FLOAT,
    "newbalanceOrig": ColumnType.FLOAT,
    "nameDest": ColumnType.STRING,
    "oldbalanceDest": ColumnType.FLOAT,
    "newbalanceDest": ColumnType.FLOAT,
    "isFraud": ColumnType.INT,
}
"""What is read of the published file; all are required."""
REQUIRED = frozenset(COLUMNS)
HOME = "https://www.kaggle.com/datasets/ealaxi/paysim1 (PS_20174392719_1491204439457_log.csv)"
"""Where the file is, for whoever has none: Kaggle wants an account."""
EXTRA = dict.fromkeys(balances, ColumnType.INT)
"""Columns beside the canonical ones."""

_THEIRS = ("oldbalanceOrg", "newbalanceOrig", "oldbalanceDest", "newbalanceDest")

START = 1_704_067_200_000
"""2024-01-01T00:00:00Z, where hour 1 begins."""
_HOUR_MS = 3_600_000


def convert(raw: Batch, first_row: int) -> Converted:
    """Canonical transactions, one per row; `first_row` is the number of the slice's first row."""
    step = raw.numbers("step")
    ids = [f"paysim-{row}" for row in range(first_row, first_row + len(raw))]
    kinds = [None if kind is None else kind.lower() for kind in raw.strings("type").to_list()]
    transactions = Batch(
        {
            "transaction_id": Strings.from_list(ids),
            "event_time": np.where(step == NULL_INT, NULL_INT, START + (step - 1) * _HOUR_MS),
            "amount_minor": minor_units(cast("NDArray[np.float64]", raw.numbers("amount"))),
            "currency": repeated("EUR", len(raw)),
            "account_id": raw.strings("nameOrig"),
            "counterparty_id": raw.strings("nameDest"),
            "transaction_type": Strings.from_list(kinds),
            **{
                ours: minor_units(cast("NDArray[np.float64]", raw.numbers(theirs)))
                for ours, theirs in zip(balances, _THEIRS, strict=True)
            },
        }
    )
    return Converted(transactions, cast("NDArray[np.int64]", raw.numbers("isFraud")))
