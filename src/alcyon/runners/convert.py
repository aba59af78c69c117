"""Converts a published data set's file into canonical transactions and labels, and reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from alcyon.detectors import handbook_convert, paysim_convert, sparkov_convert
from alcyon.detectors.conversion import Converted, Report, Tally, labels
from alcyon.domain.admission import admit
from alcyon.domain.columns import Batch, ColumnType
from alcyon.domain.currency import Rates
from alcyon.domain.label import LABEL_COLUMNS
from alcyon.domain.tokens import TokenKeys
from alcyon.domain.transaction import COLUMNS
from alcyon.io.files import BatchWriter, read


@dataclass(frozen=True)
class Dataset:
    """How one published data set is read."""

    columns: Mapping[str, ColumnType]
    required: frozenset[str]
    convert: Callable[[Batch, int], Converted]


DATASETS: Mapping[str, Dataset] = MappingProxyType(
    {
        name: Dataset(source.COLUMNS, source.REQUIRED, source.convert)
        for name, source in (
            ("handbook", handbook_convert),
            ("sparkov", sparkov_convert),
            ("paysim", paysim_convert),
        )
    }
)
"""By the name that `alcyon convert --from` takes."""


def convert_file(
    dataset: Dataset,
    source: Path,
    output: Path,
    labels_output: Path | None,
    keys: TokenKeys,
    rates: Rates,
    progress: Callable[[int], None] = lambda rows: None,
) -> Report:
    """Convert `source` to `output`, and the frauds to `labels_output` where that is given.

    Rows keep their order; those that fail validation are left out and counted. `progress` is told
    the rows done so far. Raises InputError when the source cannot be used, AlcyonError when the
    disk refuses; then neither file appears.
    """
    tally = Tally()
    with ExitStack() as files:
        kept = files.enter_context(BatchWriter(output, COLUMNS))
        truth = None
        if labels_output is not None:
            truth = files.enter_context(BatchWriter(labels_output, LABEL_COLUMNS))
        for raw in read(source, dataset.columns, dataset.required):
            converted = dataset.convert(raw, tally.rows)
            admitted = admit(converted.transactions, keys, rates)
            kept.write(admitted.batch)
            if truth is not None:
                truth.write(labels(admitted, converted.is_fraud))
            tally.add(admitted, converted.is_fraud)
            progress(tally.rows)
    return tally.report()
