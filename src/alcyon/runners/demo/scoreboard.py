"""The scoreboard: decisions against the truth, which only a simulation knows."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.commit import Commit
from alcyon.domain.decision import Action
from alcyon.runners.demo.latencies import Latencies
from alcyon.scoring.policy import Costs


class Judged(msgspec.Struct):
    """The parts of a decision that the scoreboard looks at."""

    transaction_id: str
    action: str


_judged = msgspec.json.Decoder(Judged)
_APPROVE, _DECLINE = Action.APPROVE.value, Action.DECLINE.value


class Truth(NamedTuple):
    """What is true of a transaction that was sent."""

    is_fraud: bool
    amount_minor: int
    """Base currency."""


@dataclass(frozen=True)
class Figures:
    """The standing; money in minor units of the base currency. *Stopped* is: not approved."""

    decisions: int
    actions: dict[str, int]
    dead_letters: int
    frauds: int
    frauds_stopped: int
    genuine: int
    genuine_stopped: int
    fraud_minor: int
    fraud_stopped_minor: int
    false_decline_minor: float
    """What the declined genuine payments cost, as the policy counts it."""

    @property
    def alerts(self) -> int:
        """Decisions that want a human: all that are no approval."""
        return self.decisions - self.actions.get(_APPROVE, 0)

    @property
    def recall(self) -> float | None:
        """Frauds stopped ÷ frauds; None before the first."""
        return self.frauds_stopped / self.frauds if self.frauds else None

    @property
    def false_positive_rate(self) -> float | None:
        """Genuine payments stopped ÷ genuine payments; None before the first."""
        return self.genuine_stopped / self.genuine if self.genuine else None

    @property
    def net_stopped_minor(self) -> float:
        """Money stopped less what false declines cost."""
        return self.fraud_stopped_minor - self.false_decline_minor


class Scoreboard:
    """Told the truth of what is sent, then the decisions; may be read from any thread."""

    def __init__(self, costs: Costs) -> None:
        self._costs, self._lock = costs, Lock()
        self._open: dict[str, Truth] = {}
        self._due: dict[str, float] = {}
        self._actions: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._false_decline = 0.0
        self.latencies = Latencies()

    def expect(
        self,
        ids: Sequence[str | None],
        is_fraud: NDArray[np.int64],
        amounts: NDArray[np.int64],
    ) -> None:
        """The truth of transactions, before they are sent."""
        truths = map(Truth, (is_fraud == 1).tolist(), amounts.tolist())
        with self._lock:
            self._open.update(zip(map(str, ids), truths, strict=True))

    def sent(self, ids: Sequence[str | None], due: Sequence[float]) -> None:
        """When each was due to be sent, in seconds: from then on its latency counts."""
        with self._lock:
            self._due.update(zip(map(str, ids), due, strict=True))

    def note(self, commit: Commit, at: float | None = None) -> None:
        """A commit's decisions, and when it was there, in seconds; None: long ago."""
        with self._lock:
            waits = [wait for data in commit.decisions if (wait := self._judge(data, at))]
            self._counts["dead_letters"] += len(commit.dead_letters)
        self.latencies.add(waits)

    def figures(self) -> Figures:
        """The standing now."""
        with self._lock:
            counts, actions = Counter(self._counts), dict(self._actions)
            false_decline = self._false_decline
        return Figures(
            decisions=sum(actions.values()),
            actions=actions,
            dead_letters=counts["dead_letters"],
            frauds=counts["frauds"],
            frauds_stopped=counts["frauds_stopped"],
            genuine=counts["genuine"],
            genuine_stopped=counts["genuine_stopped"],
            fraud_minor=counts["fraud_minor"],
            fraud_stopped_minor=counts["fraud_stopped_minor"],
            false_decline_minor=false_decline,
        )

    def _judge(self, data: bytes, at: float | None) -> float | None:
        """Count one decision; its latency in seconds, where that is known."""
        decision = _judged.decode(data)
        self._actions[decision.action] += 1
        truth = self._open.pop(decision.transaction_id, None)
        due = self._due.pop(decision.transaction_id, None)
        if truth is not None:
            self._count(truth, decision.action)
        return None if at is None or due is None else max(at - due, 1e-9)

    def _count(self, truth: Truth, action: str) -> None:
        counts, is_stopped = self._counts, action != _APPROVE
        if truth.is_fraud:
            counts["frauds"] += 1
            counts["fraud_minor"] += truth.amount_minor
            if is_stopped:
                counts["frauds_stopped"] += 1
                counts["fraud_stopped_minor"] += truth.amount_minor
            return
        counts["genuine"] += 1
        if is_stopped:
            counts["genuine_stopped"] += 1
        if action == _DECLINE:
            costs = self._costs
            self._false_decline += (
                costs.false_decline_share * truth.amount_minor + costs.false_decline_fixed_minor
            )


class Throughput:
    """How many per second lately, from counts that are told now and then."""

    def __init__(self, over_s: float = 10.0) -> None:
        self._over_s = over_s
        self._told: deque[tuple[float, int]] = deque()

    def tell(self, at: float, count: int) -> float | None:
        """`count` so far at `at` seconds; the rate, None while it is not known."""
        self._told.append((at, count))
        while len(self._told) > 2 and at - self._told[1][0] >= self._over_s:
            self._told.popleft()
        (first, then), (last, now) = self._told[0], self._told[-1]
        return (now - then) / (last - first) if last > first else None
