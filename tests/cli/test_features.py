"""`alcyon features`: what the SQL says, one row per row, and what it refuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from alcyon.detectors.loading import load_detector
from alcyon.domain.columns import ColumnType
from tests.cli.conftest import World
from tests.cli.running import DAY_MS, START, label, read, refused, run, transaction, written

PLAIN = """
from alcyon.features import Catalog, Count, Entity, Expression, Mean, Previous, Sum
card = Entity("card_id")
catalog = Catalog([
    Count(card, "1d"), Sum(card, "amount_minor", "1d"), Previous(card, "merchant_id"),
    Expression("is_large", "amount_minor > 1004"), Mean(card, "is_fraud", "30d"),
])
"""
ARRIVAL_SQL = """
CREATE VIEW given AS SELECT row_number() OVER () - 1 AS place, * FROM '{transactions}';
CREATE VIEW fronted AS SELECT *, max(event_time) OVER (ORDER BY place) AS front FROM given;
CREATE VIEW told AS SELECT *, row_number() OVER (ORDER BY labelled_at, place) - 1 AS turn
  FROM (SELECT row_number() OVER () - 1 AS place, * FROM '{labels}');
CREATE TABLE transactions AS SELECT * EXCLUDE (place, front),
  place + (SELECT count(*) FROM told WHERE labelled_at <= front) AS sequence FROM fronted;
CREATE TABLE labels AS SELECT transaction_id, is_fraud,
  turn + (SELECT count(*) FROM fronted WHERE front < labelled_at) AS sequence FROM told;
"""
"""The order that files without `sequence` stand for."""


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A small catalog with every type of feature."""
    path = tmp_path / "plain.py"
    path.write_text(PLAIN)
    return path


def test_features_equal_their_sql(world: World, tmp_path: Path) -> None:
    rows, same, with_fraud = compared(world.transactions, world.labels, tmp_path)
    assert (rows, same) == (12_000, 12_000)
    assert with_fraud > 100  # labels took part


def test_features_of_a_disordered_file_equal_their_sql(world: World, tmp_path: Path) -> None:
    """Late rows, repeats, and rows out of order by up to a day."""
    table = pq.read_table(world.transactions).slice(0, 6000)
    random = np.random.default_rng(2)
    arrival = table["event_time"].cast("int64").to_numpy()
    delay = random.exponential(1, 6000) * random.choice([0, 3_600_000, 15 * 3_600_000], 6000)
    repeats = random.choice(6000, 300, replace=False)
    at = np.concatenate([np.arange(6000), repeats])
    order = np.argsort(np.concatenate([arrival + delay, (arrival + delay)[repeats] + 600_000]))
    source = tmp_path / "t.parquet"
    pq.write_table(table.take(at[order]), source)
    rows, same, with_fraud = compared(source, world.labels, tmp_path)
    assert (rows, same) == (6300, 6300)
    assert with_fraud > 30


def compared(transactions: Path, labels: Path, tmp_path: Path) -> tuple[int, int, int]:
    """Rows, those that equal the SQL, and those with a share of frauds."""
    output = tmp_path / "f.parquet"
    given = ("--input", transactions, "--labels", labels, "--output", output, "--allow-late")
    assert run("features", "--catalog", "card", *given) == 0
    catalog = load_detector("card").catalog
    assert pq.read_schema(output).names == ["transaction_id", *catalog.names]
    connection = duckdb.connect()
    connection.execute(ARRIVAL_SQL.format(transactions=transactions, labels=labels))
    connection.execute(f"CREATE TABLE want AS {catalog.sql()}")
    same = " AND ".join(
        f"(w.{n} IS NOT DISTINCT FROM g.{n} OR abs(w.{n} / g.{n} - 1) < 1e-14)"
        if catalog.types[n] is ColumnType.FLOAT
        else f"w.{n} IS NOT DISTINCT FROM g.{n}"
        for n in catalog.names
    )
    found = connection.execute(
        f"SELECT count(*), count(*) FILTER ({same}), count(*) FILTER "
        f"(g.merchant_mean_is_fraud_30d_delay_7d > 0) FROM want w JOIN '{output}' g "
        "USING (transaction_id)"
    ).fetchone()
    assert found is not None
    return int(found[0]), int(found[1]), int(found[2])


