"""Live statistics: what was decided in the last minute and today, counted as it comes.

Every count is bounded: a second keeps so many different words, and a minute so many seconds.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec
import numpy as np

from alcyon.domain.hourly import Hourly
from alcyon.domain.office.searching import Share, TopEntity
from alcyon.domain.projected import DecisionRow
from alcyon.runners.serving.watching import Seen

SLOTS = 60
"""Seconds that statistics look back."""
RATE_SLOTS, LATENCY_SLOTS = 5, 10
WORDS_MAX, MERCHANTS_MAX = 300, 100
"""Different words counted in one second, the first that come."""
TOP_MAX, COUNTRIES_MAX = 5, 40
_LATENCIES_MAX = 2_000
"""Of one second."""
_DAY_MS = 86_400_000
_strings = msgspec.json.Decoder(tuple[str, ...])


@dataclass
class _Second:
    """What was decided in one second."""

    at: int
    actions: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    countries: dict[str, list[int]] = field(default_factory=dict)
    """By country: decisions, not approved, amount, stopped amount."""
    merchants: dict[str, list[int]] = field(default_factory=dict)
    """By merchant of what was not approved: decisions, amount, largest score, newest time."""
    latencies_s: list[float] = field(default_factory=list)


class LiveStatistics:
    """Not for several threads.

    latencies_s: how long answers took since it was asked last. today: the roll-ups of the day so
    far.
    """

    def __init__(
        self,
        latencies_s: Callable[[], Iterable[float]] = tuple,
        today: Sequence[Hourly] = (),
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._latencies_s, self._now_s = latencies_s, now_s
        self._seconds: deque[_Second] = deque([_Second(int(now_s()))], SLOTS + 1)
        self._today = _Today.of(today)

    def roll(self) -> bool:
        """Whether a new second has begun."""
        at = int(self._now_s())
        if at == self._seconds[-1].at:
            return False
        self._seconds[-1].latencies_s = list(self._latencies_s())[-_LATENCIES_MAX:]
        self._seconds.append(_Second(at))
        return True

    def count(self, seen: Seen) -> list[int]:
        """Count decisions; the rows of those that are not APPROVE."""
        second, decisions, amounts = self._seconds[-1], seen.decisions, seen.amounts_base
        actions = [decision.action for decision in decisions]
        stopped = [row for row, action in enumerate(actions) if action != "APPROVE"]
        second.actions.update(actions)
        _add(second.countries, seen.countries, amounts, stopped)
        self._today.add([decision.event_time for decision in decisions], amounts, stopped)
        for row in stopped:
            _note_merchant(second.merchants, seen.merchants[row], decisions[row], amounts[row])
        for hits in [d.rule_hits for d in decisions if len(d.rule_hits) > len("[]")]:
            second.rules.update(_strings.decode(hits))
        return stopped

    def told(self) -> dict[str, Any]:
        """Of the seconds that are over; as `api.desk.Feeds.now` says."""
        whole = list(self._seconds)[:-1]
        newest = whole[-RATE_SLOTS:]
        rate = sum(s.actions.total() for s in newest) / len(newest) if newest else 0.0
        rules, actions = Counter[str](), Counter[str]()
        for second in whole:
            rules.update(second.rules)
            actions.update(second.actions)
        latencies = [x for second in whole[-LATENCY_SLOTS:] for x in second.latencies_s]
        return {
            "at": int(self._now_s() * 1000),
            "rate": round(rate, 1),
            "latency_ms": _percentiles(latencies),
            "actions": dict(actions),
            "today": self._today.told(),
            "top_rules": [{"rule_id": r, "hits": n} for r, n in rules.most_common(TOP_MAX)],
            "top_merchants": [asdict(one) for one in _top_merchants(whole)],
            "countries": [asdict(one) for one in _shares(whole)],
        }


@dataclass
class _Today:
    """The day of the newest event."""

    day: int = 0
    decisions: int = 0
    not_approved: int = 0
    stopped_base_minor: int = 0

    @classmethod
    def of(cls, cells: Sequence[Hourly]) -> _Today:
        today = cls(max((c.cell.hour_ms // _DAY_MS for c in cells), default=0))
        for one in cells:
            if one.cell.hour_ms // _DAY_MS == today.day:
                today.decisions += one.decision_count
                if one.cell.action != "APPROVE":
                    today.not_approved += one.decision_count
                    today.stopped_base_minor += one.amount_base_minor_sum
        return today

    def add(self, times: Sequence[int], amounts: Sequence[int], stopped: Sequence[int]) -> None:
        """Decisions at these event times; stopped: the rows that are not APPROVE."""
        day = max(times, default=0) // _DAY_MS
        if day > self.day:
            self.day, self.decisions, self.not_approved, self.stopped_base_minor = day, 0, 0, 0
        first, end = self.day * _DAY_MS, (self.day + 1) * _DAY_MS
        of_day = [row for row in stopped if first <= times[row] < end]
        self.decisions += sum(first <= time < end for time in times)
        self.not_approved += len(of_day)
        self.stopped_base_minor += sum(amounts[row] for row in of_day)

    def told(self) -> dict[str, int]:
        return {
            "decisions": self.decisions,
            "not_approved": self.not_approved,
            "stopped_base_minor": self.stopped_base_minor,
        }


def _add(
    cells: dict[str, list[int]],
    words: Sequence[str | None],
    amounts: Sequence[int],
    stopped: Sequence[int],
) -> None:
    """Add rows to the cells of their words, with one look at each row: there are many."""
    sums: defaultdict[str | None, int] = defaultdict(int)
    for word, amount in zip(words, amounts, strict=True):
        sums[word] += amount
    for word, count in Counter(words).items():
        if word and (word in cells or len(cells) < WORDS_MAX):
            cell = cells.setdefault(word, [0] * 4)
            cell[0] += count
            cell[2] += sums[word]
    for row in stopped:
        if (found := cells.get(words[row] or "")) is not None:
            found[1] += 1
            found[3] += amounts[row]


def _note_merchant(
    merchants: dict[str, list[int]], merchant: str | None, decision: DecisionRow, amount: int
) -> None:
    if merchant and (merchant in merchants or len(merchants) < MERCHANTS_MAX):
        count, sum_, score, at = merchants.get(merchant, (0, 0, -1, 0))
        newest = max(at, decision.event_time)
        merchants[merchant] = [count + 1, sum_ + amount, max(score, _score(decision)), newest]


def _score(decision: DecisionRow) -> int:
    return -1 if decision.score is None else decision.score


def _top_merchants(seconds: Sequence[_Second]) -> list[TopEntity]:
    found: dict[str, list[int]] = {}
    for second in seconds:
        for name, (count, amount, score, at) in second.merchants.items():
            had = found.get(name, [0, 0, -1, 0])
            found[name] = [had[0] + count, had[1] + amount, max(had[2], score), max(had[3], at)]
    top = sorted(found.items(), key=lambda one: (-one[1][1], one[0]))[:TOP_MAX]
    return [
        TopEntity("merchant", name, count, amount, None if score < 0 else score, at)
        for name, (count, amount, score, at) in top
    ]


def _shares(seconds: Sequence[_Second]) -> list[Share]:
    found: dict[str, list[int]] = {}
    for second in seconds:
        for word, cell in second.countries.items():
            had = found.get(word, [0] * 4)
            found[word] = [a + b for a, b in zip(had, cell, strict=True)]
    top = sorted(found.items(), key=lambda one: (-one[1][3], -one[1][0], one[0]))
    return [Share(word, *cell) for word, cell in top[:COUNTRIES_MAX]]


def _percentiles(latencies_s: Sequence[float]) -> dict[str, float | None]:
    if not latencies_s:
        return {"p50": None, "p95": None, "p99": None}
    found = np.percentile(np.array(latencies_s), (50, 95, 99)) * 1000
    return dict(zip(("p50", "p95", "p99"), np.round(found, 1).tolist(), strict=True))
