"""Decided: a batch of decisions as columns, and as the bytes that the decisions log keeps."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.decision import Action, Reason, Versions

LATE, FUTURE = "late_transaction", "future_transaction"
MODEL_MISSING, MODEL_FAILED = "model_missing", "model_failed"
"""Codes beside the model's and the rules'."""

_ACTION_NAMES = [""] + [Action.of_code(code).value for code in range(1, 5)]


class _Encoded(msgspec.Struct):
    """`domain.decision.Decision` with the parts that are the same for a whole batch encoded once.

    The field order is that of `Decision`: both encode to the same bytes.
    """

    sequence: int
    transaction_id: str
    event_time: int
    action: str
    score: int | None
    probability_ppm: int | None
    members: dict[str, float]
    codes: tuple[str, ...]
    rule_hits: tuple[str, ...]
    shadow_hits: tuple[str, ...]
    reasons: tuple[Reason, ...]
    features: bytes
    versions: msgspec.Raw


@dataclass(frozen=True, eq=False)
class Decided:
    """n decisions, in order of sequence."""

    transaction_ids: list[str]
    sequences: NDArray[np.int64]
    event_times: NDArray[np.int64]
    actions: NDArray[np.int8]
    """`Action.code` of each."""
    scores: NDArray[np.int64]
    probability_ppm: NDArray[np.int64]
    is_scored: NDArray[np.bool_]
    """bool[n]: False where no model scored; score, probability and members mean nothing there."""
    members: NDArray[np.float32]
    member_names: tuple[str, ...]
    codes: dict[int, tuple[str, ...]]
    """By row, where there are any."""
    rule_hits: dict[int, tuple[str, ...]]
    shadow_hits: dict[int, tuple[str, ...]]
    reasons: dict[int, tuple[Reason, ...]]
    features: NDArray[np.float32]
    """float32[n, F] as scored."""
    versions: Versions

    def __len__(self) -> int:
        return len(self.sequences)

    def encode(self) -> list[bytes]:
        """Each decision as JSON, the same bytes as `codecs.decisions.encode`."""
        size = self.features.shape[1] * 4
        packed = np.ascontiguousarray(self.features, "<f4").tobytes()
        versions = msgspec.Raw(_encode(self.versions))
        is_scored = self.is_scored.tolist()
        names = self.member_names
        none: tuple[str, ...] = ()
        columns = zip(
            self.sequences.tolist(), self.transaction_ids, self.event_times.tolist(),
            self.actions.tolist(), self.scores.tolist(), self.probability_ppm.tolist(),
            self.members.tolist(), strict=True,
        )  # fmt: skip
        out = []
        for i, (sequence, name, time, action, score, ppm, members) in enumerate(columns):
            scored = is_scored[i]
            out.append(
                _encode(
                    _Encoded(
                        sequence,
                        name,
                        time,
                        _ACTION_NAMES[action],
                        score if scored else None,
                        ppm if scored else None,
                        dict(zip(names, members, strict=True)) if scored else {},
                        self.codes.get(i, none),
                        self.rule_hits.get(i, none),
                        self.shadow_hits.get(i, none),
                        self.reasons.get(i, ()),
                        packed[i * size : i * size + size],
                        versions,
                    )
                )
            )
        return out


_encode = msgspec.json.Encoder(order="deterministic").encode
