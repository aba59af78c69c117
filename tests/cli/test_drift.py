"""`alcyon drift`; the statistics are tested in tests/learning."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from alcyon.cli.drift import DRIFTED
from tests.cli.running import DAY_MS, START, refused, run, transaction, written


class Files(NamedTuple):
    """Twenty-two days, the quiet eight after them, and those eight with amounts doubled."""

    reference: Path
    quiet: Path
    raised: Path
    labels: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("drift")
    everything, labels = folder / "t.parquet", folder / "l.parquet"

    assert run("generate", "--transactions", 30_000, "--seed", 12, "--start", "2025-01-01",
               "--out", everything, "--labels-out", labels) == 0  # fmt: skip
    table = pq.read_table(everything)
    days = pc.cast(table["event_time"], pa.int64())
    first = table.filter(pc.less(days, START + 22 * DAY_MS))
    rest = table.filter(pc.greater_equal(days, START + 22 * DAY_MS))
    a, b, c = (folder / f"{name}.parquet" for name in "abc")
    found = Files(a, b, c, labels)
    pq.write_table(first, found.reference)
    pq.write_table(rest, found.quiet)
    pq.write_table(raised(rest), found.raised)
    return found


def raised(table: pa.Table) -> pa.Table:
    for name in ("amount_minor", "amount_base_minor"):
        if name in table.column_names:
            more = pc.cast(pc.round(pc.multiply(table[name], 2.0)), pa.int64())
            table = table.set_column(table.column_names.index(name), name, more)
    return table


CATALOG = """
from alcyon.features import Catalog, Count, Entity, Expression

card = Entity("card_id")
catalog = Catalog([Count(card, "1h"), Expression("amount", "amount_base_minor + 0")])
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "small.py"
    path.write_text(CATALOG)
    return path


def test_no_drift_is_exit_code_0(
    files: Files, catalog: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--reference", files.reference, "--input", files.quiet, "--labels", files.labels)
    assert run("drift", *given, "--catalog", catalog) == 0
    said = capsys.readouterr()
    assert re.match(r"no drift in 3[23] windows of 4 signals", said.err)
    assert "is_fraud" in said.out


def test_drift_is_an_exit_code_of_its_own_and_named(
    files: Files, catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plots = tmp_path / "plots"
    given = ("--reference", files.reference, "--input", files.raised, "--catalog", catalog)
    assert run("drift", *given, "--json", "--plots", plots) == DRIFTED == 3
    found = json.loads(capsys.readouterr().out)
    assert set(found["drifted"]) == {"amount", "amount_base_minor"}
    onset = START + 22 * DAY_MS
    assert all(at <= onset + DAY_MS for at in found["drifted"].values())
    assert len(list(plots.glob("*.png"))) == 3


@pytest.mark.parametrize(("reported_after_days", "drifted"), [(1, {"is_fraud"}), (9, set())])
def test_more_frauds_are_drift_of_labels_unless_they_are_only_reported_later(
    files: Files, catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    reported_after_days: int, drifted: set[str],
) -> None:  # fmt: skip
    """One payment in thirty of the newer file, reported within the label delay or after it."""
    table, payments = pq.read_table(files.labels), pq.read_table(files.quiet).to_pylist()
    more = [
        {
            "label_id": f"more-{k}", "transaction_id": payment["transaction_id"],
            "is_fraud": True, "source": "issuer",
            "labelled_at": payment["event_time"] + timedelta(days=reported_after_days),
        }
        for k, payment in enumerate(payments[::30])
    ]  # fmt: skip
    labels = tmp_path / "l.parquet"
    added = pa.Table.from_pylist(more, table.schema)
    pq.write_table(pa.concat_tables([table, added]), labels)
    given = ("--reference", files.reference, "--input", files.quiet, "--labels", labels)
    assert run("drift", *given, "--catalog", catalog, "--json") == (DRIFTED if drifted else 0)
    assert set(json.loads(capsys.readouterr().out)["drifted"]) == drifted


def test_scores_are_compared_with_those_of_the_models_training(
    world: tuple[Path, Path, Path], model: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    table = pq.read_table(world[0])
    manifest = json.loads((model / "manifest.json").read_text())
    later = pc.greater(pc.cast(table["event_time"], pa.int64()), manifest["validation"]["stop"])
    path = tmp_path / "later.parquet"
    pq.write_table(table.filter(later), path)
    before = tmp_path / "before.parquet"
    pq.write_table(table.filter(pc.invert(later)), before)
    code = run("drift", "--reference", before, "--input", path, "--model", model, "--json")
    assert code in (0, DRIFTED)
    found = json.loads(capsys.readouterr().out)
    assert "log_odds" in {signal["signal"] for signal in found["signals"]}
    assert found["reference_stop"] <= manifest["validation"]["stop"]


def test_what_cannot_be_compared_is_refused(
    files: Files, catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = ("drift", "--reference", files.reference, "--input", files.reference)
    assert "0 transactions that are new" in refused(capsys, *same, "--catalog", catalog)
    few = written(tmp_path / "few.parquet", [transaction(i) for i in range(50)])
    short = ("drift", "--reference", few, "--input", files.quiet, "--catalog", catalog)
    assert "at least 7 are needed" in refused(capsys, *short)
    absent = ("drift", "--reference", tmp_path / "none.parquet", "--input", files.quiet)
    assert "no such file" in refused(capsys, *absent)
    later = ("drift", "--reference", files.reference, "--input", files.quiet, "--catalog", catalog)
    assert "--from" in refused(capsys, *later, "--from", "2026-01-01")
