"""The Handbook's published file, its features through our kernel, judged by its protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alcyon.detectors import handbook, handbook_convert
from alcyon.detectors.conversion import LABEL_DELAY_MS
from alcyon.domain.admission import admit
from alcyon.domain.columns import Batch, concatenate
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.errors import InputError
from alcyon.domain.tokens import TokenKeys
from alcyon.features.kernel import Kernel, LabelRows, Limits
from alcyon.features.layout import Layout
from alcyon.io.files import read
from alcyon.learning.handbook import HandbookRows

PUBLISHED = {
    "logistic regression": (0.871, 0.606, 0.291),
    "random forest": (0.870, 0.678, 0.299),
    "XGBoost": (0.871, 0.694, 0.304),
    "MLP": (0.876, 0.675, 0.303),
    "LSTM": (0.876, 0.665, 0.297),
}
"""ROC AUC, average precision, card precision@100: the book's means of four folds; the logistic
regression's are of the first fold."""
PUBLISHED_UNSUPERVISED = {
    "autoencoder": (0.836, 0.180, 0.217),
    "Isolation Forest": (0.808, 0.164, 0.190),
}
"""The same of the book's methods that look at no label, on its split for them."""
CAVEAT = (
    "The Handbook's data is simulated: these figures rank models among themselves. On real bank "
    "data the same book reports average precisions near 0.1."
)


@dataclass(frozen=True, eq=False)
class Transactions:
    """Some of the book's transactions: admitted, with truth bool[n] and card int64[n]."""

    batch: Batch
    is_fraud: NDArray[np.bool_]
    card: NDArray[np.int64]

    @property
    def event_time(self) -> NDArray[np.int64]:
        """UTC ms."""
        return np.asarray(self.batch.numbers("event_time"), np.int64)


def read_handbook(path: Path, keys: TokenKeys) -> list[Transactions]:
    """The file's transactions, slice by slice. InputError when it is not the book's."""
    parts, first = list[Transactions](), 0
    for raw in read(path, handbook_convert.COLUMNS, handbook_convert.REQUIRED):
        converted = handbook_convert.convert(raw, first)
        admitted = admit(converted.transactions, keys, DEFAULT_RATES)
        if admitted.faults:
            fault = admitted.faults[0]
            raise InputError(f"{path}: row {first + fault.row + 1}: {fault.reason}, {fault.detail}")
        card = np.asarray(raw.numbers("CUSTOMER_ID"), np.int64)
        parts.append(Transactions(admitted.batch, converted.is_fraud == 1, card))
        first += len(raw)
    return parts


def handbook_rows(
    parts: Sequence[Transactions],
    limits: Limits,
    progress: Callable[[int], None] = lambda rows: None,
) -> HandbookRows:
    """The rows with their features through our kernel; every fraud is known a week later."""
    kernel, frauds, features = Kernel(Layout(handbook.catalog), limits), _frauds(parts), []
    used = done = 0
    for part in parts:
        end = int(np.searchsorted(frauds.due, part.event_time.max(), side="right"))
        labels = LabelRows(
            frauds.transaction_ids.slice(used, end),
            frauds.is_fraud[used:end],
            frauds.due[used:end],
            by_time=True,
        )
        observed = kernel.observe(part.batch, labels=labels)
        features.append(observed.vectors())
        used += observed.labels_used
        done += len(part.batch)
        progress(done)
    return HandbookRows(
        features=np.concatenate(features),
        event_time=np.concatenate([part.event_time for part in parts]),
        card=np.concatenate([part.card for part in parts]),
        is_fraud=np.concatenate([part.is_fraud for part in parts]),
    )


def _frauds(parts: Sequence[Transactions]) -> LabelRows:
    """A label per fraud, in order of when it is known."""
    known = concatenate(
        Batch(
            {
                "id": part.batch.strings("transaction_id").take(np.flatnonzero(part.is_fraud)),
                "due": part.event_time[part.is_fraud] + LABEL_DELAY_MS,
            }
        )
        for part in parts
    )
    known = known.take(np.argsort(known.numbers("due"), kind="stable"))
    due = np.asarray(known.numbers("due"), np.int64)
    return LabelRows(known.strings("id"), np.ones(len(due), np.int64), due, by_time=True)
