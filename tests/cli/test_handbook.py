"""`alcyon evaluate --protocol handbook`, and its features against the book's own in DuckDB."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from alcyon.detectors import handbook
from alcyon.domain.tokens import TokenKeys
from alcyon.features.kernel import Limits
from alcyon.learning.training import MEMBERS
from alcyon.runners.learning.handbook_protocol import handbook_rows, read_handbook
from tests.cli.running import DAY_MS, refused, run

FIRST = 1_527_811_200_000
"""2018-06-01T00:00:00Z."""
BOOK = """
WITH t AS (SELECT *, epoch_ms(TX_DATETIME) AS ms FROM book)
SELECT i.TX_AMOUNT, isodow(i.TX_DATETIME) >= 6, hour(i.TX_DATETIME) <= 6, {selected}
FROM t i JOIN t j ON j.ms <= i.ms AND j.TRANSACTION_ID <= i.TRANSACTION_ID
  AND (j.CUSTOMER_ID = i.CUSTOMER_ID OR j.TERMINAL_ID = i.TERMINAL_ID)
GROUP BY i.TRANSACTION_ID, i.TX_AMOUNT, i.TX_DATETIME ORDER BY i.TRANSACTION_ID
"""


def book_sql() -> str:
    """The book's definitions in the catalog's order, then its terminal's over more windows."""
    near = {d: f"FILTER (j.CUSTOMER_ID = i.CUSTOMER_ID AND j.ms > i.ms - {d * DAY_MS})"
            for d in (1, 7, 30)}  # fmt: skip
    far = {
        d: f"FILTER (j.TERMINAL_ID = i.TERMINAL_ID AND j.ms <= i.ms - {7 * DAY_MS} "
        f"AND j.ms > i.ms - {(7 + d) * DAY_MS})"
        for d in (1, 7, 30, 3, 14, 21)
    }
    book, more = list(far.values())[:3], list(far.values())[3:]
    selected = [f"count(*) {rows}" for rows in near.values()]
    selected += [f"avg(j.TX_AMOUNT) {rows} * 100" for rows in near.values()]
    for windows in (book, more):
        selected += [f"count(*) {rows}" for rows in windows]
        selected += [f"avg(j.TX_FRAUD) {rows}" for rows in windows]
    return BOOK.format(selected=", ".join(selected))


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12,000 payments of 150 cards at 150 terminals in the published schema."""
    random = np.random.default_rng(1)
    n = 12_000
    at = np.sort(FIRST + random.integers(0, 100 * DAY_MS, n) // 1000 * 1000)
    terminal = random.integers(0, 150, n)
    bad = (terminal + (at - FIRST) // (10 * DAY_MS)) % 20 == 0
    table = {
        "TRANSACTION_ID": pa.array(np.arange(n), pa.int32()),
        "TX_DATETIME": pa.array(at * 1_000_000, pa.timestamp("ns")),
        "CUSTOMER_ID": pa.array(random.integers(0, 150, n), pa.int32()),
        "TERMINAL_ID": pa.array(terminal, pa.int32()),
        "TX_AMOUNT": pa.array(np.round(random.gamma(2, 30, n), 2)),
        "TX_FRAUD": pa.array((bad & (random.random(n) < 0.8)).astype(np.int8)),
        "TX_FRAUD_SCENARIO": pa.array(np.zeros(n, np.int8)),
    }
    path = tmp_path_factory.mktemp("book") / "handbook.parquet"
    pq.write_table(pa.table(table), path)
    return path


def test_features_are_the_books(book: Path, tmp_path: Path) -> None:
    head = tmp_path / "head.parquet"  # DuckDB looks at every pair
    pq.write_table(pq.read_table(book).slice(0, 5000), head)
    parts = read_handbook(head, TokenKeys(1, b"0123456789abcdef"))
    rows = handbook_rows(parts, Limits())
    connection = duckdb.connect()
    connection.execute(f"CREATE VIEW book AS FROM '{head}'")
    found = connection.execute(book_sql()).fetchnumpy()
    want = np.column_stack([np.ma.filled(c.astype(np.float64), np.nan) for c in found.values()])
    assert len(handbook.catalog.model_names) == rows.features.shape[1] == 30
    of_the_book, ratios, more = np.split(rows.features, [15, 24], axis=1)
    np.testing.assert_allclose(np.hstack([of_the_book, more]), want, rtol=1e-6)
    # Others of a mean that nearly is the payment itself are what rounding leaves of zero.
    np.testing.assert_allclose(ratios, ratios_of(want), rtol=1e-5)
    assert np.nanmax(want[:, -1]) > 0.1  # frauds took part


def ratios_of(book: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nine ratios from the book's 15, by their words."""
    amount, counts, means = book[:, :1] * 100, book[:, 3:6], book[:, 6:9]
    with np.errstate(invalid="ignore", divide="ignore"):
        others = np.where(counts > 1, (means * counts - amount) / (counts - 1), np.nan)
        last_days = means[:, [0, 0, 1]] / means[:, [1, 2, 2]]
        found = np.hstack([amount / means, amount / others, last_days])
    return np.where(np.isfinite(found), found, np.nan)


def test_the_protocol_runs_on_the_published_schema(
    book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("evaluate", "--protocol", "handbook", "--history", "all", "--input", book)
    assert run(*given, "--json") == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert (result["protocol"], result["history"], len(result["folds"])) == ("handbook", "all", 4)
    assert {"roc_auc", "average_precision", "card_precision_at_100", "recall_at_fpr"} == set(
        result["mean"]
    )
    assert result["mean"]["roc_auc"] > 0.5
    assert set(result["without"]) == set(result["members"]) == set(MEMBERS)
    assert set(result["unsupervised"]) == {"autoencoder", "isolation_forest"}
    assert "simulated" in said.err
    assert "near 0.1" in said.err


def test_a_table_shows_the_published_figures(
    book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("evaluate", "--protocol", "handbook", "--input", book) == 0
    shown = capsys.readouterr().out
    assert "random forest (the book)" in shown
    assert "0.678" in shown
    assert "without xgboost" in shown
    assert "Isolation Forest (the book)" in shown


def test_another_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "t.csv"
    other.write_text("a,b\n1,2\n")
    given = ("evaluate", "--protocol", "handbook", "--input", other)
    assert "has no column" in refused(capsys, *given)


def test_a_file_that_covers_no_fold_is_refused(
    tmp_path: Path, book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = tmp_path / "short.parquet"
    pq.write_table(pq.read_table(book).slice(0, 3000), short)
    said = refused(capsys, "evaluate", "--protocol", "handbook", "--input", short)
    assert "do not cover the fold" in said