def test_every_row_has_a_row_of_its_own_types(plain: Path, tmp_path: Path) -> None:
    rows = [transaction(i) for i in range(8)]
    odd = [
        rows[0],  # a repeat
        rows[1] | {"amount_minor": 5},  # the same id, another payload
        transaction(9, amount_minor=-1),
        transaction(10, event_time=START - 2 * DAY_MS),  # late
        transaction(11, card_id=None, account_id="a"),
    ]
    source = written(tmp_path / "t.parquet", [r | {"account_id": None} for r in rows] + odd)
    output = tmp_path / "f.parquet"
    assert run("features", "--catalog", plain, "--input", source, "--output", output,
               "--allow-late") == 0  # fmt: skip
    found = read(output)
    kinds = {f.name: str(f.type) for f in pq.read_schema(output)}
    assert [kinds[n] for n in list(kinds)[1:]] == ["int64", "int64", "string", "bool", "double"]
    assert [r["transaction_id"] for r in found] == [
        *(f"t{i}" for i in range(8)), "t0", "t1", "t9", "t10", "t11",
    ]  # fmt: skip
    assert found[6] == {
        "transaction_id": "t6", "card_count_1d": 3, "card_sum_amount_minor_1d": 3009,
        "card_previous_merchant_id": "m1", "is_large": True, "card_mean_is_fraud_30d": 0.0,
    }  # fmt: skip
    assert found[8] == found[0]
    for dead in (9, 10):
        assert set(list(found[dead].values())[1:]) == {None}
    assert (found[11]["card_count_1d"], found[11]["is_large"]) == (None, True)
    assert (found[12]["card_count_1d"], found[12]["is_large"]) == (None, True)
    letters = (tmp_path / "f.parquet.dead-letters.jsonl").read_text().splitlines()
    told = [(d["row"], d["reason"]) for d in map(json.loads, letters)]
    assert told == [(11, "negative_amount"), (10, "conflicting_duplicate")]


def test_labels_count_from_labelled_at_on(plain: Path, tmp_path: Path) -> None:
    source = written(tmp_path / "t.parquet", [transaction(i, card_id="c") for i in range(8)])
    labels = written(tmp_path / "l.parquet", [label(0)])  # known at the time of payment 5
    assert _shares(plain, source, labels, tmp_path) == [0, 0, 0, 0, 0, 1 / 6, 1 / 7, 1 / 8]


def test_sequences_are_the_order_where_both_files_have_them(plain: Path, tmp_path: Path) -> None:
    rows = [transaction(i, card_id="c", sequence=2 * i) for i in range(8)]
    source = written(tmp_path / "t.parquet", rows)
    labels = written(tmp_path / "l.parquet", [label(0, sequence=3)])
    assert _shares(plain, source, labels, tmp_path) == [
        0,
        0,
        1 / 3,
        1 / 4,
        1 / 5,
        1 / 6,
        1 / 7,
        1 / 8,
    ]


def _shares(plain: Path, source: Path, labels: Path, tmp_path: Path) -> list[float]:
    output = tmp_path / "f.parquet"
    given = ("--input", source, "--labels", labels, "--output", output)
    assert run("features", "--catalog", plain, *given) == 0
    return [row["card_mean_is_fraud_30d"] for row in read(output)]


def test_formats_agree(plain: Path, tmp_path: Path) -> None:
    found = set()
    for suffix in ("parquet", "csv.gz", "jsonl", "avro"):
        source, output = tmp_path / f"t.{suffix}", tmp_path / f"{suffix}.csv"
        assert run("generate", "--transactions", 300, "--out", source) == 0
        given = ("--catalog", plain, "--input", source, "--output", output)
        assert run("features", *given) == 0
        found.add(output.read_bytes())
    assert len(found) == 1


