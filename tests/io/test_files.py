from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alcyon.domain.columns import NULL_INT, Batch, ColumnType, Strings
from alcyon.domain.errors import AlcyonError, InputError
from alcyon.domain.transaction import REQUIRED
from alcyon.io.files import BatchWriter, read, read_all, read_labels, read_transactions

SUFFIXES = ("parquet", "csv", "csv.gz", "jsonl", "jsonl.gz", "avro")
COLUMNS = {
    **REQUIRED,
    "card_id": ColumnType.STRING,
    "device_id": ColumnType.STRING,
    "latitude": ColumnType.FLOAT,
    "utc_offset_minutes": ColumnType.INT,
    "is_new": ColumnType.BOOLEAN,
}
BATCH = Batch(
    {
        "transaction_id": Strings.from_list(["t1", "t2", 'quote " and, comma']),
        "event_time": np.array([1_700_000_000_001, 946_684_800_000, 4_102_444_799_999]),
        "amount_minor": np.array([0, 10**15, 2**53 + 1]),
        "currency": Strings.from_list(["EUR", "NAD", "JPY"]),
        "card_id": Strings.from_list(["NA", "null", "é\u2028"]),
        "device_id": Strings.from_list([None, "", "x"]),
        "latitude": np.array([np.nan, -0.1, 1e-300]),
        "utc_offset_minutes": np.array([NULL_INT, -60, 0]),
        "is_new": np.array([1, 0, NULL_INT]),
    }
)


def rows(batch: Batch) -> dict[str, list[object]]:
    """Plain lists; NaN as None, so that nulls compare equal."""
    return {
        name: [None if isinstance(v, float) and np.isnan(v) else v for v in column.tolist()]
        if isinstance(column, np.ndarray)
        else list(column.to_list())
        for name, column in batch.columns.items()
    }


def written(path: Path, *batches: Batch) -> Path:
    with BatchWriter(path, COLUMNS) as writer:
        for batch in batches:
            writer.write(batch)
    return path


def table(path: Path, **columns: object) -> Path:
    """A parquet file of one good row with some columns replaced; None leaves one out."""
    good: dict[str, object] = {
        "transaction_id": ["t1"],
        "event_time": [1_700_000_000_000],
        "amount_minor": [1],
        "currency": ["EUR"],
        "card_id": ["c1"],
    }
    kept = {name: column for name, column in {**good, **columns}.items() if column is not None}
    pq.write_table(pa.table(kept), path)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_round_trip_changes_nothing(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path / f"t.{suffix}", BATCH, BATCH)
    again = read_all(read(path, COLUMNS), COLUMNS)
    expected = {name: values * 2 for name, values in rows(BATCH).items()}
    assert rows(again) == expected
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_slices_are_bounded_and_keep_the_order(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path / f"t.{suffix}", BATCH, BATCH, BATCH)
    slices = list(read(path, COLUMNS, rows_max=2))
    assert max(map(len, slices)) <= 2
    assert rows(read_all(slices, COLUMNS))["transaction_id"] == rows(BATCH)["transaction_id"] * 3


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_content_gives_equal_bytes(tmp_path: Path, suffix: str) -> None:
    if suffix == "avro":
        pytest.skip("the format separates blocks by a random marker")
    one, two = (written(tmp_path / f"{name}.{suffix}", BATCH) for name in ("a", "b"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_column_a_batch_lacks_is_null(tmp_path: Path, suffix: str) -> None:
    less = Batch({name: c for name, c in BATCH.columns.items() if name != "latitude"})
    again = read_all(read(written(tmp_path / f"t.{suffix}", less), COLUMNS), COLUMNS)
    assert rows(again).get("latitude", [None] * 3) == [None] * 3


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Paris"])
def test_timestamps_of_any_unit_are_milliseconds(
    tmp_path: Path, unit: str, zone: str | None
) -> None:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    times = pa.array([1_700_000_000 * per_second], pa.timestamp(unit, tz=zone))
    (batch,) = read_transactions(table(tmp_path / "t.parquet", event_time=times))
    assert batch.numbers("event_time").tolist() == [1_700_000_000_000]


def test_finer_times_are_cut(tmp_path: Path) -> None:
    times = pa.array([1_700_000_000_000_999_999], pa.timestamp("ns"))
    (batch,) = read_transactions(table(tmp_path / "t.parquet", event_time=times))
    assert batch.numbers("event_time").tolist() == [1_700_000_000_000]


def test_dictionary_and_narrow_columns_are_read(tmp_path: Path) -> None:
    path = table(
        tmp_path / "t.parquet",
        card_id=pa.array(["c1"]).dictionary_encode(),
        merchant_id=pa.array(["m"], pa.large_string()),
        amount_minor=pa.array([5], pa.int16()),
        latitude=pa.array([1.5], pa.float32()),
        device_id=pa.nulls(1),
        ignored=pa.array([[1, 2]]),
    )
    (batch,) = read_transactions(path)
    found = rows(batch)
    assert (found["card_id"], found["merchant_id"], found["amount_minor"]) == (["c1"], ["m"], [5])
    assert (found["latitude"], found["device_id"]) == ([1.5], [None])
    assert "ignored" not in found


@pytest.mark.parametrize(
    ("name", "column", "word"),
    [
        ("amount_minor", pa.array([1.5]), "minor units"),
        ("amount_minor", pa.array([2**64 - 1], pa.uint64()), "amount_minor"),
        ("card_id", pa.array([7]), "strings are needed"),
        ("event_time", pa.array([True]), "timestamps are needed"),
        ("event_time", pa.array(["yesterday"]), "RFC 3339"),
        ("latitude", pa.array(["x"]), "numbers are needed"),
        ("currency", None, "has no column currency"),
        ("card_id", None, "card_id or account_id or customer_id"),
    ],
)
def test_a_wrong_or_missing_column_is_named(
    tmp_path: Path, name: str, column: object, word: str
) -> None:
    path = table(tmp_path / "t.parquet", **{name: column})
    with pytest.raises(InputError, match=word) as caught:
        list(read_transactions(path))
    assert name in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 1], np.int32)), pa.py_buffer(b"\xff")]
    )
    with pytest.raises(InputError, match="card_id"):
        list(read_transactions(table(tmp_path / "t.parquet", card_id=bad)))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("damage", ["empty", "half", "noise", "latin-1"])
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, suffix: str, damage: str) -> None:
    path = written(tmp_path / f"t.{suffix}", *[BATCH] * 50)
    whole = path.read_bytes()
    if damage == "latin-1" and suffix in ("csv.gz", "jsonl.gz"):
        whole = gzip.decompress(whole)
    broken = {
        "empty": b"",
        "half": whole[: len(whole) // 2 + 5],
        "noise": bytes(range(256)) * 4,
        "latin-1": whole.replace("é".encode(), b"\xe9"),
    }[damage]
    if damage == "latin-1":
        if broken == whole:
            pytest.skip("the text is compressed within this format")
        broken = gzip.compress(broken) if suffix.endswith("gz") else broken
    path.write_bytes(broken)
    with pytest.raises(InputError) as caught:
        list(read(path, COLUMNS, frozenset(REQUIRED)))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["t.xlsx", "t", "t.parquet.gz", "t.gz"])
