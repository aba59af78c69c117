"""The Fraud Detection Handbook's simulated data as canonical transactions.

`TX_FRAUD_SCENARIO` is the label in other words and is not read. Amounts have no currency in the
source; they are taken as euros. Source: Le Borgne, Siblini, Lebichot, Bontempi, "Reproducible
Machine Learning for Credit Card Fraud Detection", 2022.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from alcyon.detectors.conversion import Converted, minor_units, repeated, texts
from alcyon.domain.columns import Batch, ColumnType

COLUMNS = {
    "TRANSACTION_ID": ColumnType.INT,
    "TX_DATETIME": ColumnType.INT,
    "CUSTOMER_ID": ColumnType.INT,
    "TERMINAL_ID": ColumnType.INT,
    "TX_AMOUNT": ColumnType.FLOAT,
    "TX_FRAUD": ColumnType.INT,
}
"""What is read of the published file; all are required."""
REQUIRED = frozenset(COLUMNS)
HOME = (
    "https://github.com/Fraud-Detection-Handbook/simulated-data-raw (its days joined into one "
    "parquet or csv file)"
)
"""Where the file is, for whoever has none."""
EXTRA: dict[str, ColumnType] = {}
"""Columns beside the canonical ones."""


def convert(raw: Batch, _first_row: int) -> Converted:
    """Canonical transactions, one per row, in the source's order."""
    transactions = Batch(
        {
            "transaction_id": texts(raw.numbers("TRANSACTION_ID")),
            "event_time": raw.numbers("TX_DATETIME"),
            "amount_minor": minor_units(cast("NDArray[np.float64]", raw.numbers("TX_AMOUNT"))),
            "currency": repeated("EUR", len(raw)),
            "card_id": texts(raw.numbers("CUSTOMER_ID")),
            "merchant_id": texts(raw.numbers("TERMINAL_ID")),
        }
    )
    return Converted(transactions, cast("NDArray[np.int64]", raw.numbers("TX_FRAUD")))
