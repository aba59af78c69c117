"""Backfill: every feature of a file of the past, through the kernel, one row per row.

A repeat gets the row of the transaction it repeats; a late one has nulls for its windows; what
could not be used (see `DeadLetters`) has nulls throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from alcyon.domain.columns import Batch, ColumnType
from alcyon.features.catalog import Catalog
from alcyon.features.kernel import Kernel, Limits
from alcyon.features.layout import Layout
from alcyon.features.observed import Observed
from alcyon.io.files import BatchWriter
from alcyon.runners.files.arrivals import Arrivals, Part, Sources, Tally
from alcyon.runners.files.deadletters import DeadLetters
from alcyon.runners.files.repeats import Repeats


def observe(kernel: Kernel, arrivals: Arrivals, part: Part) -> Observed:
    """Observe all records of a part, with the labels before them."""
    labels = arrivals.labels_before(part.batch, part.sequences)
    observed = kernel.observe(part.batch, labels=labels, sequences=part.sequences)
    arrivals.passed(part, observed)
    return observed


def write_features(
    catalog: Catalog,
    sources: Sources,
    output: Path,
    limits: Limits,
    progress: Callable[[int], None] = lambda rows: None,
) -> Tally:
    """Write `transaction_id` and the features of every row of the transactions to `output`.

    `progress` is told the rows done so far. Raises InputError when the input cannot be used,
    AlcyonError when the disk refuses; then no file appears.
    """
    kernel = Kernel(Layout(catalog), limits)
    lateness = catalog.lateness_max_ms
    repeats = Repeats(max(limits.dedupe_horizon_ms or lateness, lateness), catalog.types)
    with ExitStack() as files:
        dead_letters = files.enter_context(DeadLetters(output))
        columns = {"transaction_id": ColumnType.STRING, **catalog.types}
        writer = files.enter_context(BatchWriter(output, columns))
        arrivals = Arrivals(sources, dead_letters)
        for part in arrivals.parts():
            observed = observe(kernel, arrivals, part)
            features = Batch({name: observed.column(name, kernel) for name in catalog.names})
            rows = repeats.spread(features, observed, part.rows, len(part))
            writer.write(Batch({"transaction_id": part.transaction_ids, **rows.columns}))
            progress(arrivals.tally.rows)
    return arrivals.tally
