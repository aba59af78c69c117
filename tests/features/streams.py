"""Random small streams that mix every rule of the semantics, and the catalogs they are tried on."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

import numpy as np

from alcyon.domain.columns import NULL_INT, Batch, Column, ColumnType, Strings
from alcyon.features import (
    Catalog,
    Count,
    Distinct,
    Elapsed,
    Entity,
    Max,
    Mean,
    Min,
    Previous,
    Std,
    Sum,
)
from tests.features.naive import Predicates, Row

COLUMNS: Mapping[str, ColumnType] = {
    "transaction_id": ColumnType.STRING, "event_time": ColumnType.INT,
    "amount_minor": ColumnType.INT, "currency": ColumnType.STRING, "card_id": ColumnType.STRING,
    "merchant_id": ColumnType.STRING, "country": ColumnType.STRING,
    "latitude": ColumnType.FLOAT, "utc_offset_minutes": ColumnType.INT,
}  # fmt: skip
START = 1_700_000_000_000
PREDICATES: Predicates = {
    "amount_minor < 200": lambda r: r["amount_minor"] < 200,
    "country = 'DE'": lambda r: None if r["country"] is None else r["country"] == "DE",
    "utc_offset_minutes > 0 OR merchant_id IS NULL": lambda r: (
        r["merchant_id"] is None or (r["utc_offset_minutes"] or 0) > 0
    ),
}


def catalog(rng: random.Random) -> Catalog:
    """A random catalog of up to 14 features; windows small against the stream's times."""
    entities = [
        Entity("card_id"), Entity("merchant_id"), Entity("card_id", "merchant_id"),
        Entity("country"), Entity("utc_offset_minutes"),
    ]  # fmt: skip
    features: list[Any] = []
    for i in range(rng.randint(1, 14)):
        entity, name = rng.choice(entities), f"f{i}"
        window = rng.choice(["1ms", "5ms", "10ms", "50ms", "1s", "3s"])
        words: dict[str, Any] = {"name": name}
        if rng.random() < 0.3:
            words["delay"] = rng.choice(["1ms", "5ms", "20ms", "1s"])
        elif rng.random() < 0.4:
            words["exclude_current"] = True
        if rng.random() < 0.3:
            words["where"] = rng.choice(list(PREDICATES))
        kind: Any = rng.choice(
            [Count, Sum, Mean, Std, Min, Max, Distinct, Previous, Elapsed, "sum_fraud", "fraud"]
        )
        within = rng.choice(["1ms", "10ms", "1s"])
        if kind is Count:
            features.append(Count(entity, window, **words))
        elif kind is Elapsed:
            features.append(Elapsed(entity, within=within, name=name))
        elif kind is Previous:
            column = rng.choice(["country", "amount_minor", "latitude", "utc_offset_minutes"])
            features.append(Previous(entity, column, within=within, name=name))
        elif kind in ("fraud", "sum_fraud"):
            word = Mean if kind == "fraud" else Sum
            features.append(word(entity, "is_fraud", window, **words))
        elif kind in (Min, Max):
            column = rng.choice(["amount_minor", "latitude", "utc_offset_minutes", "event_time"])
            features.append(kind(entity, column, window, **words))
        elif kind is Distinct:
            column = rng.choice(["merchant_id", "country", "utc_offset_minutes", "amount_minor"])
            features.append(Distinct(entity, column, window, **words))
        else:
            column = rng.choice(["amount_minor", "utc_offset_minutes"])
            features.append(kind(entity, column, window, **words))
    return Catalog(features, lateness_max=rng.choice(["3ms", "20ms", "1s"]))


def records(rng: random.Random, size: int) -> list[Row | tuple[str, int]]:
    """Transactions (rows) and labels (id, is_fraud) in order of arrival."""
    out: list[Row | tuple[str, int]] = []
    time = START
    sent: list[Row] = []
    step = rng.choice([0, 1, 3, 10])
    huge = rng.random() < 0.3
    for i in range(size):
        time += rng.randint(0, step)
        if rng.random() < 0.02:
            time += rng.randint(0, 2000)
        draw = rng.random()
        if draw < 0.12:
            known = rng.random() < 0.8 and sent
            label_of = rng.choice(sent)["transaction_id"] if known else f"t{i + rng.randint(0, 5)}"
            out.append((label_of, rng.randint(0, 1)))
            continue
        if draw < 0.2 and sent:
            repeat = dict(rng.choice(sent))
            if rng.random() < 0.3:
                repeat["amount_minor"] += 1
            out.append(repeat)
            continue
        late = rng.choice([0, 0, 0, 0, rng.randint(0, 25), rng.randint(0, 1500)])
        amount = rng.randint(9 * 10**14, 10**15) if huge else rng.choice([0, 100, 199, 200, 5000])
        row: Row = {
            "transaction_id": f"t{i}",
            "event_time": max(START, time - late),
            "amount_minor": amount,
            "currency": "EUR",
            "card_id": rng.choice(["a", "a", "a", "b", "", None]),
            "merchant_id": rng.choice(["m", "m", "n", "o", None]),
            "country": rng.choice(["DE", "FR", "", None]),
            "latitude": rng.choice([None, -1.5, 0.0, 2.25, -90.0]),
            "utc_offset_minutes": rng.choice([None, -60, 0, 60, 120]),
        }
        sent.append(row)
        out.append(row)
    return out


def batch(rows: list[Row]) -> Batch:
    """Rows as columns."""
    return Batch({name: _column([r[name] for r in rows], t) for name, t in COLUMNS.items()})


def _column(values: list[Any], kind: ColumnType) -> Column:
    if kind is ColumnType.STRING:
        return Strings.from_list(values)
    if kind is ColumnType.FLOAT:
        return np.array([np.nan if v is None else v for v in values], np.float64)
    return np.array([NULL_INT if v is None else v for v in values], np.int64)


def values(column: Column) -> list[Any]:
    """A column as Python values, null as None."""
    if isinstance(column, Strings):
        return list(column.to_list())
    if column.dtype == np.float64:
        return [None if math.isnan(v) else v for v in column.tolist()]
    return [None if v == NULL_INT else v for v in column.tolist()]
