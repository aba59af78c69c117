"""History: what was decided lately, joined with what became known of it since.

It holds the newest decisions and labels in columns, up to a bound, and knows no clock: whoever asks
says as of when. A label counts from its `labelled_at` on, and waits for its decision where it came
first.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import Batch, Strings
from alcyon.domain.decision import CERTAIN_PPM, Action
from alcyon.domain.label import SOURCES
from alcyon.learning.dataset import Examples
from alcyon.learning.table import Table
from alcyon.learning.trust import ANALYST, Trust, trusted

UNSCORED = -1
"""The probability_ppm where there is none."""
NOBODY = -1
_COLUMNS = {
    "event_time": ("int64", 0), "amount_minor": ("int64", 0), "action": ("int8", 0),
    "propensity_ppm": ("int64", 0), "champion_ppm": ("int64", 0), "challenger_ppm": ("int64", 0),
    "champion": ("S16", 0), "challenger": ("S16", 0),
}  # fmt: skip
_LABEL_COLUMNS = {
    "row": ("int64", 0), "labelled_at": ("int64", 0), "author": ("int64", 0), "source": ("int8", 0),
    "is_fraud": ("bool", 0), "is_first_party": ("bool", 0),
}  # fmt: skip


@dataclass(frozen=True)
class Bounds:
    """How much is kept: rows, each of 50 bytes, its id, and 4 bytes per feature of a decision."""

    decisions_max: int = 1_000_000
    labels_max: int = 1_000_000
    waiting_max: int = 100_000
    """Labels that wait for their decision; the oldest are let go."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """n decisions in order of sequence, as the log holds them.

    features: float32[n, F] as scored; amount_minor: base currency; action: `Action.code`;
    champion_ppm, challenger_ppm: `UNSCORED` where there is none; champion, challenger: S16, the
    versions of the two models.
    """

    transaction_id: list[str]
    features: NDArray[np.float32]
    event_time: NDArray[np.int64]
    amount_minor: NDArray[np.int64]
    action: NDArray[np.int8]
    propensity_ppm: NDArray[np.int64]
    champion_ppm: NDArray[np.int64]
    challenger_ppm: NDArray[np.int64]
    champion: NDArray[np.bytes_]
    challenger: NDArray[np.bytes_]

    def __len__(self) -> int:
        return len(self.event_time)

    def slice(self, start: int, stop: int) -> Recorded:
        """Decisions [start, stop)."""
        at = slice(start, stop)
        return Recorded(
            self.transaction_id[at], self.features[at], self.event_time[at], self.amount_minor[at],
            self.action[at], self.propensity_ppm[at], self.champion_ppm[at],
            self.challenger_ppm[at], self.champion[at], self.challenger[at],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Known:
    """The decisions of a history, and what was known of each at a time; all [n].

    is_said: whether a label that counts spoke of it; author: a number of the analyst who alone says
    so, else `NOBODY`; said_at: when, 0 where nobody did; is_contested: whether only analysts spoke,
    and what they said last is not the same.
    """

    as_of: int
    decisions: Recorded
    is_fraud: NDArray[np.bool_]
    is_first_party: NDArray[np.bool_]
    is_said: NDArray[np.bool_]
    author: NDArray[np.int64]
    said_at: NDArray[np.int64]
    is_contested: NDArray[np.bool_]
    contradicted: int
    """Transactions of which labels that count say both; the most trusted and newest is believed."""

    def __len__(self) -> int:
        return len(self.decisions)

    def mature(self, maturity_ms: int) -> NDArray[np.bool_]:
        """bool[n]: old enough that its fraud would be known, not first-party, and of an outcome
        that can be known: a declined payment never took place, so without a label it is neither
        fraud nor genuine, and nor is one that analysts contradict each other about."""
        old = self.decisions.event_time <= self.as_of - maturity_ms
        happened = self.is_said | (self.decisions.action != Action.DECLINE.code)
        counts: NDArray[np.bool_] = old & happened & ~self.is_first_party & ~self.is_contested
        return counts

    def examples(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> Examples:
        """Those of the rows."""
        d = self.decisions
        return Examples(
            d.features[rows], self.is_fraud[rows], d.event_time[rows], d.amount_minor[rows]
        )


class History:
    """Decisions and labels of one catalog. Order of calls: as the log has them."""

    def __init__(self, n_features: int, trust: Trust | None = None, bounds: Bounds | None = None):
        self._trust, self._bounds = trust or Trust(), bounds or Bounds()
        self._decisions = Table(
            {**_COLUMNS, "features": ("float32", n_features)}, self._bounds.decisions_max
        )
        self._labels = Table(_LABEL_COLUMNS, self._bounds.labels_max)
        self._ids: deque[str] = deque()
        self._row_of: dict[str, int] = {}
        self._authors: dict[str | None, int] = {}
        self._waiting: dict[str, list[int]] = {}
        self._waiting_count = 0
        self.dropped = 0
        """Labels let go since nothing was decided on their transaction for too long."""

    def __len__(self) -> int:
        return len(self._decisions)

    @property
    def unknown(self) -> int:
        """Labels of transactions that nothing was decided on so far, or too long ago."""
        return self._waiting_count + self.dropped

    @property
    def front(self) -> int:
        """The largest event time kept; 0 where there is none."""
        return int(self._decisions["event_time"].max()) if len(self) else 0

    @property
    def begin(self) -> int:
        """Event time of the oldest decision kept; 0 where there is none."""
        return int(self._decisions["event_time"][0]) if len(self) else 0

    def add(self, decided: Recorded) -> None:
        """Decisions, behind all before. A transaction decided twice keeps its first one."""
        ids = [t for t in decided.transaction_id if t not in self._row_of]
        new = np.arange(len(decided))
        if len(set(ids)) < len(decided):
            place = {t: k for k, t in reversed(list(enumerate(decided.transaction_id)))}
            ids = list(dict.fromkeys(ids))
            new = np.array([place[t] for t in ids], np.int64)
        if not ids:
            return
        columns = {name: getattr(decided, name)[new] for name in (*_COLUMNS, "features")}
        number = self._decisions.append(columns)
        self._row_of.update(zip(ids, range(number, number + len(ids)), strict=True))
        self._ids.extend(ids)
        while len(self._ids) > len(self._decisions):
            del self._row_of[self._ids.popleft()]
        self._join(ids)

    def tell(self, labels: Batch) -> None:
        """Labels, in order of arrival; of any transaction and any time."""
        ids = [t or "" for t in labels.strings("transaction_id").to_list()]
        rows = np.array([self._row_of.get(t, -1) for t in ids], np.int64)
        number = self._labels.append({"row": rows, **self._columns_of(labels)})
        for k in np.flatnonzero(rows < 0).tolist():
            self._waiting.setdefault(ids[k], []).append(number + k)
            self._waiting_count += 1
        while self._waiting_count > self._bounds.waiting_max:
            let_go = len(self._waiting.pop(next(iter(self._waiting))))
            self._waiting_count, self.dropped = self._waiting_count - let_go, self.dropped + let_go

    def known(self, as_of: int) -> Known:
        """All decisions, with what labels of `labelled_at` ≤ as_of say of them."""
        labels, n = self._labels, len(self)
        inside = (labels["labelled_at"] <= as_of) & (labels["row"] >= self._decisions.first)
        at = np.flatnonzero(inside)
        counted = trusted(
            labels["source"][at], labels["author"][at], labels["labelled_at"][at],
            labels["is_fraud"][at], self._trust,
        )  # fmt: skip
        at = at[counted]
        when, source = labels["labelled_at"][at], labels["source"][at]
        # The one that speaks for a transaction stands last: see `learning.dataset.truth_of`.
        at = at[np.lexsort((at, when, -source))]
        row = labels["row"][at] - self._decisions.first
        says = {
            "is_fraud": labels["is_fraud"][at],
            "is_first_party": labels["is_first_party"][at] & labels["is_fraud"][at],
            "is_said": np.ones(len(at), np.bool_),
            "author": np.where(labels["source"][at] == ANALYST, labels["author"][at], NOBODY),
            "said_at": labels["labelled_at"][at],
        }
        truth: dict[str, NDArray[Any]] = {k: np.zeros(n, v.dtype) for k, v in says.items()}
        truth["author"] += NOBODY
        for name, values in says.items():
            truth[name][row] = values
        # Where an analyst speaks, whoever else is heard of it is an analyst as well. Each by what
        # they said last: who took it back is no witness.
        last = _last_of_each(row, says["author"])
        other = last & (truth["author"][row] != NOBODY) & (says["author"] != truth["author"][row])
        agrees = says["is_fraud"] == truth["is_fraud"][row]
        truth["is_contested"] = np.zeros(n, np.bool_)
        truth["is_contested"][row[other & ~agrees]] = True
        truth["author"][row[other & agrees]] = NOBODY
        both = np.intersect1d(row[says["is_fraud"]], row[~says["is_fraud"]])
        return Known(as_of, self.recorded(), contradicted=len(both), **truth)

    def recorded(self) -> Recorded:
        """All decisions, to be read only, until the next `add`."""
        columns = {name: self._decisions[name] for name in (*_COLUMNS, "features")}
        return Recorded(list(self._ids), **columns)

    def _columns_of(self, labels: Batch) -> dict[str, NDArray[Any]]:
        def texts(name: str) -> list[str | None]:
            column = labels.strings(name) if name in labels else Strings.nulls(len(labels))
            return column.to_list()

        place = {source: k for k, source in enumerate(SOURCES)}
        authors = [self._authors.setdefault(a, len(self._authors)) for a in texts("author")]
        return {
            "labelled_at": labels.numbers("labelled_at"),
            "author": np.array(authors, np.int64),
            "source": np.array([place.get(s or "", len(SOURCES)) for s in texts("source")]),
            "is_fraud": labels.numbers("is_fraud") == 1,
            "is_first_party": np.array([t == "first_party" for t in texts("fraud_type")], np.bool_),
        }

    def _join(self, ids: list[str]) -> None:
        """Let labels that waited for these find them."""
        if not self._waiting:
            return
        for transaction_id in ids:
            numbers = self._waiting.pop(transaction_id, [])
            self._waiting_count -= len(numbers)
            there = np.array([n for n in numbers if n >= self._labels.first], np.int64)
            row = np.full(len(there), self._row_of[transaction_id], np.int64)
            self._labels.replace("row", there, row)


def _last_of_each(row: NDArray[np.int64], author: NDArray[np.int64]) -> NDArray[np.bool_]:
    """bool[n]: which labels, in order of their time, are their author's last of their row."""
    order = np.lexsort((np.arange(len(row)), author, row))
    same = (row[order][1:] == row[order][:-1]) & (author[order][1:] == author[order][:-1])
    last = np.zeros(len(row), np.bool_)
    last[order] = np.append(~same, True)[: len(row)]
    return last


def inverse_propensity(
    known: Known, rows: NDArray[np.integer], weight_max: float, keep_declined: bool
) -> NDArray[np.float64]:
    """float64[m]: how many payments each of the rows stands for (D. Horvitz, D. Thompson, 1952).

    Where exploration lets a share p of would-be declines through, each of those stands for 1/p of
    them, `weight_max` at most, and the declined ones beside it for none: unless `keep_declined`,
    for training, where a declined payment that somebody found out about teaches all the same.
    """
    d = known.decisions
    propensity = d.propensity_ppm[rows] / CERTAIN_PPM
    weight = np.minimum(1 / np.maximum(propensity, 1e-6), weight_max)
    declined = d.action[rows] == Action.DECLINE.code
    stood_for = declined & (propensity < 1)
    return np.where(stood_for, 1.0 if keep_declined else 0.0, weight)
