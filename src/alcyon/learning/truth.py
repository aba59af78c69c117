"""The truth: what the labels known at a moment say of each transaction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import Batch, Strings
from alcyon.domain.label import SOURCES


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known at a moment about n transactions."""

    is_fraud: NDArray[np.bool_]
    is_first_party: NDArray[np.bool_]


def truth_of(transaction_id: Strings, labels: Batch, known_at: int | None) -> Truth:
    """The truth about each transaction by the labels with labelled_at ≤ `known_at` (None: all).

    Several labels of one transaction: the most trusted source speaks (chargeback, issuer,
    analyst, rule), and of its labels the newest, of equally new ones the last in `labels`.
    """
    speaks = _speaking(labels, known_at)
    spoken = labels.take(speaks)
    ids = spoken.strings("transaction_id").to_list()
    position = {transaction_id: k for k, transaction_id in enumerate(ids)}
    found = np.array([position.get(t, -1) for t in transaction_id.to_list()], np.int64)
    is_fraud = np.append(spoken.numbers("is_fraud") == 1, False)
    types = spoken.strings("fraud_type").to_list() if "fraud_type" in spoken else [None] * len(ids)
    first_party = np.append(np.array([t == "first_party" for t in types], np.bool_), False)
    return Truth(is_fraud[found], is_fraud[found] & first_party[found])


def _speaking(labels: Batch, known_at: int | None) -> NDArray[np.int64]:
    """The rows of labels that are known, the one that counts for a transaction standing last."""
    at = labels.numbers("labelled_at")
    known = np.flatnonzero(at <= known_at) if known_at is not None else np.arange(len(labels))
    trust = {source: -k for k, source in enumerate(SOURCES)}
    sources = labels.strings("source").to_list() if "source" in labels else []
    rank = np.array([trust.get(s or "", -len(SOURCES)) for s in sources] or [0] * len(labels))
    return known[np.lexsort((known, at[known], rank[known]))]
