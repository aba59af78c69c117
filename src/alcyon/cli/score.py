"""`alcyon score`"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from alcyon.cli.showing.options import Detectors, Flag, Inputs, limits, settings, sources
from alcyon.cli.showing.talk import progress, tell, tell_tally
from alcyon.detectors.loading import Detector, load_detector
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.features.kernel import Kernel
from alcyon.features.layout import Layout
from alcyon.pipeline import Pipeline
from alcyon.runners.files.lateness import count_rows
from alcyon.runners.files.scoring_files import Writing, score_file
from alcyon.scoring.conduct import Conduct, compiled_rules
from alcyon.scoring.model import Model


@Parameter(name="*")
@dataclass(frozen=True)
class Decisions:
    """What is written, and from what state on."""

    output: Path
    """Where the decisions go: .parquet, .csv, .csv.gz, .jsonl, .jsonl.gz or .avro."""
    with_features: Flag = False
    """Write the model's features as scored, too."""
    snapshot: Path | None = None
    """A folder that `alcyon warm` wrote: history before the input."""
    batch_size: Annotated[int, Parameter(validator=Number(gte=1, lte=65_536))] = 4096
    """Transactions decided at once; the output does not depend on it."""


def score(
    *, model: Path, inputs: Inputs, catalog: Detectors = "card", decisions: Decisions
) -> None:
    """Decide on every transaction of a file, as the worker would.

    One row per transaction: action, score, reasons, rule hits, versions. The
    detector's rules are in force, and its policy or else the model's.

    An example:
        alcyon score --model m --input t.parquet --labels l.parquet \\
            --output d.parquet

    Parameters
    ----------
    model
        The folder that `alcyon train` wrote.
    """
    detector, set_to = load_detector(catalog), settings()
    conduct = conduct_of(detector, model)
    kernel = Kernel(Layout(detector.catalog), limits(set_to))
    if decisions.snapshot is not None:
        from alcyon.runners.files.warming import load_state

        load_state(kernel, decisions.snapshot)
    lateness = detector.catalog.lateness_max_ms
    rows = count_rows(inputs.input, lateness, kernel.state.front, inputs.allow_late)
    writing = Writing(decisions.output, decisions.batch_size, decisions.with_features)
    pipeline, given = Pipeline(kernel, conduct), sources(inputs, detector, set_to)
    with progress("decisions", rows) as advance:
        tally = score_file(pipeline, given, writing, advance)
    tell_tally(inputs.input, decisions.output, tally)
    tell(f"{decisions.output}: {tally.accepted + tally.late:,} decisions")


def conduct_of(detector: Detector, directory: Path) -> Conduct:
    """The detector's rules, the model, and the detector's policy or else the model's."""
    catalog = detector.catalog
    model = Model.load(directory, catalog_hash=catalog.hash, feature_names=catalog.model_names)
    return Conduct(
        catalog,
        compiled_rules(catalog, detector.rules),
        detector.policy or model.manifest.policy,
        model=model,
        rates=DEFAULT_RATES.version,
    )
