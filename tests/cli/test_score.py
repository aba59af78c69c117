"""`alcyon score` and `alcyon warm`."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from alcyon.learning.training import MEMBERS
from tests.cli.conftest import World
from tests.cli.running import read, refused, run, transaction, written


def given(world: World, model: Path) -> tuple[object, ...]:
    return ("--model", model, "--input", world.transactions, "--labels", world.labels)


@pytest.fixture(scope="module")
def decisions(world: World, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every decision of the world, with features."""
    output = tmp_path_factory.mktemp("decisions") / "d.parquet"
    assert run("score", *given(world, model), "--output", output, "--with-features") == 0
    return output


@pytest.mark.parametrize("batch_size", [61, 1000])
def test_batches_of_any_size_give_the_same_bytes(
    batch_size: int, decisions: Path, world: World, model: Path, tmp_path: Path
) -> None:
    again = tmp_path / "d.parquet"
    cut = ("--output", again, "--with-features", "--batch-size", batch_size)
    assert run("score", *given(world, model), *cut) == 0
    assert again.read_bytes() == decisions.read_bytes()


def test_every_transaction_has_one_decision(decisions: Path, world: World, model: Path) -> None:
    rows = read(decisions)
    ids = pq.read_table(world.transactions, columns=["transaction_id"])["transaction_id"]
    assert [row["transaction_id"] for row in rows] == ids.to_pylist()
    assert [row["sequence"] for row in rows] == sorted({row["sequence"] for row in rows})
    actions = [row["action"] for row in rows]
    assert set(actions) <= {"APPROVE", "REVIEW", "DECLINE"}
    assert actions.count("APPROVE") > 10_000
    versions = {row["versions"] for row in rows}
    manifest = json.loads((model / "manifest.json").read_text())
    assert [json.loads(v)["catalog"] for v in versions] == [manifest["catalog_hash"]]
    for row in rows[-500:]:
        members = json.loads(row["members"])
        assert set(members) == set(MEMBERS)
        if row["action"] != "APPROVE":
            reasons = json.loads(row["reasons"])
            assert {"base_rate", "other_features"} <= {r["code"] for r in reasons}


def test_features_are_those_of_the_features_command(
    decisions: Path, world: World, tmp_path: Path
) -> None:
    output = tmp_path / "f.parquet"
    inputs = ("--input", world.transactions, "--labels", world.labels)
    assert run("features", *inputs, "--output", output) == 0
    scored, exact = pq.read_table(decisions), pq.read_table(output)
    for name in ("card_count_24h", "merchant_mean_is_fraud_30d_delay_7d", "amount_z_30d"):
        want = exact[name].cast("float32", safe=False).fill_null(-1)
        assert pc.all(
            pc.equal(scored[name].cast("float32", safe=False).fill_null(-1), want)
        ).as_py()


def test_repeats_and_what_cannot_be_used_get_no_decision(model: Path, tmp_path: Path) -> None:
    rows = [transaction(i) for i in range(5)]
    odd = [rows[0], rows[1] | {"amount_minor": 5}, transaction(9, amount_minor=-1)]
    source, output = written(tmp_path / "t.parquet", rows + odd), tmp_path / "d.jsonl"
    assert run("score", "--model", model, "--input", source, "--output", output) == 0
    found = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["transaction_id"] for row in found] == [f"t{i}" for i in range(5)]
    letters = (tmp_path / "d.jsonl.dead-letters.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["row"] for line in letters) == [7, 8]


def test_late_transactions_are_reviewed(model: Path, tmp_path: Path) -> None:
    rows = [transaction(i) for i in range(50)]
    rows[49]["event_time"] = rows[0]["event_time"]
    source, output = written(tmp_path / "t.parquet", rows), tmp_path / "d.parquet"
    score = ("score", "--model", model, "--input", source, "--output", output)
    assert run(*score, "--allow-late") == 0
    late = read(output)[-1]
    assert (late["action"], late["score"]) == ("REVIEW", None)
    assert "late_transaction" in json.loads(late["codes"])


def test_a_warmed_state_goes_on_where_history_ends(
    decisions: Path, world: World, model: Path, tmp_path: Path
) -> None:
    table, cut = pq.read_table(world.transactions), 8000
    history, rest = tmp_path / "h.parquet", tmp_path / "r.parquet"
    pq.write_table(table.slice(0, cut), history)
    pq.write_table(table.slice(cut), rest)
    labels, state, output = world.labels, tmp_path / "state", tmp_path / "d.parquet"
    assert run("warm", "--input", history, "--labels", labels, "--snapshot", state) == 0
    score = ("score", "--model", model, "--input", rest, "--labels", labels, "--snapshot", state)
    assert run(*score, "--output", output, "--with-features") == 0
    # Labels before the cut are read again and take numbers again; they change nothing.
    whole = pq.read_table(decisions).slice(cut).drop_columns(["sequence"])
    assert pq.read_table(output).drop_columns(["sequence"]).equals(whole)


def test_a_snapshot_that_cannot_be_used_is_one_line(
    world: World, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score = ("score", *given(world, model), "--output", tmp_path / "d.csv", "--snapshot")
    assert "holds no snapshot" in refused(capsys, *score, tmp_path)
    warm = ("warm", "--input", written(tmp_path / "t.parquet", [transaction(0)]))
    state = tmp_path / "state"
    assert run(*warm, "--catalog", "handbook", "--snapshot", state) == 0
    assert "it is of catalog" in refused(capsys, *score, state)
    blocked = tmp_path / "file"
    blocked.touch()
    assert "cannot be written" in refused(capsys, *warm, "--snapshot", blocked / "s")


def test_history_behind_the_input_makes_the_input_late(
    world: World, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    assert run("warm", "--input", world.transactions, "--snapshot", state) == 0
    score = ("score", *given(world, model), "--output", tmp_path / "d.csv", "--snapshot", state)
    assert "the snapshot has event time 2025-01-31" in refused(capsys, *score)
