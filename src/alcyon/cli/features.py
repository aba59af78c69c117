"""`alcyon features`"""

from __future__ import annotations

from pathlib import Path

from alcyon.cli.showing.options import Detectors, Inputs, limits, settings, sources
from alcyon.cli.showing.talk import progress, tell, tell_tally
from alcyon.detectors.loading import load_detector
from alcyon.runners.files.backfill import write_features
from alcyon.runners.files.lateness import count_rows


def features(*, inputs: Inputs, catalog: Detectors = "card", output: Path) -> None:
    """Compute every feature of a file.

    Each transaction sees exactly what had arrived before it. The output has one row
    per input row: transaction_id and the catalog's features. What could not be used
    has nulls there, and its reason in OUTPUT.dead-letters.jsonl.

    An example:
        alcyon features --catalog card --input t.parquet \\
            --labels l.parquet --output f.parquet

    Parameters
    ----------
    output
        Where the features go: .parquet, .csv, .csv.gz, .jsonl, .jsonl.gz or .avro.
    """
    detector, set_to = load_detector(catalog), settings()
    rows = count_rows(inputs.input, detector.catalog.lateness_max_ms, None, inputs.allow_late)
    with progress("features", rows) as advance:
        tally = write_features(
            detector.catalog, sources(inputs, detector, set_to), output, limits(set_to), advance
        )
    tell_tally(inputs.input, output, tally)
    tell(f"{output}: {tally.rows:,} rows of {len(detector.catalog.names)} features")
