"""Pacing: an outage is told where it begins and where it ends, a flood once a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from alcyon.telemetry.words import OTHER

LINE_EVERY_MS = 1000
"""Between two lines of what may come in floods."""
REASONS_MAX = 20
"""Reasons named in one line; a detector's own columns may make more."""


class Outage:
    """From the first failure to the first success: one line at each end."""

    def __init__(
        self,
        count: Callable[[], None],
        set_level: Callable[[float], None],
        tell_begin: Callable[[str, int], object],
        tell_end: Callable[[float, int], object],
    ) -> None:
        self._count, self._set_level = count, set_level
        self._tell_begin, self._tell_end = tell_begin, tell_end
        self._since_ms: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has begun and is not over."""
        return self._since_ms is not None

    def goes_on(self, why: str, now_ms: int) -> None:
        """It failed, for the first time or again."""
        if self._since_ms is None:
            self._since_ms = now_ms
            self._count()
            self._set_level(1)
            self._tell_begin(why, now_ms)

    def is_over(self, now_ms: int) -> None:
        """It went well, for the first time or again."""
        if self._since_ms is not None:
            away_s, self._since_ms = (now_ms - self._since_ms) / 1000, None
            self._set_level(0)
            self._tell_end(away_s, now_ms)


class Gathered:
    """What is told in one line a second: counts by reason, and between which sequences."""

    def __init__(self) -> None:
        self._reasons: Counter[str] = Counter()
        self._sequences: list[int] = []
        self._told_ms: int | None = None

    def add(self, reason: str, count: int, sequence: int | None = None) -> None:
        """Count; sequence: of the record, where there is one."""
        is_new = reason not in self._reasons and len(self._reasons) >= REASONS_MAX
        self._reasons[OTHER if is_new else reason] += count
        if sequence is not None:
            known = [*self._sequences, sequence]
            self._sequences = [min(known), max(known)]

    def has_other_than(self, reason: str) -> bool:
        """Whether anything else was counted."""
        return any(each != reason for each in self._reasons)

    def is_due(self, now_ms: int, is_last: bool) -> bool:
        """Whether a line is to be written now; is_last: no more will come."""
        if not self._reasons:
            return False
        # A clock that was set back must not silence it.
        told = self._told_ms
        return is_last or told is None or not 0 <= now_ms - told < LINE_EVERY_MS

    def taken(self, now_ms: int) -> dict[str, object]:
        """The keys of the line; from here on it is empty."""
        keys: dict[str, object] = {
            "count": self._reasons.total(),
            "reasons": dict(self._reasons.most_common()),
        }
        if self._sequences:
            keys |= {"first_sequence": self._sequences[0], "last_sequence": self._sequences[-1]}
        self._reasons, self._sequences, self._told_ms = Counter(), [], now_ms
        return keys
