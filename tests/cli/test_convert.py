"""`alcyon convert`; the conversions themselves are tested where they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import read, refused, run

SPARKOV = """trans_num,trans_date_trans_time,cc_num,merchant,category,amt,is_fraud
a,2019-01-01 00:00:18,4111111111111111,m,food,1.5,0
b,2019-01-01 00:00:19,4111111111111111,m,food,2.5,1
c,2019-01-01 00:00:20,4111111111111111,m,food,-2.5,0
"""


def test_a_data_set_becomes_transactions_and_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "s.csv"
    source.write_text(SPARKOV)
    output, labels = tmp_path / "t.parquet", tmp_path / "l.parquet"
    given = ("--from", "sparkov", source, output, "--labels-out", labels, "--json")
    assert run("convert", *given) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["rejected"] == {"negative_amount": 1}
    assert (found["rows"], found["converted"]) == (3, 2)
    assert (found["genuine"], found["frauds"], found["fraud_share"]) == (1, 1, 0.5)
    assert (found["first"], found["last"]) == ("2019-01-01T00:00:18Z", "2019-01-01T00:00:19Z")
    assert found["ranges"]["amount_minor"] == [150, 250]
    assert "2 of 3 rows" in said.err
    assert [row["amount_minor"] for row in read(output)] == [150, 250]
    assert [row["transaction_id"] for row in read(labels)] == ["b"]


def test_another_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "s.csv"
    source.write_text(SPARKOV)
    given = ("convert", "--from", "paysim", source, tmp_path / "t.csv")
    assert "has no column" in refused(capsys, *given)
    assert "Choose from" in refused(capsys, "convert", "--from", "other", source, "t.csv")


# The headers are Kaggle's own; its Sparkov files begin with a column that has no name.
KAGGLE_SPARKOV = (
    ",trans_date_trans_time,cc_num,merchant,category,amt,first,last,gender,street,city,state,zip,"
    "lat,long,city_pop,job,dob,trans_num,unix_time,merch_lat,merch_long,is_fraud\n"
    '0,2019-01-01 00:00:18,2703186189652095,"fraud_Rippin, Kub and Mann",misc_net,4.97,Ada,Moe,F,'
    "1 Elm Ct,Troy,NC,28654,36.0788,-81.1781,3495,Clerk,1988-03-09,0b242abb,1325376018,36.011293,"
    "-82.048315,0\n"
    "1,2019-01-01 00:00:44,630423337322,fraud_Heller,grocery_pos,107.23,Bo,Li,M,2 Oak St,Orient,"
    "WA,99160,48.8878,-118.2105,149,Baker,1978-06-21,1f76529f,1325376044,49.159047,-118.186462,1\n"
)
KAGGLE_PAYSIM = """\
step,type,amount,nameOrig,oldbalanceOrg,newbalanceOrig,nameDest,oldbalanceDest,newbalanceDest,\
isFraud,isFlaggedFraud
1,PAYMENT,9839.64,C1231006815,170136.0,160296.36,M1979787155,0.0,0.0,0,0
1,TRANSFER,181.0,C1305486145,181.0,0.0,C553264065,0.0,0.0,1,0
"""


def converted(name: str, text: str, folder: Path) -> tuple[list[dict[str, object]], Path]:
    source, output = folder / f"{name}.csv", folder / f"{name}.parquet"
    source.write_text(text)
    assert run("convert", "--from", name, source, output) == 0
    return read(output), output


def test_kaggles_sparkov_file_is_read_as_it_is(tmp_path: Path) -> None:
    rows, _ = converted("sparkov", KAGGLE_SPARKOV, tmp_path)
    assert [row["merchant_id"] for row in rows] == ["Rippin, Kub and Mann", "Heller"]
    assert [row["amount_minor"] for row in rows] == [497, 10_723]
    assert [str(row["event_time"]) for row in rows] == [
        "2019-01-01 00:00:18+00:00",
        "2019-01-01 00:00:44+00:00",
    ]


def test_kaggles_paysim_file_keeps_its_balances_for_the_detector(tmp_path: Path) -> None:
    rows, output = converted("paysim", KAGGLE_PAYSIM, tmp_path)
    assert [row["balance_before_minor"] for row in rows] == [17_013_600, 18_100]
    assert [row["balance_after_minor"] for row in rows] == [16_029_636, 0]
    features = tmp_path / "f.parquet"
    given = ("--catalog", "paysim", "--input", output, "--output", features)
    assert run("features", *given) == 0
    assert [row["is_emptied"] for row in read(features)] == [False, True]
    assert [row["balance_error"] for row in read(features)] == [0, 0]


def test_the_report_is_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    converted("paysim", KAGGLE_PAYSIM, tmp_path)
    shown = " ".join(capsys.readouterr().out.split())
    assert "2024-01-01T00:00:00Z to 2024-01-01T00:00:00Z" in shown
    assert "fraud (50.000%)" in shown
    assert "balance_before_minor │ 0 │ 18,100 │ 17,013,600" in shown


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("c,2019-01-01 00:00:20,4111111111111111,m,food,1e300,0", "missing_field"),
        ("c,2019-01-01 00:00:20,4111111111111111,m,food,2e13,0", "amount_out_of_range"),
        ("c,2019-01-01 00:00:20,4111111111111111,m,food,much,0", "missing_field"),
        ("c,yesterday,4111111111111111,m,food,1.5,0", "missing_field"),
        ("c,2019-02-30 00:00:20,4111111111111111,m,food,1.5,0", "missing_field"),
        ("c,1019-01-01 00:00:20,4111111111111111,m,food,1.5,0", "event_time_out_of_range"),
        (f"c,2019-01-01 00:00:20,4111111111111111,{'m' * 300},food,1.5,0", "id_too_long"),
        ("c,2019-01-01 00:00:20,,m,food,1.5,0", "no_holder"),
        ("c,2019-01-01 00:00:20,4111111111111111,m,food,1.5,perhaps", "unknown_label"),
        ("c,2019-01-01 00:00:20,4111111111111111,m,food,1.5,", "unknown_label"),
        ("c,2019-01-01 00:00:20,4111111111111111,m,food,1.5,2", "unknown_label"),
    ],
)
def test_a_row_that_cannot_be_used_is_left_out_with_its_reason(
    tmp_path: Path, row: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = tmp_path / "s.csv", tmp_path / "t.parquet"
    source.write_text(SPARKOV.replace(",-2.5,", ",3.5,").replace("c,2019", "d,2019") + row + "\n")
    assert run("convert", "--from", "sparkov", source, output, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rejected"], found["rows"], found["converted"]) == ({reason: 1}, 4, 3)
    assert [row["transaction_id"] for row in read(output)] == ["a", "b", "d"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        (SPARKOV.splitlines()[0] + "\n", "has no rows"),
        (SPARKOV.replace("cc_num", "card"), "has no column cc_num"),
        (SPARKOV + "d,2019-01-01 00:0", "Expected 7 columns, got 2: d,2019-01-01 00:0"),
        ("\x00\x01\x02\x80", "cannot be read as csv"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_and_leaves_nothing(
    tmp_path: Path, text: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "s.csv"
    source.write_text(text)
    given = ("convert", "--from", "sparkov", source, tmp_path / "t.parquet")
    assert complaint in refused(capsys, *given)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    ("dataset", "place"),
    [
        ("sparkov", "kaggle.com/datasets/kartik2112/fraud-detection"),
        ("paysim", "kaggle.com/datasets/ealaxi/paysim1"),
        ("handbook", "github.com/Fraud-Detection-Handbook"),
    ],
)
def test_whoever_lacks_the_file_is_told_where_it_is(
    tmp_path: Path, dataset: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("convert", "--from", dataset, tmp_path / "none.csv", tmp_path / "t.parquet")
    assert place in refused(capsys, *given)
