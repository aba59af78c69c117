"""A deliberately naive oracle: DESIGN's semantics in plain Python, quadratic, exact integers.

It reads a stream as a list of transactions and labels in order and keeps everything for ever.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from alcyon.features.aggregation import (
    LABEL_COLUMN,
    Count,
    Distinct,
    Elapsed,
    Max,
    Mean,
    Min,
    Newest,
    Previous,
    Std,
    Sum,
    Windowed,
)

Row = dict[str, Any]
Predicates = Mapping[str, Callable[[Row], bool | None]]


@dataclass
class Seen:
    """A transaction as the oracle remembers it."""

    row: Row
    front_at: int
    is_late: bool
    is_fraud: int = 0


@dataclass
class Naive:
    """State is a list; every window is a scan."""

    features: Sequence[Windowed | Newest]
    lateness: int
    predicates: Predicates
    horizon: int | None = None
    front: int | None = None
    first_front: int | None = None
    seen: list[Seen] = field(default_factory=list)
    waiting: list[tuple[str, int, int | None]] = field(default_factory=list)

    def label(self, transaction_id: str, is_fraud: int) -> None:
        """A label arrives."""
        known = [s for s in self.seen if s.row["transaction_id"] == transaction_id]
        accepted = [s for s in known if not s.is_late]
        if accepted:
            accepted[-1].is_fraud = is_fraud
        if not known:
            self.waiting.append((transaction_id, is_fraud, self.front))

    def transaction(self, row: Row, latest: int | None = None) -> tuple[str, Row]:
        """A transaction arrives: (status, features; all None unless accepted)."""
        nothing = {f.name: None for f in self.features}
        horizon = max(self.horizon or self.lateness, self.lateness)
        for s in reversed(self.seen):
            if s.row["transaction_id"] == row["transaction_id"]:
                assert self.front is not None
                if self.front - s.front_at <= horizon:
                    return ("duplicate" if s.row == row else "conflicting"), nothing
                break
        time = row["event_time"]
        if latest is not None and time > latest:
            return "future", nothing
        if self.front is not None and time < self.front - self.lateness:
            self.seen.append(Seen(row, self.front, is_late=True))
            return "late", nothing
        self.front = time if self.front is None else max(self.front, time)
        self.first_front = self.front if self.first_front is None else self.first_front
        mine = Seen(row, self.front, is_late=False)
        for transaction_id, is_fraud, since in self.waiting:
            arrived = self.first_front if since is None else since
            if transaction_id == row["transaction_id"] and self.front <= arrived + self.lateness:
                mine.is_fraud = is_fraud
        self.seen.append(mine)
        return "accepted", {f.name: self._value(f, mine) for f in self.features}

    def _value(self, f: Windowed | Newest, mine: Seen) -> Any:
        key = [mine.row.get(c) for c in f.entity.columns]
        if None in key:
            return None
        same = [
            s for s in self.seen
            if not s.is_late and [s.row.get(c) for c in f.entity.columns] == key
        ]  # fmt: skip
        time = mine.row["event_time"]
        if isinstance(f, Newest):
            earlier = [
                s for s in same
                if s is not mine and time - f.within_ms < s.row["event_time"] <= time
            ]  # fmt: skip
            if not earlier:
                return None
            newest = max(earlier, key=lambda s: s.row["event_time"])
            ties = [s for s in earlier if s.row["event_time"] == newest.row["event_time"]]
            if isinstance(f, Elapsed):
                return time - newest.row["event_time"]
            assert isinstance(f, Previous)
            return ties[-1].row.get(f.column or "")
        end = time - f.delay_ms
        window = [s for s in same if end - f.window_ms < s.row["event_time"] <= end]
        if f.exclude_current:
            window = [s for s in window if s is not mine]
        if f.where is not None:
            window = [s for s in window if self.predicates[f.where](s.row)]
        return aggregate(f, window)


def aggregate(f: Windowed, window: Sequence[Seen]) -> Any:
    """One aggregation over the transactions of its window."""
    if isinstance(f, Count):
        return len(window)
    over_labels = f.column == LABEL_COLUMN
    found = [s.is_fraud if over_labels else s.row.get(f.column or "") for s in window]
    values: list[Any] = [v for v in found if v is not None]
    if isinstance(f, Sum):
        total = sum(values)
        return total if abs(total) < 2**63 else None
    if isinstance(f, Distinct):
        return len(set(values))
    if not values:
        return None
    if isinstance(f, Min):
        return min(values)
    if isinstance(f, Max):
        return max(values)
    n = len(values)
    if isinstance(f, Mean):
        return float(sum(values)) / float(n)
    assert isinstance(f, Std)
    if n < 2:
        return None
    numerator = n * sum(v * v for v in values) - sum(values) ** 2
    return exact_sqrt(Fraction(numerator, n * (n - 1)))


def exact_sqrt(x: Fraction) -> float:
    """The float64 nearest to the square root of a fraction, to within an ulp."""
    scale = 2**200
    return float(Fraction(math.isqrt(x.numerator * scale * scale // x.denominator), scale))
