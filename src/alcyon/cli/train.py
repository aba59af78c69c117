"""`alcyon train`"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from alcyon.cli.showing.figures import show_figures
from alcyon.cli.showing.options import (
    Detectors,
    Inputs,
    Json,
    duration,
    limits,
    milliseconds,
    settings,
)
from alcyon.cli.showing.options import sources as sources_of
from alcyon.cli.showing.talk import member_progress, progress, tell, tell_tally
from alcyon.detectors.loading import Detector, load_detector
from alcyon.domain.errors import InputError
from alcyon.io.files.failures import reading
from alcyon.learning.dataset import SplitRules
from alcyon.learning.member import FitSettings, Progress
from alcyon.learning.search import checked
from alcyon.learning.training import MEMBERS, TrainingSettings
from alcyon.runners.files.lateness import count_rows
from alcyon.runners.learning.evaluation import caveat
from alcyon.runners.learning.training import Backfilled, Order, Span, backfill_rows, train_model
from alcyon.scoring.manifest import Search
from alcyon.scoring.policy import Costs


@Parameter(name="*")
@dataclass(frozen=True)
class Learning:
    """What is learnt."""

    from_: Annotated[datetime | None, Parameter(name="--from")] = None
    """Learn from this event time on; what is before it is history only."""
    to: datetime | None = None
    """Learn up to this event time, exclusive."""
    members: str = ",".join(MEMBERS)
    """The ensemble's members, with commas between."""
    label_delay: str = "7d"
    """How long after a payment its fraud is usually known."""
    reviews_per_day: float = 100.0
    """How many reviews the analysts can do in a day."""
    genuine_share: float = 1.0
    """The share of genuine payments that members learn from; probabilities stay true."""
    search: str | None = None
    """How long to look for better parameters first (10m), on older days of the train span."""
    parameters: Path | None = None
    """What another search found for XGBoost, as JSON like the manifest's `search`."""
    seed: int = 7
    """Of every random choice."""

    @property
    def span(self) -> Span:
        """Which transactions are examples."""
        start = 0 if self.from_ is None else milliseconds(self.from_)
        return Span(start, Span.stop if self.to is None else milliseconds(self.to))

    def order(self, detector: Detector, heard: Progress) -> Order:
        """Raises InputError for an unknown member or a wrong duration."""
        names = tuple(name.strip() for name in self.members.split(","))
        return Order(
            split=SplitRules(label_delay_ms=duration("--label-delay", self.label_delay)),
            settings=TrainingSettings(
                names,
                FitSettings(self.seed, progress=heard),
                genuine_share=self.genuine_share,
            ),
            costs=detector.policy.costs if detector.policy else Costs(),
            reviews_per_day=self.reviews_per_day,
            search_s=None if self.search is None else duration("--search", self.search) / 1000,
            found=None if self.parameters is None else self._found(self.parameters),
        )

    def _found(self, path: Path) -> Search:
        if self.search is not None:
            raise InputError("give --search or --parameters: one search is enough")
        with reading(path):
            try:
                return checked(msgspec.json.decode(path.read_bytes(), type=Search))
            except msgspec.DecodeError as error:
                raise InputError(f"is not what a search leaves: {error}") from error


def train(
    *,
    inputs: Inputs,
    catalog: Detectors = "card",
    learning: Learning = Learning(),
    out: Path,
    as_json: Json = False,
) -> None:
    """Train a model on a file and its labels, and judge it on the days after.

    Members learn on the oldest days, blend and thresholds on later ones, and the
    figures are of the last fifth of the time, with only the labels known before it.

    An example:
        alcyon train --input t.parquet --labels l.parquet --out model

    Parameters
    ----------
    out
        The folder for the model: model.onnx, manifest.json, golden.npz.
    as_json
        Print the figures as JSON.
    """
    if inputs.labels is None:
        raise InputError("there is nothing to learn from without labels: give --labels")
    detector = load_detector(catalog)
    backfilled = backfill(inputs, detector, learning.span)
    with member_progress() as heard:
        trained = train_model(detector.catalog, backfilled, learning.order(detector, heard), out)
    show_figures(trained.evaluation, trained.maturity, as_json)
    for line in trained.findings:
        tell(f"note: {line}")
    if (found := trained.manifest.search) is not None:
        tell(
            f"search: {found.trials} trials, average precision {found.average_precision:.4f} "
            f"against {found.average_precision_of_defaults:.4f} with the defaults, on older days"
        )
    tell(f"{out}: model of catalog {trained.manifest.catalog_hash}")
    tell(caveat(backfilled.rows.transaction_id))


def backfill(inputs: Inputs, detector: Detector, span: Span) -> Backfilled:
    """Look through the files, then compute the features, with a bar."""
    set_to = settings()
    lateness = detector.catalog.lateness_max_ms
    rows = count_rows(inputs.input, lateness, None, inputs.allow_late)
    given = sources_of(inputs, detector, set_to)
    with progress("features", rows) as advance:
        found = backfill_rows(detector.catalog, given, limits(set_to), span, advance)
    tell_tally(inputs.input, None, found.tally)
    return found
