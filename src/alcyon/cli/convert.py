"""`alcyon convert`"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from alcyon.cli.options import Json, settings
from alcyon.cli.talk import progress, show_json, tell
from alcyon.detectors.conversion import Report
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.runners.convert import DATASETS, convert_file


def convert(
    source: Path,
    output: Path,
    /,
    *,
    from_: Annotated[Literal["handbook", "sparkov", "paysim"], Parameter(name="--from")],
    labels_out: Path | None = None,
    as_json: Json = False,
) -> None:
    """Convert a published data set into transactions and labels.

    Every row is validated; what fails is left out, counted and reported.

    An example:
        alcyon convert --from handbook handbook.parquet t.parquet \\
            --labels-out l.parquet

    Parameters
    ----------
    source
        The data set's own file.
    output
        Where the transactions go: .parquet, .csv, .csv.gz, .jsonl, .jsonl.gz or .avro.
    from_
        Which data set it is.
    labels_out
        Where the labels go: a chargeback a week after each fraud.
    as_json
        Print the report as JSON.
    """
    keys = settings().token.keys()
    with progress("rows") as advance:
        report = convert_file(
            DATASETS[from_], source, output, labels_out, keys, DEFAULT_RATES, advance
        )
    _tell(report, output)
    if as_json:
        show_json(report)


def _tell(report: Report, output: Path) -> None:
    tell(
        f"{output}: {report.converted:,} of {report.rows:,} rows, {report.frauds:,} frauds "
        f"({report.fraud_share:.3%})"
    )
    for reason, rows in report.rejected.items():
        tell(f"left out: {rows:,} rows, {reason}")
    for name, rows in report.nulls.items():
        tell(f"null: {rows:,} rows, {name}")
    for name, (low, high) in report.ranges.items():
        is_time = name == "event_time"
        tell(f"{name}: {_moment(low)} to {_moment(high)}" if is_time else _range(name, low, high))
    if report.duplicates or report.out_of_order:
        tell(f"{report.duplicates:,} duplicates, {report.out_of_order:,} rows out of order")


def _range(name: str, low: float, high: float) -> str:
    return f"{name}: {low:,} to {high:,}"


def _moment(time_ms: float) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
