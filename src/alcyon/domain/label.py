"""Labels: what somebody says about a transaction, append-only."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from alcyon.domain.columns import ColumnType

LABEL_COLUMNS: Mapping[str, ColumnType] = MappingProxyType(
    {
        "label_id": ColumnType.STRING,
        "transaction_id": ColumnType.STRING,
        "is_fraud": ColumnType.BOOLEAN,
        "fraud_type": ColumnType.STRING,
        "loss_minor": ColumnType.INT,
        "source": ColumnType.STRING,
        "author": ColumnType.STRING,
        "labelled_at": ColumnType.INT,
    }
)
"""All columns of a label; `labelled_at` is UTC milliseconds. Only `fraud_type`, `loss_minor` and
`author` may be null."""

SOURCES = ("chargeback", "issuer", "analyst", "rule")
"""Who may say so, the most trusted first."""
