"""Drift between two files: the profile of one, the windows of the other, judged in order.

Both are read as one stream: what the windows of `--input` remember is what `--reference` left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import Batch
from alcyon.domain.errors import InputError
from alcyon.features.catalog import Catalog
from alcyon.features.kernel import Kernel, Limits
from alcyon.features.layout import Layout
from alcyon.io.files.failures import writing
from alcyon.learning.dataset import Rows
from alcyon.learning.drift import AMOUNT, SCORE, DriftWatch, Finding, Window
from alcyon.learning.drift_online import Change, OnlineWatch
from alcyon.learning.drift_profile import DAY_MS, ROWS_MIN, Profile, profile_of
from alcyon.learning.truth import truth_of
from alcyon.runners.files.arrivals import Sources
from alcyon.runners.learning.training import Backfilled, Span, backfill_rows
from alcyon.scoring.model import Model

FRAUD = "is_fraud"
"""The share of known frauds."""
STREAMS = (AMOUNT, SCORE)
"""What is watched transaction by transaction too."""

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Comparison:
    """What is compared with what."""

    reference: Sources
    input: Sources
    model: Path | None = None
    """With it its scores are compared too, and the reference is what it was trained on."""
    start: int = 0
    """UTC ms: what the reference has before this is history only."""
    label_delay_ms: int = 7 * DAY_MS
    """How long after a payment its fraud is usually known."""


class DriftReport(msgspec.Struct, frozen=True):
    """What was found."""

    reference_start: int
    reference_stop: int
    reference_rows: int
    input_rows: int
    windows: int
    """How many were judged: the last day, each quarter of a day."""
    signals: tuple[Finding, ...]
    """Each signal in its window of the largest drift; where there is none, of the least chance."""
    drifted: dict[str, int]
    """By signal that drifted: UTC ms, the end of the first window that showed it."""
    changes: tuple[Change, ...]
    """What the streams' own detectors said, the first of each."""

    @property
    def is_drift(self) -> bool:
        """Whether anything drifted."""
        return bool(self.drifted or self.changes)


@dataclass(frozen=True, eq=False)
class Compared:
    """A report and what it was made of, for plots."""

    report: DriftReport
    windows: list[Window]
    profile: Profile
    input: dict[str, NDArray[np.float64]]
    """Values of the input by signal, float64[n]."""


def compare_files(
    catalog: Catalog, comparison: Comparison, limits: Limits, progress: Progress = lambda rows: None
) -> Compared:
    """Raises InputError where a file cannot be used or there is too little to compare, ModelError
    where the model does not load or is of another catalog."""
    model = _model(catalog, comparison.model)
    start, stop = comparison.start, Span.stop
    if model is not None:
        start = max(start, model.manifest.training.start)
        stop = model.manifest.validation.stop
    kernel = Kernel(Layout(catalog), limits)
    before = backfill_rows(
        catalog, comparison.reference, limits, Span(start, stop), progress, kernel
    )
    after = backfill_rows(catalog, comparison.input, limits, Span(), progress, kernel)
    _check(before, after, comparison)
    old, new = _signals(before.rows, model), _signals(after.rows, model)
    profile = profile_of(old, before.rows.event_time)
    windows = _judged(profile, new, after.rows.event_time)
    changes = _changes(profile, new, after.rows.event_time)
    labelled = _labels(before, after, comparison.label_delay_ms)
    report = _report(profile, [*windows, *labelled], changes, len(after.rows.event_time))
    return Compared(report, windows, profile, new)


def save_plots_of(compared: Compared, directory: Path) -> list[Path]:
    """Draw into `directory`; the files written. Raises AlcyonError when the disk refuses."""
    from alcyon.learning.drift_plots import save_plots

    with writing(directory):
        return save_plots(directory, compared.profile, compared.windows, compared.input)


def _model(catalog: Catalog, directory: Path | None) -> Model | None:
    if directory is None:
        return None
    return Model.load(directory, catalog_hash=catalog.hash, feature_names=catalog.model_names)


