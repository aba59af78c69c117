"""Converts a published data set's file into canonical transactions and labels, and reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from alcyon.detectors import handbook_convert, paysim_convert, sparkov_convert
from alcyon.detectors.conversion import Converted, Report, Tally, labelled, labels
from alcyon.domain.admission import admit
from alcyon.domain.columns import Batch, ColumnType
from alcyon.domain.currency import Rates
from alcyon.domain.errors import InputError
from alcyon.domain.label import LABEL_COLUMNS
from alcyon.domain.tokens import TokenKeys
from alcyon.domain.transaction import COLUMNS
from alcyon.io.files import BatchWriter, read_lenient


@dataclass(frozen=True)
class Dataset:
    """How one published data set is read."""

    columns: Mapping[str, ColumnType]
    required: frozenset[str]
    convert: Callable[[Batch, int], Converted]
    extra: Mapping[str, ColumnType]
    """Columns of its transactions beside the canonical ones."""
    home: str
    """Where to get it."""


DATASETS: Mapping[str, Dataset] = MappingProxyType(
    {
        name: Dataset(source.COLUMNS, source.REQUIRED, source.convert, source.EXTRA, source.HOME)
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

    Rows keep their order; those that fail validation, and values of a csv file that cannot be read
    where they are needed, are left out and counted. `progress` is told
    the rows done so far. Raises InputError when the source cannot be used, AlcyonError when the
    disk refuses; then neither file appears.
    """
    tally = Tally()
    if not source.exists():
        raise InputError(f"{source}: no such file: get it from {dataset.home}")
    with ExitStack() as files:
        kept = files.enter_context(BatchWriter(output, {**COLUMNS, **dataset.extra}))
        truth = None
        if labels_output is not None:
            truth = files.enter_context(BatchWriter(labels_output, LABEL_COLUMNS))
        for raw in read_lenient(source, dataset.columns, dataset.required):
            converted = labelled(dataset.convert(raw, tally.rows))
            admitted = admit(converted.transactions, keys, rates)
            kept.write(admitted.batch)
            if truth is not None:
                truth.write(labels(admitted, converted.is_fraud))
            tally.add(admitted, converted.is_fraud, len(raw) - len(converted.is_fraud))
            progress(tally.rows)
    return tally.report()
