"""The tree of one entity's events against a sorted list of them."""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass, field

import numpy as np
import pytest

from alcyon.features import Catalog, Count, Distinct, Entity, Max, Mean, Min, Previous, Std
from alcyon.features.compiled import entity as e
from alcyon.features.compiled import growth, measures, table, timeline
from alcyon.features.compiled.memory import EVENTS
from alcyon.features.layout import Layout
from alcyon.features.state import State

CARD, SMALL = Entity("card_id"), "amount_minor < 200"
LAYOUT = Layout(
    Catalog(
        [
            Count(CARD, "1s"), Count(CARD, "1s", where=SMALL, name="small"),
            Std(CARD, "amount_minor", "1s"), Std(CARD, "amount_minor", "1s", where=SMALL, name="s"),
            Mean(CARD, "is_fraud", "1s"), Mean(CARD, "is_fraud", "1s", where=SMALL, name="f"),
            Min(CARD, "amount_minor", "1s"), Max(CARD, "latitude", "1s", where=SMALL, name="m"),
            Distinct(CARD, "merchant_id", "1s"), Distinct(CARD, "country", "1s"),
            Previous(CARD, "currency"),
        ]
    )
)  # fmt: skip
PLAN = LAYOUT.plans[0]
SHAPE = PLAN.shape
NULL = int(measures.NULL)
KEY = 5, 7


