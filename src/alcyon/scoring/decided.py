"""Decided: a batch of decisions as columns, and as the bytes that the decisions log keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.alert import Alert, reason_shown
from alcyon.domain.columns import Strings
from alcyon.domain.decision import CERTAIN_PPM, Action, ChallengerScore, Reason, Versions

T = TypeVar("T")

LATE, FUTURE = "late_transaction", "future_transaction"
MODEL_MISSING, MODEL_FAILED = "model_missing", "model_failed"
EXPLORED = "explored"
"""Codes beside the model's and the rules'."""

_ACTION_NAMES = [""] + [Action.of_code(code).value for code in range(1, 5)]


class _Encoded(msgspec.Struct, gc=False):
    """`domain.decision.Decision` with the parts that are the same for a whole batch encoded once.

    The field order is that of `Decision`: both encode to the same bytes.
    """

    sequence: int
    transaction_id: str
    event_time: int
    action: str
    score: int | None
    probability_ppm: int | None
    members: msgspec.Struct | dict[str, float]
    codes: tuple[str, ...]
    rule_hits: tuple[str, ...]
    shadow_hits: tuple[str, ...]
    reasons: tuple[Reason, ...]
    features: bytes
    versions: msgspec.Raw
    challenger: ChallengerScore | None
    propensity_ppm: int


@cache
def _members_struct(names: tuple[str, ...]) -> Any:
    """Its fields are the names in order: encoded as a dict with sorted keys is, and faster."""
    return msgspec.defstruct("Members", [(name, float) for name in names], gc=False)


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
    challenger: dict[int, ChallengerScore]
    """By row, where there is one."""
    propensity_ppm: dict[int, int]
    """By row, where it is not `CERTAIN_PPM`."""

    def __len__(self) -> int:
        return len(self.sequences)

    def encode(self) -> list[bytes]:
        """Each decision as JSON, the same bytes as `codecs.decisions.encode`."""
        size, n = self.features.shape[1] * 4, len(self)
        packed = np.ascontiguousarray(self.features, "<f4").tobytes()
        scores: list[int | None] = self.scores.tolist()
        ppm: list[int | None] = self.probability_ppm.tolist()
        members = self._named_members()
        if not self.is_scored.all():
            for row in np.flatnonzero(~self.is_scored).tolist():
                scores[row], ppm[row], members[row] = None, None, {}
        records = map(
            _Encoded, self.sequences.tolist(), self.transaction_ids, self.event_times.tolist(),
            [_ACTION_NAMES[code] for code in self.actions.tolist()], scores, ppm, members,
            _by_row(self.codes, n), _by_row(self.rule_hits, n), _by_row(self.shadow_hits, n),
            _by_row(self.reasons, n), [packed[at : at + size] for at in range(0, n * size, size)],
            repeat(msgspec.Raw(_encode(self.versions)), n), map(self.challenger.get, range(n)),
            map(self.propensity_ppm.get, range(n), repeat(CERTAIN_PPM)),
        )  # fmt: skip
        return list(map(_encode, records))

    def alerts(self, amounts: NDArray[np.int64], currencies: Strings) -> list[Alert]:
        """The alerts of the decisions that are not APPROVE; amounts int64[n] in minor units."""
        rows = np.flatnonzero(self.actions != Action.APPROVE.code)
        return [
            Alert(
                int(self.sequences[row]),
                self.transaction_ids[row],
                int(self.event_times[row]),
                Action.of_code(int(self.actions[row])),
                int(self.scores[row]) if self.is_scored[row] else None,
                amount_minor,
                currency or "",
                reason_shown(self.codes.get(row, ()), self.reasons.get(row, ())),
            )
            for row, amount_minor, currency in zip(
                rows.tolist(), amounts[rows].tolist(), currencies.take(rows).to_list(), strict=True
            )
        ]

    def _named_members(self) -> list[msgspec.Struct | dict[str, float]]:
        names = tuple(sorted(self.member_names))
        if not names:
            return [{}] * len(self)
        columns = [self.members[:, self.member_names.index(name)].tolist() for name in names]
        return list(map(_members_struct(names), *columns))


def _by_row(some: Mapping[int, T], n: int) -> list[T | tuple[()]]:
    """n values, an empty tuple where there is none."""
    values: list[T | tuple[()]] = [()] * n
    for row, value in some.items():
        values[row] = value
    return values


_encode = msgspec.json.Encoder(order="deterministic").encode
