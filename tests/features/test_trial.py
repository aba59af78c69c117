"""What is tried leaves no trace: every feature that follows is what it would have been."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest

from alcyon.features.kernel import Kernel
from alcyon.features.layout import Layout
from alcyon.features.state import SnapshotReader
from alcyon.features.trial import trial
from tests.features import streams
from tests.features.test_exact import SMALL, differences, expected, observed


def tried(rng: random.Random, records: list[Any]) -> list[Any]:
    """Some of what follows, with other amounts, countries and times, and things never seen."""
    some = [dict(r) for r in records if not isinstance(r, tuple)][: rng.randint(0, 30)]
    for number, row in enumerate(some):
        row["amount_minor"] = rng.randrange(10**6)
        row["country"] = rng.choice(["DE", "FR", f"new{number}", None])
        row["event_time"] += rng.choice([0, 0, 3, 40, 5_000])
    return some + [r for r in records if isinstance(r, tuple)][:3]


@pytest.mark.parametrize("block", range(4))
def test_after_a_trial_all_features_are_what_they_would_have_been(block: int) -> None:
    for seed in range(40_000 + block * 10, 40_010 + block * 10):
        rng = random.Random(seed)
        catalog, records = streams.catalog(rng), streams.records(rng, rng.choice([40, 200, 600]))
        kernel, found, at = Kernel(Layout(catalog), SMALL), list[Any](), 0
        while at < len(records):
            for _ in range(rng.randint(0, 3)):
                with trial(kernel):
                    observed(kernel, tried(rng, records[at:]), itertools.cycle([5]), at)
                    kernel.literals((f"only tried {rng.random()}",))
            step = records[at : at + rng.choice([1, 7, 50])]
            found += observed(kernel, step, itertools.cycle([11]), at)
            at += len(step)
        wrong = differences(expected(catalog, records), found)
        assert not wrong, (seed, wrong)


def test_a_trial_gives_what_observing_gives_and_puts_every_word_back() -> None:
    rng = random.Random(3)
    catalog, records = streams.catalog(rng), streams.records(rng, 200)
    kernel, other = Kernel(Layout(catalog), SMALL), Kernel(Layout(catalog), SMALL)
    for one in (kernel, other):
        observed(one, records[:100], itertools.cycle([16]))
    words, meta = kernel.state.memory.words.copy(), kernel.state.memory.meta.copy()
    used = kernel.state.used_bytes // 8
    with trial(kernel):
        inside = observed(kernel, records[100:], itertools.cycle([3]), 100)
        assert kernel.state.memory.meta.tolist() != meta.tolist()
    assert np.array_equal(kernel.state.memory.words[:used], words[:used])
    assert kernel.state.used_bytes // 8 == used
    assert not differences(inside, observed(other, records[100:], itertools.cycle([3]), 100))


def test_an_error_inside_is_taken_back_too() -> None:
    rng = random.Random(4)
    catalog, records = streams.catalog(rng), streams.records(rng, 60)
    kernel = Kernel(Layout(catalog), SMALL)

    class StoppedError(Exception):
        pass

    def begin_and_stop() -> None:
        with trial(kernel):
            observed(kernel, records, itertools.cycle([3]))
            raise StoppedError

    with pytest.raises(StoppedError):
        begin_and_stop()
    found = observed(kernel, records, itertools.cycle([3]))
    assert not differences(expected(catalog, records), found)


def test_neither_in_a_trial_nor_in_a_snapshot() -> None:
    kernel = Kernel(Layout(streams.catalog(random.Random(1))), SMALL)
    with trial(kernel), pytest.raises(RuntimeError, match="another trial"), trial(kernel):
        pass
    reader = SnapshotReader(kernel.state)
    with pytest.raises(RuntimeError, match="a snapshot"), trial(kernel):
        pass
    reader.abandon()
    with trial(kernel):
        pass