@dataclass
class Event:
    """An event, and the words it must have in the tree."""

    time: int
    sequence: int
    flags: int
    wides: list[int]
    codes: list[int]

    @property
    def words(self) -> list[int]:
        """What `read_event` would make of it."""
        pairs = [*self.codes, 0][: 2 * ((len(self.codes) + 1) // 2)]
        packed = [a | b << 32 for a, b in zip(pairs[::2], pairs[1::2], strict=True)]
        return [self.time, self.sequence << 24 | self.flags, *self.wides, *packed]

    def meets(self, condition: int) -> bool:
        """Whether the condition's flag is set; −1 is always met."""
        return condition < 0 or bool(self.flags >> (condition + 1) & 1)


@dataclass
class Compared:
    """A tree and a list that get the same events."""

    seed: int
    state: State = field(default_factory=lambda: State.empty(LAYOUT, 2**24))
    events: list[Event] = field(default_factory=list)
    header: int = 0
    horizon: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.m = self.state.memory
        self.scratch = timeline.Scratch(
            path=np.zeros((2, timeline.DEPTH_MAX), np.int64),
            low=np.zeros((4, len(SHAPE.measures)), np.int64),
            high=np.zeros((4, len(SHAPE.measures)), np.int64),
            sums=np.zeros((2, len(SHAPE.measures)), np.int64),
            own=np.zeros((2, len(SHAPE.measures)), np.int64),
            event=np.zeros(SHAPE.stride, np.int64),
        )

    @property
    def root(self) -> tuple[int, int]:
        """(root, depth)."""
        return int(self.m.words[self.header + growth.ROOT]), int(
            self.m.words[self.header + growth.DEPTH]
        )

    def add(self, time: int, sequence: int) -> None:
        """Both get a random event."""
        rng = self.rng
        amount = rng.choice([NULL, 0, 199, -(10**15), 10**15, rng.randint(-(10**15), 10**15)])
        wides = [amount, rng.choice([NULL, rng.randint(-(2**62), 2**62)])]
        event = Event(
            time, sequence, rng.randint(0, 3), wides[: SHAPE.wides],
            [rng.choice([0, rng.randint(1, 40)]) for _ in PLAN.code_columns],
        )  # fmt: skip
        self.scratch.event[:] = event.words
        e.measure_event(PLAN, self.scratch)
        self.header = e.add_event(self.m, PLAN, self.scratch, self.header, *KEY, self.horizon)
        self.events.insert(bisect_right(self.events, time, key=lambda x: x.time), event)

    def evict(self, horizon: int) -> None:
        """The tree forgets what is old; the list, what the tree forgot, which must be old."""
        self.horizon = horizon
        e.forget_old(self.m, PLAN, self.scratch, self.header, horizon)
        self.drop_evicted()

    def drop_evicted(self) -> None:
        """Let the list forget what the tree forgot, and check that it was old."""
        gone = len(self.events) - int(self.m.words[self.header + growth.KEPT])
        assert all(event.time <= self.horizon for event in self.events[:gone])
        del self.events[:gone]

    def turn(self) -> None:
        """Turn one label, or that of an event that is not there."""
        event = self.rng.choice(self.events)
        flag = 1 - (event.flags & 1)
        turned = growth.turn_label(
            self.m, *self.root, event.time, event.sequence, flag, SHAPE
        )  # fmt: skip
        event.flags ^= 1
        assert turned == event.words[1]
        assert growth.turn_label(self.m, *self.root, event.time, 2**30, flag, SHAPE) == -1

    def sums(self, events: list[Event]) -> list[int]:
        """Every measure over some events."""
        out = []
        for kind, condition, lane in SHAPE.measures.tolist():
            met = [x for x in events if x.meets(condition)]
            values = [x.wides[lane] for x in met if x.wides[lane] != NULL] if lane >= 0 else []
            out.append(
                {
                    measures.COUNT: len(met),
                    measures.NON_NULL: len(values),
                    measures.SUM: sum(values),
                    measures.SQUARES: sum(v * v for v in values),
                    measures.LABEL: sum(x.flags & 1 for x in met),
                }[kind]
            )
        return out

    def check_window(self) -> None:
        """A random window's sums, extremes, distinct codes and newest event."""
        newest = self.events[-1].time
        since = newest - self.rng.choice([0, 1, 50, 2000, 10**5])
        until = since + self.rng.choice([0, 1, 50, 2000, 10**5])
        bounds = np.sort(self.rng.sample([0, 1, 40, 50, 500, 2000, 10**5, 10**6], 4))
        timeline.newer_than_each(self.m.words, *self.root, until, bounds, SHAPE, self.scratch)
        for b, bound in enumerate(bounds.tolist()):
            low, high = self.scratch.low[b].tolist(), self.scratch.high[b].tolist()
            found = [h * 2**64 + a % 2**64 for a, h in zip(low, high, strict=True)]
            assert found == self.sums([x for x in self.events if x.time > until - bound])
        inside = [x for x in self.events if since < x.time <= until]
        for x, (condition, lane) in enumerate(SHAPE.extremes.tolist()):
            values = [v.wides[lane] for v in inside if v.meets(condition)]
            values = [v for v in values if v != NULL]
            best = timeline.extreme(self.m.words, *self.root, since, until, SHAPE, x)
            assert best == (min(values, default=2**63 - 1), max(values, default=NULL))
        for lane in range(len(PLAN.code_columns)):
            self.m.meta[5] += 1
            number = timeline.distinct(self.m, *self.root, since, until, SHAPE, 0, lane)
            assert number == len({v.codes[lane] for v in inside if v.meets(0)} - {0})
        address = timeline.newest_until(self.m.words, *self.root, until, SHAPE)
        before = [x for x in self.events if x.time <= until]
        words = self.m.words[address : address + SHAPE.stride].tolist() if address else None
        assert words == (before[-1].words if before else None)

    def check_all(self) -> None:
        """Every event in its place."""
        out = np.empty((len(self.events), SHAPE.stride), np.int64)
        assert growth.collect(self.m.words, *self.root, SHAPE, out, 0) == len(out)
        assert out.tolist() == [x.words for x in self.events]
        assert self.state.kept_events == len(self.events)


@pytest.mark.parametrize("disorder", [0, 30, 3000])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_tree_is_a_sorted_list(seed: int, disorder: int) -> None:
    both, deepest = Compared(seed), 0
    time = 10**6
    for sequence in range(2600):
        time += both.rng.choice([0, 0, 1, 3, 9])
        both.add(time - both.rng.randint(0, disorder), sequence)
        both.drop_evicted()
        if sequence % 7 == 0:
            both.turn()
            both.check_window()
        if sequence > 1500 and both.rng.random() < 0.02:
            oldest = time - disorder - both.rng.randint(1, 2500)
            both.evict(max(both.horizon, oldest))  # nothing so old comes any more
        if sequence % 400 == 0:
            both.check_all()
        deepest = max(deepest, both.root[1])
    assert deepest == 2
    both.evict(time - 1)
    both.check_all()
    assert both.root[1] <= 1


def test_an_entity_that_leaves_gives_everything_back() -> None:
    both = Compared(3)
    before = both.state.used_bytes
    for _ in range(5):
        for sequence in range(1200):
            both.add(10**6 + both.rng.randint(0, 500), sequence)
        used = both.state.used_bytes
        e.remove_entity(both.m, PLAN, both.header)
        assert table.find(both.m, PLAN.base, *KEY) == 0
        assert both.m.meta[EVENTS] == 0
        both.header, both.events = 0, []
    # what five lives took is little more than what one took
    assert used - before < 1.6 * 1200 * SHAPE.stride * 8 + 2**17
