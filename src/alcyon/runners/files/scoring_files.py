"""The whole pipeline over a file: one row per transaction, as the worker would decide it.

What repeats a transaction has no row, and what could not be used is a dead letter. Equal input
gives equal files, whatever the size of the batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from alcyon.domain.columns import NULL_INT, Batch, Column, ColumnType, Strings, concatenate
from alcyon.domain.decision import Action
from alcyon.features.catalog import Catalog
from alcyon.io.files import BatchWriter
from alcyon.pipeline import Pipeline
from alcyon.runners.files.arrivals import Arrivals, Part, Sources, Tally
from alcyon.runners.files.deadletters import DeadLetters
from alcyon.scoring.decided import Decided

_S, _I = ColumnType.STRING, ColumnType.INT
COLUMNS = {
    "transaction_id": _S, "sequence": _I, "action": _S, "score": _I, "probability_ppm": _I,
    "codes": _S, "reasons": _S, "rule_hits": _S, "members": _S, "versions": _S,
}  # fmt: skip
"""`codes` to `versions` are JSON, as in `domain.decision.Decision`."""

_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True)
class Writing:
    """Where decisions go and how."""

    output: Path
    batch_size: int
    with_features: bool


def score_file(
    pipeline: Pipeline,
    sources: Sources,
    writing: Writing,
    progress: Callable[[int], None] = lambda rows: None,
) -> Tally:
    """Decide on every transaction and write `writing.output`.

    Raises InputError when the input cannot be used, AlcyonError when the disk refuses; then no
    file appears.
    """
    catalog = pipeline.conduct.catalog
    columns = COLUMNS | (_feature_columns(catalog) if writing.with_features else {})
    with ExitStack() as files:
        dead_letters = files.enter_context(DeadLetters(writing.output))
        writer = files.enter_context(BatchWriter(writing.output, columns))
        arrivals = Arrivals(sources, dead_letters, pipeline.kernel.state.front)
        for part in arrivals.parts():
            decided = list(_decided(pipeline, arrivals, part, writing.batch_size))
            # By the part, not by the batch: so the file does not show how it was cut.
            if decided:
                writer.write(concatenate(_columns(d, catalog, columns) for d in decided))
            progress(arrivals.tally.rows)
    return arrivals.tally


def _decided(
    pipeline: Pipeline, arrivals: Arrivals, part: Part, batch_size: int
) -> Iterator[Decided]:
    for start in range(0, len(part.batch), batch_size):
        batch = part.batch.slice(start, start + batch_size)
        sequences = part.sequences
        if sequences is not None:
            sequences = sequences[start : start + len(batch)]
        labels = arrivals.labels_before(batch, sequences)
        outcome = pipeline.decide(batch, labels=labels, sequences=sequences)
        arrivals.passed(part, outcome.observed, start)
        yield outcome.decided


def _feature_columns(catalog: Catalog) -> dict[str, ColumnType]:
    """What the model is given: float32 in memory, null where NaN."""
    return dict.fromkeys(catalog.model_names, ColumnType.FLOAT)


def _columns(decided: Decided, catalog: Catalog, wanted: Mapping[str, ColumnType]) -> Batch:
    rows, is_scored = range(len(decided)), decided.is_scored
    names = decided.member_names
    members = [
        dict(zip(names, scores, strict=True)) if scored else {}
        for scores, scored in zip(decided.members.tolist(), is_scored.tolist(), strict=True)
    ]
    columns: dict[str, Column] = {
        "transaction_id": Strings.from_list(decided.transaction_ids),
        "sequence": decided.sequences,
        "action": Strings.from_list([Action.of_code(c).value for c in decided.actions.tolist()]),
        "score": np.where(is_scored, decided.scores, NULL_INT),
        "probability_ppm": np.where(is_scored, decided.probability_ppm, NULL_INT),
        "codes": _json([decided.codes.get(row, ()) for row in rows]),
        "reasons": _json([decided.reasons.get(row, ()) for row in rows]),
        "rule_hits": _json([decided.rule_hits.get(row, ()) for row in rows]),
        "members": _json(members),
        "versions": Strings.from_list([_encode(decided.versions).decode()] * len(decided)),
    }
    for at, name in enumerate(catalog.model_names):
        if name in wanted:
            columns[name] = decided.features[:, at].astype(np.float64)
    return Batch(columns)


def _json(values: Sequence[object]) -> Strings:
    return Strings.from_list([_encode(value).decode() for value in values])
