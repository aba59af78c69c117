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
    assert json.loads(said.out)["rejected"] == {"negative_amount": 1}
    assert "2 of 3 rows, 1 frauds" in said.err
    assert "event_time: 2019-01-01T00:00:18Z to 2019-01-01T00:00:19Z" in said.err
    assert [row["amount_minor"] for row in read(output)] == [150, 250]
    assert [row["transaction_id"] for row in read(labels)] == ["b"]


def test_another_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "s.csv"
    source.write_text(SPARKOV)
    given = ("convert", "--from", "paysim", source, tmp_path / "t.csv")
    assert "has no column" in refused(capsys, *given)
    assert "Choose from" in refused(capsys, "convert", "--from", "other", source, "t.csv")