def _check(before: Backfilled, after: Backfilled, comparison: Comparison) -> None:
    reference, given = comparison.reference.transactions, comparison.input.transactions
    if not len(before.rows.event_time):
        raise InputError(
            f"{reference}: has no transaction of the reference's time (--from, or the model's "
            "training); give the file that the model was trained on"
        )
    if len(after.rows.event_time) < ROWS_MIN:
        raise InputError(
            f"{given}: has {len(after.rows.event_time)} transactions that are new after "
            f"{reference}, at least {ROWS_MIN} are needed; give what came after the reference"
        )


def _signals(rows: Rows, model: Model | None) -> dict[str, NDArray[np.float64]]:
    """Values float64[n] by signal, in the profile's order."""
    features = rows.features.astype(np.float64)
    signals = {name: features[:, k] for k, name in enumerate(rows.feature_names)}
    signals[AMOUNT] = rows.amount_minor.astype(np.float64)
    if model is not None:
        signals[SCORE] = model.score(rows.features).log_odds
    return signals


def _judged(
    profile: Profile, signals: dict[str, NDArray[np.float64]], event_time: NDArray[np.int64]
) -> list[Window]:
    watch, values = DriftWatch(profile), np.column_stack([signals[name] for name in profile.names])
    return [*watch.add(event_time, values), *watch.finish()]


def _changes(
    profile: Profile, signals: dict[str, NDArray[np.float64]], event_time: NDArray[np.int64]
) -> list[Change]:
    """The first change of each stream."""
    watches = [OnlineWatch(profile, name) for name in STREAMS if name in profile.names]
    found = [w.add(event_time, signals[w.signal]) for w in watches]
    return [changes[0] for changes in found if changes]


def _labels(before: Backfilled, after: Backfilled, delay_ms: int) -> list[Window]:
    """The share of frauds that were known `delay_ms` after their payment, of payments so old.

    Labels that came later count in neither file, or the older one would have more frauds.
    """
    if not len(before.labels) or not len(after.labels):
        return []
    labels = after.labels if len(after.labels) >= len(before.labels) else before.labels
    known_until = int(labels.numbers("labelled_at").max()) - delay_ms
    old, new = (_known(b.rows, b.labels, delay_ms) for b in (before, after))
    mature = after.rows.event_time < known_until
    if mature.sum() < ROWS_MIN:
        return []
    profile = profile_of({FRAUD: old}, before.rows.event_time)
    return _judged(profile, {FRAUD: new[mature]}, after.rows.event_time[mature])


def _known(rows: Rows, labels: Batch, delay_ms: int) -> NDArray[np.float64]:
    """float64[n]: 1 for what was known as fraud `delay_ms` after the payment."""
    ids = rows.transaction_id.to_list()
    paid = dict(zip(ids, rows.event_time.tolist(), strict=True))
    due = [paid.get(t, -delay_ms) + delay_ms for t in labels.strings("transaction_id").to_list()]
    early = np.flatnonzero(labels.numbers("labelled_at") <= np.array(due, np.int64))
    return truth_of(rows.transaction_id, labels.take(early), None).is_fraud.astype(np.float64)


def _report(
    profile: Profile, windows: list[Window], changes: list[Change], rows: int
) -> DriftReport:
    drifted: dict[str, int] = {}
    largest: dict[str, Finding] = {}
    rarest: dict[str, Finding] = {}
    for window in windows:
        for found in window.findings:
            drifted.setdefault(found.signal, window.stop)
            largest[found.signal] = max(found, largest.get(found.signal, found), key=_size)
        for found in window.comparisons:
            rarest[found.signal] = min(found, rarest.get(found.signal, found), key=_chance)
    return DriftReport(
        reference_start=profile.start,
        reference_stop=profile.stop,
        reference_rows=profile.rows,
        input_rows=rows,
        windows=len({window.stop for window in windows}),
        signals=tuple({**rarest, **largest}.values()),
        drifted=drifted,
        changes=tuple(changes),
    )


def _size(finding: Finding) -> float:
    return finding.psi - finding.psi_usual


def _chance(finding: Finding) -> float:
    return finding.chance
