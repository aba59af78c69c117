from __future__ import annotations

import os
from pathlib import Path

import pytest

from alcyon.domain.columns import concatenate
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.errors import InputError
from alcyon.domain.tokens import TokenKeys
from alcyon.io.files import read_labels, read_transactions
from alcyon.runners.files.convert import DATASETS, convert_file

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = Path(os.environ.get("ALCYON_TEST_DATA", ROOT.parent / "shared" / "data"))
KEYS = TokenKeys(1, b"0123456789abcdef")


def published(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not here: set ALCYON_TEST_DATA to the folder that has it")
    return path


@pytest.mark.parametrize(
    ("dataset", "file", "rows", "frauds"),
    [
        ("handbook", "cards_dev.parquet", 214_833, None),
        ("sparkov", "sparkov_dev.parquet", 98_801, None),
        ("sparkov", "sparkov_dev_2months.csv", 5_365, None),
        ("paysim", "paysim_dev.csv.gz", 222_015, 305),
    ],
)
def test_published_data_converts_whole(
    tmp_path: Path, dataset: str, file: str, rows: int, frauds: int | None
) -> None:
    output, truth = tmp_path / "t.parquet", tmp_path / "l.parquet"
    report = convert_file(DATASETS[dataset], published(file), output, truth, KEYS, DEFAULT_RATES)
    assert (report.rows, report.converted, report.rejected) == (rows, rows, {})
    assert (report.duplicates, report.out_of_order) == (0, 0)
    assert frauds is None or report.frauds == frauds
    assert sum(map(len, read_transactions(output))) == rows
    assert len(concatenate(read_labels(truth))) == report.frauds > 0


def test_a_file_of_another_data_set_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    source = tmp_path / "odd.csv"
    source.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="has no column"):
        convert_file(
            DATASETS["handbook"],
            source,
            tmp_path / "t.csv",
            tmp_path / "l.csv",
            KEYS,
            DEFAULT_RATES,
        )
    assert list(tmp_path.iterdir()) == [source]
