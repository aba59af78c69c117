"""A second oracle, for long streams; it shares no idea with the kernel.

`tests/features/naive.py` scans everything for every value: right for small streams, hopeless for
200,000 events of which 30 % share a key. This oracle still scans every window for every value (no
tree, no running sum, no eviction), but with numpy, and only the slice of one entity's events that
lies in the window, sorted once by time for the whole stream; what had not arrived yet is masked by
sequence. Integers are split into limbs of 30 bits, so that sums are exact. A label is a point of
its own, at its transaction's time, from its own sequence on.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alcyon.features import Count, Distinct, Elapsed, Entity, Max, Mean, Min, Sum
from alcyon.features.aggregation import LABEL_COLUMN, Newest, Windowed
from exact_adversary import LATENESS, PREDICATES, Row

Ints = NDArray[np.int64]
LIMBS, LIMB_BITS = 4, 30


@dataclass
class Settled:
    """What became of each transaction, and the labels as points (time's row, sequence, change)."""

    status: list[tuple[int, str]] = field(default_factory=list)
    rows: list[tuple[int, Row]] = field(default_factory=list)
    turns: list[tuple[int, int, int]] = field(default_factory=list)


def settle(stream: Sequence[Row | tuple[str, int]]) -> Settled:
    """Duplicates, late ones, and what labels say from which sequence on."""
    out = Settled()
    front = first_front = None
    seen: dict[str, list[Any]] = {}  # row, front at arrival, place in out.rows or None, is_fraud
    waiting: dict[str, tuple[int, int | None]] = {}
    for sequence, record in enumerate(stream):
        if isinstance(record, tuple):
            name, is_fraud = record
            if name not in seen:
                waiting[name] = is_fraud, front
            elif seen[name][2] is not None and seen[name][3] != is_fraud:
                seen[name][3] = is_fraud
                out.turns.append((seen[name][2], sequence, 1 if is_fraud else -1))
            continue
        name, time = record["transaction_id"], record["event_time"]
        if name in seen and front is not None and front - seen[name][1] <= LATENESS:
            same = seen[name][0] == record
            out.status.append((sequence, "duplicate" if same else "conflicting"))
            continue
        if front is not None and time < front - LATENESS:
            seen[name] = [record, front, *seen.get(name, (0, 0, None, 0))[2:]]
            out.status.append((sequence, "late"))
            continue
        front = time if front is None else max(front, time)
        first_front = front if first_front is None else first_front
        is_fraud, since = waiting.pop(name, (0, None))
        in_time = front <= LATENESS + (first_front if since is None else since)
        seen[name] = [record, front, len(out.rows), is_fraud if in_time else 0]
        if seen[name][3]:
            out.turns.append((len(out.rows), sequence, 1))
        out.status.append((sequence, "accepted"))
        out.rows.append((sequence, record))
    return out


class _Group:
    """The events of one entity, sorted by time and sequence."""

    def __init__(self, rows: list[tuple[int, Row]], turns: list[tuple[int, int, int, Row]]) -> None:
        rows = sorted(rows, key=lambda r: (r[1]["event_time"], r[0]))
        turns = sorted(turns, key=lambda t: t[:2])
        self.rows = rows
        self.times = np.array([r["event_time"] for _, r in rows], np.int64)
        self.sequences = np.array([s for s, _ in rows], np.int64)
        self.met = {k: np.array([p(r) for _, r in rows], bool) for k, p in PREDICATES.items()}
        self.turn_times = np.array([t[0] for t in turns], np.int64)
        self.turn_sequences = np.array([t[1] for t in turns], np.int64)
        self.turn_changes = np.array([t[2] for t in turns], np.int64)
        self.turn_met = {k: np.array([p(t[3]) for t in turns], bool) for k, p in PREDICATES.items()}
        amounts = [r["amount_minor"] for _, r in rows]
        self.amounts = np.array(amounts, np.int64)
        self.limbs = {1: _limbs(amounts), 2: _limbs([a * a for a in amounts])}
        self.codes = {
            c: np.array([_code(r[c]) for _, r in rows], np.int64)
            for c in ("merchant_id", "card_id", "country")
        }

    def value(self, f: Windowed | Newest, place: int) -> Any:
        """Feature f of the event at this place."""
        time, sequence = self.times[place], self.sequences[place]
        if isinstance(f, Newest):
            return self._newest(f, place)
        until = time - f.delay_ms
        edges = (until - f.window_ms, until)
        if f.column == LABEL_COLUMN:
            return self._labels(f, edges, sequence)
        low, high = np.searchsorted(self.times, edges, "right")
        inside = _arrived(self.sequences[low:high], sequence, f)
        if f.where is not None:
            inside = inside & self.met[f.where][low:high]
        n = int(np.count_nonzero(inside))
        if isinstance(f, Count):
            return n
        if isinstance(f, Distinct):
            codes = self.codes[f.column or ""][low:high][inside]
            return len(np.unique(codes[codes >= 0]))
        if isinstance(f, Min | Max):
            values = self.amounts[low:high][inside]
            best = values.min if isinstance(f, Min) else values.max
            return int(best()) if n else None
        total = _joined(inside @ self.limbs[1][low:high])
        if isinstance(f, Sum):
            return total if abs(total) < 2**63 else None
        if isinstance(f, Mean):
            return float(total) / float(n) if n else None
        return _deviation(n, total, _joined(inside @ self.limbs[2][low:high])) if n > 1 else None

    def _labels(self, f: Windowed, edges: tuple[int, int], sequence: int) -> Any:
        low, high = np.searchsorted(self.turn_times, edges, "right")
        inside = _arrived(self.turn_sequences[low:high], sequence, f)
        if f.where is not None:
            inside = inside & self.turn_met[f.where][low:high]
        frauds = int(self.turn_changes[low:high][inside].sum())
        if isinstance(f, Sum):
            return frauds
        low, high = np.searchsorted(self.times, edges, "right")
        n = int(np.count_nonzero(_arrived(self.sequences[low:high], sequence, f)))
        return float(frauds) / float(n) if n else None

    def _newest(self, f: Newest, place: int) -> Any:
        time, sequence = self.times[place], self.sequences[place]
        at = int(np.searchsorted(self.times, time, "right")) - 1
        while at >= 0 and self.sequences[at] >= sequence:
            at -= 1
        if at < 0 or self.times[at] <= time - f.within_ms:
            return None
        if isinstance(f, Elapsed):
            return int(time - self.times[at])
        return self.rows[at][1][f.column or ""]


def _arrived(sequences: Ints, sequence: int, f: Windowed) -> NDArray[np.bool_]:
    return sequences <= sequence if f.with_current else sequences < sequence


def _limbs(values: list[int]) -> Ints:
    mask = (1 << LIMB_BITS) - 1
    rows = [[v >> LIMB_BITS * k & mask for k in range(LIMBS)] for v in values]
    return np.array(rows, np.int64).reshape(-1, LIMBS)


def _joined(limbs: Ints) -> int:
    return sum(limb << LIMB_BITS * k for k, limb in enumerate(limbs.tolist()))


def _code(text: str | None) -> int:
    """Texts of this stream, which are short, as numbers; −1 is null."""
    return -1 if text is None else int.from_bytes(text.encode(), "big")


def _deviation(n: int, total: int, squares: int) -> float:
    scaled = (n * squares - total * total << 400) // (n * (n - 1))
    return float(math.isqrt(scaled)) / 2.0**200


def answers(settled: Settled, feature: Windowed | Newest) -> dict[int, Any]:
    """One feature of every accepted transaction, by sequence; null entities are left out."""
    groups = _groups(settled, feature.entity)
    return {
        int(sequence): group.value(feature, place)
        for group in groups
        for place, sequence in enumerate(group.sequences)
    }


_GROUPS: dict[tuple[int, Entity], list[_Group]] = {}


def _groups(settled: Settled, entity: Entity) -> list[_Group]:
    """The entities' events, made once."""
    if (id(settled), entity) not in _GROUPS:
        rows, turns = defaultdict(list), defaultdict(list)
        for sequence, row in settled.rows:
            rows[tuple(row[c] for c in entity.columns)].append((sequence, row))
        for place, sequence, change in settled.turns:
            row = settled.rows[place][1]
            key = tuple(row[c] for c in entity.columns)
            turns[key].append((row["event_time"], sequence, change, row))
        _GROUPS[id(settled), entity] = [
            _Group(found, turns[key]) for key, found in rows.items() if None not in key
        ]
    return _GROUPS[id(settled), entity]