def test_an_unknown_suffix_lists_the_known(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=r"\.parquet, \.csv"):
        list(read(tmp_path / name, COLUMNS))
    with (
        pytest.raises(InputError, match=r"\.parquet, \.csv"),
        BatchWriter(tmp_path / name, COLUMNS),
    ):
        pass


def test_no_file_and_no_rows_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        list(read(tmp_path / "t.csv", COLUMNS))
    with pytest.raises(InputError, match="no rows"):
        list(read(written(tmp_path / "t.parquet"), COLUMNS))


def test_a_bad_json_line_is_named_by_its_number(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", BATCH)
    path.write_bytes(path.read_bytes() + b"\n{oops}\n")
    with pytest.raises(InputError, match="line 5: invalid_json"):
        list(read(path, COLUMNS))
    path.write_bytes(b'{"a":"' + b"x" * 100_000 + b'"}\n')
    with pytest.raises(InputError, match="line 1: payload_too_large"):
        list(read(path, COLUMNS))


@pytest.mark.parametrize(
    "text", ["2023-11-14 22:13:20", "2023-11-14T23:13:20+01:00", "1700000000000"]
)
def test_csv_times_may_be_text_or_milliseconds(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    header = "transaction_id,event_time,amount_minor,currency,card_id,odd\n"
    path.write_text(f"{header}t1,{text},5,EUR,c1,1\nt2,{text},5,EUR,,x\n")
    (batch,) = read_transactions(path)
    assert batch.numbers("event_time").tolist() == [1_700_000_000_000] * 2
    assert batch.strings("card_id").to_list() == ["c1", None]


def test_labels_are_read(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    label = {
        "label_id": "l1",
        "transaction_id": "t1",
        "is_fraud": True,
        "source": "chargeback",
        "labelled_at": 1_700_000_000_000,
    }
    path.write_text(json.dumps(label))
    (batch,) = read_labels(path)
    assert batch.numbers("is_fraud").tolist() == [1]


def test_an_error_leaves_the_old_file_and_no_part(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"old")

    def fail_half_way() -> None:
        with BatchWriter(path, COLUMNS) as writer:
            writer.write(BATCH)
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t.{suffix}"
    (tmp_path / f".{path.name}.{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(AlcyonError, match="no space left"):
        written(path, *[BATCH] * 5000)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(AlcyonError, match="cannot be written"):
        written(tmp_path / "none" / "t.csv", BATCH)
