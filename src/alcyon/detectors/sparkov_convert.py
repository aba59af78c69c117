"""Sparkov's simulated card data (as on Kaggle) as canonical transactions.

Kaggle puts `fraud_` before every merchant's name, honest or not: it is taken off. Names, addresses,
jobs and dates of birth are not read. Amounts are US dollars. The time is `event_time`, or Kaggle's
`trans_date_trans_time`, taken as UTC; Kaggle's `unix_time` lies years off and is not read. `cc_num`
holds card numbers, which admission turns into tokens.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

import numpy as np
from numpy.typing import NDArray

from alcyon.detectors.conversion import Converted, minor_units, repeated
from alcyon.detectors.sparkov import columns as extra_columns
from alcyon.domain.columns import NULL_INT, Batch, Column, ColumnType, Strings

COLUMNS = {
    "trans_num": ColumnType.STRING,
    "event_time": ColumnType.INT,
    "trans_date_trans_time": ColumnType.STRING,
    "cc_num": ColumnType.STRING,
    "merchant": ColumnType.STRING,
    "category": ColumnType.STRING,
    "amt": ColumnType.FLOAT,
    "lat": ColumnType.FLOAT,
    "long": ColumnType.FLOAT,
    "merch_lat": ColumnType.FLOAT,
    "merch_long": ColumnType.FLOAT,
    "is_fraud": ColumnType.INT,
}
"""What is read of the published file."""
REQUIRED = frozenset({"trans_num", "cc_num", "merchant", "category", "amt", "is_fraud"})

HOME = "https://www.kaggle.com/datasets/kartik2112/fraud-detection (fraudTrain.csv, fraudTest.csv)"
"""Where the file is, for whoever has none: Kaggle wants an account."""
EXTRA = {name: ColumnType(kind) for name, kind in extra_columns.items()}
"""Columns beside the canonical ones."""

_RENAMED = {
    "category": "category",
    "lat": "latitude",
    "long": "longitude",
    "merch_lat": "merchant_latitude",
    "merch_long": "merchant_longitude",
}


def convert(raw: Batch, _first_row: int) -> Converted:
    """Canonical transactions, one per row, in the source's order."""
    event_time = _event_time(raw)
    columns: dict[str, Column] = {
        "transaction_id": raw.strings("trans_num"),
        "event_time": event_time,
        "amount_minor": minor_units(cast("NDArray[np.float64]", raw.numbers("amt"))),
        "currency": repeated("USD", len(raw)),
        "card_id": raw.strings("cc_num"),
        "merchant_id": _merchants(raw.strings("merchant")),
        "local_date": _dates(event_time),
    }
    columns |= {ours: raw.columns[theirs] for theirs, ours in _RENAMED.items() if theirs in raw}
    return Converted(Batch(columns), cast("NDArray[np.int64]", raw.numbers("is_fraud")))


def _merchants(names: Strings) -> Strings:
    return Strings.from_list(
        [None if name is None else name.removeprefix("fraud_") for name in names.to_list()]
    )


def _event_time(raw: Batch) -> NDArray[np.int64]:
    if "event_time" in raw:
        return cast("NDArray[np.int64]", raw.numbers("event_time"))
    if "trans_date_trans_time" not in raw:
        return np.full(len(raw), NULL_INT, np.int64)
    return _parsed(raw.strings("trans_date_trans_time"))


def _dates(event_time: NDArray[np.int64]) -> Strings:
    """`2019-01-01` of each time; null where there is none."""
    days = event_time.astype("datetime64[ms]").astype("datetime64[D]").astype(str)
    known = (event_time != NULL_INT).tolist()
    return Strings.from_list(
        [day if is_known else None for day, is_known in zip(days.tolist(), known, strict=True)]
    )


def _parsed(times: Strings) -> NDArray[np.int64]:
    """UTC milliseconds of `2019-01-01 00:00:18`; null where the text is no time."""
    return np.array([_milliseconds(text) for text in times.to_list()], np.int64)


def _milliseconds(text: str | None) -> int:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:  # admission reports the missing time
        return NULL_INT
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
