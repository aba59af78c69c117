"""Findings: what is unusual about the data of a training, though a model can come of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import Batch, Strings
from alcyon.learning.dataset import Dataset, Examples, Rows
from alcyon.learning.truth import truth_of

FRAUDS_FEW = 50
"""Below this many frauds a span's figures turn on single payments."""
NAMED_MAX = 5


def findings(rows: Rows, labels: Batch, dataset: Dataset) -> tuple[str, ...]:
    """One line for each: labels that went nowhere or disagree, features that say nothing, spans
    with few frauds."""
    spans = ("train", dataset.train), ("validation", dataset.validation), ("test", dataset.test)
    few = [line for name, span in spans if len(span) for line in few_frauds(name, span)]
    return (
        *label_findings(rows, labels),
        *_feature_findings(dataset.feature_names, dataset.train.features),
        *few,
    )


def few_frauds(name: str, span: Examples) -> tuple[str, ...]:
    """A line where the span holds fewer than `FRAUDS_FEW` frauds."""
    frauds = int(span.is_fraud.sum())
    if frauds >= FRAUDS_FEW:
        return ()
    return (
        f"the {name} span holds {frauds} known frauds: with fewer than {FRAUDS_FEW} every figure "
        "turns on single payments; give more days or more labels",
    )


def label_findings(rows: Rows, labels: Batch) -> tuple[str, ...]:
    """Lines on labels of transactions that are not there, and on labels that contradict."""
    known = set(rows.transaction_id.to_list())
    of = labels.strings("transaction_id").to_list()
    unknown = sum(t not in known for t in of)
    said: dict[str | None, set[int]] = {}
    for transaction, is_fraud in zip(of, labels.numbers("is_fraud").tolist(), strict=True):
        said.setdefault(transaction, set()).add(is_fraud)
    torn = [t for t, words in said.items() if len(words) > 1 and t in known]
    found = []
    if unknown:
        found.append(
            f"{unknown:,} of {len(of):,} labels are of transactions that were not read: they teach "
            "nothing"
        )
    if torn:
        truth = truth_of(Strings.from_list(torn), labels, None)
        frauds = int(truth.is_fraud.sum())
        found.append(
            f"the labels of {len(torn):,} transactions contradict each other: the most trusted "
            f"source's newest counts, which makes {frauds:,} of them frauds"
        )
    return tuple(found)


def _feature_findings(names: Sequence[str], features: NDArray[np.float32]) -> tuple[str, ...]:
    """Lines on features float32[n, F] that are null throughout, or never vary."""
    null = np.isnan(features)
    empty = np.asarray(null.all(axis=0))
    first = features[0] if len(features) else np.zeros(len(names), np.float32)
    constant = np.asarray((features == first).all(axis=0) & ~empty)
    found = []
    for which, what in ((empty, "null in every"), (constant, "the same in every")):
        if which.any():
            told = [name for name, is_so in zip(names, which.tolist(), strict=True) if is_so]
            more = f" and {len(told) - NAMED_MAX} more" if len(told) > NAMED_MAX else ""
            found.append(
                f"{', '.join(told[:NAMED_MAX])}{more}: {what} training row, so nothing is learnt "
                "from it"
            )
    return tuple(found)
