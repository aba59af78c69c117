"""`catalog.sql()` in DuckDB, an independent engine, gives what the kernel gives."""

from __future__ import annotations

import itertools
import random
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from alcyon.domain.columns import ColumnType
from alcyon.features import Catalog, Expression
from alcyon.features.kernel import Kernel
from alcyon.features.layout import Layout
from tests.features import streams
from tests.features.naive import Row
from tests.features.test_exact import SMALL, close, observed

EXPRESSIONS = [
    Expression("e0", "amount_minor / nullif(utc_offset_minutes, 0)"),
    Expression("e1", "coalesce(latitude, 0) + e0"),
    Expression("e2", "e1 > 0 AND country <> 'DE'"),
]
_ARROW = {
    ColumnType.STRING: pa.string(),
    ColumnType.INT: pa.int64(),
    ColumnType.FLOAT: pa.float64(),
}


def in_duckdb(catalog: Catalog, records: list[Any]) -> dict[int, Row]:
    """Features by sequence."""
    rows = [{**r, "sequence": s} for s, r in enumerate(records) if not isinstance(r, tuple)]
    marks = [(r[0], r[1], s) for s, r in enumerate(records) if isinstance(r, tuple)]
    fields = [(n, _ARROW[t]) for n, t in streams.COLUMNS.items()] + [("sequence", pa.int64())]
    schema = pa.schema(
        [(n, pa.timestamp("ms", tz="UTC") if n == "event_time" else t) for n, t in fields]
    )
    transactions = pa.Table.from_pylist(rows, schema=pa.schema(fields)).cast(schema)
    labels = pa.table(
        {
            "transaction_id": pa.array([m[0] for m in marks], pa.string()),
            "is_fraud": pa.array([m[1] for m in marks], pa.int64()),
            "sequence": pa.array([m[2] for m in marks], pa.int64()),
        }
    )
    connection = duckdb.connect()
    connection.register("transactions", transactions)
    connection.register("labels", labels)
    cursor = connection.execute(catalog.sql())
    names = [d[0] for d in cursor.description or []]
    return {row[1]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}


def without_conflicts(records: list[Any]) -> list[Any]:
    """The stream less what SQL does not say: an id that comes back with another payload."""
    first: dict[str, Any] = {}
    kept = []
    for record in records:
        if isinstance(record, tuple) or first.setdefault(record["transaction_id"], record) in (
            record,
        ):
            kept.append(record)
    return kept


@pytest.mark.parametrize("seed", range(20))
def test_random_streams_equal_the_sql(seed: int) -> None:
    rng = random.Random(seed + 10_000)
    plain = streams.catalog(rng)
    catalog = Catalog([*plain.features, *EXPRESSIONS], plain.lateness_max)
    records = without_conflicts(streams.records(rng, 150))
    want = in_duckdb(catalog, records)
    kernel = Kernel(Layout(catalog), SMALL)
    got = observed(kernel, records, itertools.cycle([7, 64]))
    sequences = [s for s, r in enumerate(records) if not isinstance(r, tuple)]
    for sequence, (status, features) in zip(sequences, got, strict=True):
        if sequence not in want:  # a repeat: SQL has a row per first-seen transaction
            assert status in ("duplicate", "late"), (seed, sequence, status)
            continue
        for name, value in features.items():
            expected = want[sequence][name]
            if isinstance(expected, bool):
                expected = int(expected)
            assert close(value, expected, 4), (seed, sequence, status, name, value, expected)


def test_expressions_that_give_strings_equal_the_sql() -> None:
    texts = Catalog(
        [
            Expression("s0", "CASE WHEN amount_minor > 150 THEN country END"),
            Expression("s1", "coalesce(merchant_id, 'none')"),
            Expression("s2", "CASE WHEN s1 = 'none' THEN 'it''s' ELSE s0 END"),
        ]
    )
    records = without_conflicts(streams.records(random.Random(5), 80))
    want = in_duckdb(texts, records)
    got = observed(Kernel(Layout(texts), SMALL), records, itertools.cycle([9]))
    sequences = [s for s, r in enumerate(records) if not isinstance(r, tuple)]
    for sequence, (_, features) in zip(sequences, got, strict=True):
        if sequence in want:
            assert features == {n: want[sequence][n] for n in texts.names}
