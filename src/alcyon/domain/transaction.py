"""The canonical transaction: its columns, their types and the bounds of their values."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from alcyon.domain.columns import ColumnType

_S, _I, _F = ColumnType.STRING, ColumnType.INT, ColumnType.FLOAT

REQUIRED: Mapping[str, ColumnType] = MappingProxyType(
    {"transaction_id": _S, "event_time": _I, "amount_minor": _I, "currency": _S}
)
"""Columns every transaction has; `event_time` is UTC milliseconds."""

HOLDERS = ("card_id", "account_id", "customer_id")
"""At least one of these is present and not null in every transaction."""

OPTIONAL: Mapping[str, ColumnType] = MappingProxyType(
    {
        "card_id": _S,
        "account_id": _S,
        "customer_id": _S,
        "merchant_id": _S,
        "device_id": _S,
        "counterparty_id": _S,
        "email_hash": _S,
        "ip": _S,
        "country": _S,
        "merchant_country": _S,
        "category": _S,
        "channel": _S,
        "transaction_type": _S,
        "card_bin": _S,
        "card_last4": _S,
        "amount_base_minor": _I,
        "latitude": _F,
        "longitude": _F,
        "merchant_latitude": _F,
        "merchant_longitude": _F,
        "utc_offset_minutes": _I,
    }
)

COLUMNS: Mapping[str, ColumnType] = MappingProxyType({**REQUIRED, **OPTIONAL})
"""All canonical columns in canonical order."""

ID_COLUMNS = (
    "transaction_id", "card_id", "account_id", "customer_id",
    "merchant_id", "device_id", "counterparty_id",
)  # fmt: skip
"""Columns that hold tokens; a raw card number in one of them is replaced at the first hop."""

EVENT_TIME_MIN = 946_684_800_000
"""2000-01-01T00:00:00Z; an earlier event time is a dead letter."""
EVENT_TIME_MAX = 4_102_444_800_000
"""2100-01-01T00:00:00Z, exclusive."""
AMOUNT_MINOR_MAX = 10**15
"""The largest amount accepted, inclusive: sums of squares stay within 128 bits."""
