"""What a watcher is told, made up."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import msgspec
import numpy as np

from alcyon.domain.columns import Batch, Strings
from alcyon.domain.projected import decision_rows
from alcyon.runners.serving.watching import Seen, seen_whole

_sequences = count(1)
VERSIONS = dict.fromkeys(
    ("engine", "catalog", "rules", "lists", "policy", "model", "rates", "challenger"), "v"
)


def seen(
    actions: Sequence[str],
    *,
    event_time: int = 10**12,
    amount: int = 1000,
    probability_ppm: int | None = 500_000,
    **columns: str,
) -> Seen:
    """Decisions with these actions, on payments that share these columns."""
    numbers = [next(_sequences) for _ in actions]
    decisions = [
        {
            "sequence": n, "transaction_id": f"t{n}", "event_time": event_time, "action": action,
            "score": 500, "probability_ppm": probability_ppm, "members": {}, "codes": ["abroad"],
            "rule_hits": ["r1"], "shadow_hits": [], "reasons": [], "features": b"",
            "versions": VERSIONS,
        }
        for n, action in zip(numbers, actions, strict=True)
    ]  # fmt: skip
    n = len(actions)
    texts = {"transaction_id": None, "currency": "EUR", **columns}
    strings = {
        name: Strings.from_list([value or f"t{number}" for number in numbers])
        for name, value in texts.items()
    }
    batch = Batch(
        {
            **strings,
            "event_time": np.full(n, event_time),
            "amount_minor": np.full(n, amount),
            "amount_base_minor": np.full(n, amount),
        }
    )
    return seen_whole(
        decision_rows(map(msgspec.json.encode, decisions)),
        lambda rows: batch.take(np.array(rows, np.int64)),
    )
