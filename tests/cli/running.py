"""Runs commands in this process, and makes the small files they are run on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alcyon.cli import main

DAY_MS = 86_400_000
START = 1_735_689_600_000


def run(*arguments: object) -> int:
    """The exit code of `alcyon …`."""
    return main([str(a) for a in arguments])


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What `alcyon …` says when it refuses: one line, exit code 2, nothing on stdout."""
    capsys.readouterr()
    assert run(*arguments) == 2
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if line]
    assert (said.out, len(lines)) == ("", 1), said
    return lines[0]


def transaction(i: int, **given: Any) -> dict[str, Any]:
    """One plain payment, an hour after the one before."""
    return {
        "transaction_id": f"t{i}",
        "event_time": START + i * 3_600_000,
        "amount_minor": 1000 + i,
        "currency": "EUR",
        "card_id": f"c{i % 3}",
        "merchant_id": f"m{i % 2}",
    } | given


def label(i: int, **given: Any) -> dict[str, Any]:
    """A chargeback of payment i, five hours after it."""
    return {
        "label_id": f"l{i}",
        "transaction_id": f"t{i}",
        "is_fraud": True,
        "source": "chargeback",
        "labelled_at": START + (i + 5) * 3_600_000,
    } | given


def written(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """A parquet file of these rows, times as timestamps."""
    table = pa.Table.from_pylist(list(rows))
    for name in ("event_time", "labelled_at"):
        at = table.schema.get_field_index(name)
        if at >= 0:
            times = table.column(at).cast(pa.timestamp("ms", tz="UTC"))
            table = table.set_column(at, name, times)
    pq.write_table(table, path)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """A parquet file's rows."""
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows
