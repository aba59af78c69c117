"""`alcyon convert`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from alcyon.cli.showing.options import Json, settings
from alcyon.cli.showing.talk import progress, show_json, show_table, tell
from alcyon.detectors.conversion import Report
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.runners.files.convert import DATASETS, convert_file


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
    if as_json:
        show_json(report)
    else:
        _show(report)
    tell(f"{output}: {report.converted:,} of {report.rows:,} rows")


def _show(report: Report) -> None:
    show_table(None, ["", "rows"], [[name, f"{rows:,}"] for name, rows in _counts(report)])
    show_table(
        f"{report.first} to {report.last}",
        ["column", "nulls", "smallest", "largest"],
        [
            _column(name, report)
            for name in sorted({*report.nulls, *report.ranges} - {"event_time"})
        ],
    )


def _counts(report: Report) -> list[tuple[str, int]]:
    rejected = [(f"left out, {reason}", rows) for reason, rows in report.rejected.items()]
    return [
        ("read", report.rows),
        *rejected,
        ("converted", report.converted),
        ("  genuine", report.genuine),
        (f"  fraud ({report.fraud_share:.3%})", report.frauds),
        ("  duplicates", report.duplicates),
        ("  out of order", report.out_of_order),
    ]


def _column(name: str, report: Report) -> list[str]:
    ends = [f"{end:,}" for end in report.ranges.get(name, ())] or ["", ""]
    return [name, f"{report.nulls.get(name, 0):,}", *ends]
