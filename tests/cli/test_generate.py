"""`alcyon generate`"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import World
from tests.cli.running import read, refused, run


def test_it_writes_transactions_labels_and_truth(world: World) -> None:
    transactions, labels, truth = map(read, world)
    ids = [row["transaction_id"] for row in transactions]
    assert len(set(ids)) == 12_000
    assert [row["transaction_id"] for row in truth] == ids
    assert {row["transaction_id"] for row in labels} < set(ids)
    assert transactions[0]["event_time"].isoformat() >= "2025-01-01T00:00:00+00:00"


def test_one_seed_gives_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.csv", "b.csv"):
        given = ("--transactions", 500, "--seed", 5, "--start", "2024-03-01", "--drift", 0.5)
        assert run("generate", *given, "--out", tmp_path / name, "--json") == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert "2024-03-01" in (tmp_path / "a.csv").read_text()
    first = capsys.readouterr().out.partition("}")[0] + "}"
    assert json.loads(first)["transactions"] == 500


def test_what_cannot_be_written_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("generate", "--transactions", 10, "--out", tmp_path / "t.csv")
    assert "unknown suffix" in refused(capsys, *given, "--labels-out", tmp_path / "l.txt")
    assert "cannot be written" in refused(capsys, *given, "--truth-out", tmp_path / "no" / "k.csv")
    assert list(tmp_path.iterdir()) == []
    assert "fraud_rate" in refused(capsys, *given, "--fraud-rate", 2)
