"""Small made-up decisions for the learning tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import Batch, Strings
from alcyon.domain.decision import CERTAIN_PPM, Action
from alcyon.learning.history import Recorded


def decided(
    ids: list[str],
    event_time: NDArray[np.int64] | list[int],
    *,
    action: NDArray[np.int8] | None = None,
    propensity_ppm: NDArray[np.int64] | None = None,
    champion_ppm: NDArray[np.int64] | None = None,
    challenger_ppm: NDArray[np.int64] | None = None,
    features: NDArray[np.float32] | None = None,
) -> Recorded:
    """Decisions by `champion` beside `challenger`, all approved and certain unless said."""
    n = len(ids)
    flat = np.full(n, 1_000, np.int64)
    return Recorded(
        transaction_id=ids,
        features=np.zeros((n, 2), np.float32) if features is None else features,
        event_time=np.asarray(event_time, np.int64),
        amount_minor=np.full(n, 10_000, np.int64),
        action=np.full(n, Action.APPROVE.code, np.int8) if action is None else action,
        propensity_ppm=np.full(n, CERTAIN_PPM) if propensity_ppm is None else propensity_ppm,
        champion_ppm=flat if champion_ppm is None else champion_ppm,
        challenger_ppm=flat if challenger_ppm is None else challenger_ppm,
        champion=np.full(n, b"champion", "S16"),
        challenger=np.full(n, b"challenger", "S16"),
    )


def said(*labels: tuple[str, int, str, int], author: str | None = None) -> Batch:
    """Labels as (transaction, is_fraud, source, labelled_at)."""
    ids, fraud, source, at = zip(*labels, strict=True)
    return Batch(
        {
            "transaction_id": Strings.from_list(ids),
            "is_fraud": np.array(fraud, np.int64),
            "fraud_type": Strings.nulls(len(ids)),
            "source": Strings.from_list(source),
            "author": Strings.from_list([author] * len(ids)),
            "labelled_at": np.array(at, np.int64),
        }
    )
