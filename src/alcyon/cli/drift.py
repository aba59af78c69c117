"""`alcyon drift`"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from alcyon.cli.showing.options import (
    Detectors,
    Flag,
    Json,
    duration,
    limits,
    milliseconds,
    settings,
)
from alcyon.cli.showing.talk import progress, show_json, show_table, tell
from alcyon.detectors.loading import load_detector
from alcyon.learning.drift import Finding
from alcyon.runners.files.arrivals import Sources
from alcyon.runners.files.lateness import count_rows
from alcyon.runners.learning.drift import Comparison, DriftReport, compare_files, save_plots_of

DRIFTED = 3
"""The exit code where something drifted."""
SHOWN = 15


@Parameter(name="*")
@dataclass(frozen=True)
class Compared:
    """What is compared with what."""

    reference: Path
    """Transactions of the time that counts as usual, in order of arrival."""
    input: Path
    """What came after them."""
    labels: Path | None = None
    """Labels of both: the share of frauds is compared too, and features know the frauds."""
    model: Path | None = None
    """The folder of a model: its scores are compared too, with those of its training."""
    from_: Annotated[datetime | None, Parameter(name="--from")] = None
    """What the reference has before this event time is history only."""
    label_delay: str = "7d"
    """How long after a payment its fraud is usually known."""
    allow_late: Flag = False
    """Go on though more than 1 % of the transactions are late."""


def drift(
    *,
    compared: Compared,
    catalog: Detectors = "card",
    plots: Path | None = None,
    as_json: Json = False,
) -> int:
    """Say whether features, scores, amounts or frauds differ from what was usual.

    Each quarter of a day the last day is compared with the reference at the same
    hours; drift is what lies further off than the reference's days do from each
    other. Exit code 0: none; 3: drift; 2: could not be compared.

    An example:
        alcyon drift --reference may.parquet --input june.parquet \\
            --labels l.parquet --model model --plots plots

    Parameters
    ----------
    plots
        A folder for plots: signals, their course, their distributions.
    as_json
        Print the report as JSON.
    """
    detector, set_to = load_detector(catalog), settings()
    lateness, keys = detector.catalog.lateness_max_ms, set_to.token.keys()
    files = (compared.reference, compared.input)
    rows = [count_rows(path, lateness, None, compared.allow_late) for path in files]
    reference, given = (Sources(p, compared.labels, keys, detector.columns) for p in files)
    comparison = Comparison(
        reference,
        given,
        compared.model,
        0 if compared.from_ is None else milliseconds(compared.from_),
        duration("--label-delay", compared.label_delay),
    )
    with progress("features", sum(rows)) as advance:
        found = compare_files(detector.catalog, comparison, limits(set_to), advance)
    show_json(found.report) if as_json else _show(found.report)
    if plots is not None:
        for path in save_plots_of(found, plots):
            tell(f"{path}: drawn")
    _tell(found.report)
    return DRIFTED if found.report.is_drift else 0


def _show(report: DriftReport) -> None:
    ranked = sorted(report.signals, key=lambda f: (f.signal not in report.drifted, f.chance))
    shown = ranked[: max(SHOWN, len(report.drifted))]
    show_table(
        f"{report.input_rows:,} transactions against {report.reference_rows:,} of "
        f"{_day(report.reference_start)} to {_day(report.reference_stop)}",
        ["signal", "drift", "PSI", "usual", "KS", "usual", "chance", "first seen"],
        [_row(found, report) for found in shown],
    )


def _row(found: Finding, report: DriftReport) -> list[str]:
    first = report.drifted.get(found.signal)
    return [
        found.signal,
        "–" if first is None else found.severity,
        f"{found.psi:.4f}",
        f"{found.psi_usual:.4f}",
        f"{found.ks:.4f}",
        f"{found.ks_usual:.4f}",
        f"{found.chance:.1e}",
        "" if first is None else _moment(first),
    ]


def _tell(report: DriftReport) -> None:
    for change in report.changes:
        tell(f"{change.signal}: the stream changed by {_moment(change.event_time)}")
    if report.is_drift:
        names = {*report.drifted, *(change.signal for change in report.changes)}
        tell(f"drift in {len(names)} of {len(report.signals)} signals")
    else:
        tell(f"no drift in {report.windows} windows of {len(report.signals)} signals")


def _day(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d}"


def _moment(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%dT%H:%MZ}"