def test_a_file_out_of_order_is_refused_by_the_row_that_moved_the_front(
    plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [transaction(i) for i in range(50)]
    rows[7]["event_time"] += 400 * DAY_MS
    source, output = written(tmp_path / "t.parquet", rows), tmp_path / "f.parquet"
    given = ("features", "--catalog", plain, "--input", source, "--output", output)
    said = refused(capsys, *given)
    moved = datetime.fromtimestamp(rows[7]["event_time"] / 1000, UTC)
    assert f"42 of 50 rows would be late: row 8 has event time {moved:%Y-%m-%d}" in said
    assert not output.exists()
    assert run(*given, "--allow-late") == 0
    assert [r["card_count_1d"] is None for r in read(output)] == [i > 7 for i in range(50)]


def test_a_wrong_time_in_a_row_that_is_refused_moves_no_front(plain: Path, tmp_path: Path) -> None:
    rows = [transaction(i) for i in range(50)]
    rows[7] |= {"event_time": START + 400 * DAY_MS, "currency": "???"}
    source = written(tmp_path / "t.parquet", rows)
    assert run("features", "--catalog", plain, "--input", source,
               "--output", tmp_path / "f.parquet") == 0  # fmt: skip


def test_files_that_cannot_be_used_are_one_line(
    plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = written(tmp_path / "good.parquet", [transaction(0)])
    empty = tmp_path / "empty.csv"
    empty.touch()
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(good.read_bytes()[:-20])
    lacking = written(tmp_path / "lacking.parquet", [{"event_time": START}])
    wrong = written(tmp_path / "wrong.parquet", [transaction(0, amount_minor=1.5)])
    output = tmp_path / "f.parquet"
    for source, complaint in {
        tmp_path / "none.csv": "no such file",
        empty: "is empty",
        torn: "cannot be read as parquet",
        lacking: "has no column",
        wrong: "column amount_minor holds double, but integers are needed",
        tmp_path / "t.txt": "unknown suffix",
    }.items():
        if source.suffix == ".txt":
            source.touch()
        given = ("features", "--catalog", plain, "--input", source, "--output", output)
        assert complaint in refused(capsys, *given)
        assert not output.exists()
    unwritable = ("features", "--catalog", plain, "--input", good)
    said = refused(capsys, *unwritable, "--output", tmp_path / "none" / "f.parquet")
    assert "cannot be written" in said


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("catalog = Catalog([", r".py:3: '[' was never closed"),
        ("nothing = 1", r".py: has no `catalog`"),
        ("catalog = 7", r".py: `catalog` is a int"),
        ("catalog = Catalog([Count(card, '1d'), Count(card, '1d')])", ".py:3: two features are"),
        ("catalog = Catalog([\nCount(card, '1d'),\nSum(card, 'latitude', '1d')])",
         "Sum takes boolean or int"),
        ("catalog = Catalog([Sum(card, 'amount', '1d')])", ".py:3: card_sum_amount_1d: no column"),
        ("catalog = Catalog([Expression('x', 'amount + 1')])", ".py:3: x: "),
        ("catalog = Catalog([Count(card)])", ".py:3: TypeError"),
        ("catalog = Catalog([Count(cart, '1d')])", ".py:3: NameError: name 'cart'"),
    ],
)  # fmt: skip
def test_a_catalog_that_is_wrong_is_one_line_with_its_place(
    text: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.py"
    head = "from alcyon.features import Catalog, Count, Entity, Expression, Sum\n"
    path.write_text(f"{head}card = Entity('card_id')\n{text}\n")
    given = ("features", "--catalog", path, "--input", "t.csv", "--output", "f.csv")
    assert complaint in refused(capsys, *given)


def test_a_catalog_may_read_columns_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from alcyon.features import Catalog, Entity, Sum\n"
        "columns = {'tip_minor': 'int'}\n"
        "catalog = Catalog([Sum(Entity('card_id'), 'tip_minor', '1d')], columns=columns)\n"
    )
    source = written(tmp_path / "t.parquet", [transaction(i, tip_minor=i) for i in range(6)])
    output = tmp_path / "f.parquet"
    assert run("features", "--catalog", path, "--input", source, "--output", output) == 0
    assert [r["card_sum_tip_minor_1d"] for r in read(output)] == [0, 1, 2, 3, 5, 7]


def test_an_unknown_detector_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("features", "--catalog", "cards", "--input", "t.csv", "--output", "f.csv")
    assert "none of ours" in refused(capsys, *given)


def test_card_numbers_reach_no_output(plain: Path, tmp_path: Path) -> None:
    number = "4111111111111111"
    rows = [transaction(0, card_id=number), transaction(1, transaction_id=number, amount_minor=-1)]
    source, output = written(tmp_path / "t.parquet", rows), tmp_path / "f.jsonl"
    assert run("features", "--catalog", plain, "--input", source, "--output", output) == 0
    for path in tmp_path.glob("f.*"):
        assert number not in path.read_text()


def test_a_file_of_which_nothing_can_be_used_has_rows_of_nulls(plain: Path, tmp_path: Path) -> None:
    source = written(tmp_path / "t.parquet", [transaction(i, amount_minor=-1) for i in range(3)])
    output = tmp_path / "f.parquet"
    assert run("features", "--catalog", plain, "--input", source, "--output", output) == 0
    assert [list(row.values()) for row in read(output)] == [
        [f"t{i}", *[None] * 5] for i in range(3)
    ]


def test_a_repeat_finds_its_first_in_another_slice(plain: Path, tmp_path: Path) -> None:
    rows = [transaction(i, event_time=START + i, card_id=f"c{i % 900}") for i in range(70_000)]
    source, output = written(tmp_path / "t.parquet", rows + rows[3:6]), tmp_path / "f.parquet"
    assert run("features", "--catalog", plain, "--input", source, "--output", output) == 0
    found = read(output)
    assert found[70_000:] == found[3:6]
    assert found[69_999]["card_count_1d"] == 78
