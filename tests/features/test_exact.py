"""Every window equals its definition: the kernel against a naive oracle on random streams."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import numpy as np
import pytest

from alcyon.domain.columns import Strings
from alcyon.domain.errors import StateError
from alcyon.features import Catalog, Distinct, Entity, Expression
from alcyon.features.kernel import NO_LABELS, Kernel, LabelRows, Limits
from alcyon.features.layout import Layout
from tests.features import streams
from tests.features.naive import Naive, Row

STATUS = ["accepted", "late", "future", "duplicate", "conflicting"]
SMALL = Limits(state_bytes_max=2**24)


def close(a: Any, b: Any, ulps: int = 2) -> bool:
    """Equal, for floats within some units in the last place."""
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= ulps * math.ulp(max(abs(a), abs(b)))
    return bool(a == b)


def expected(catalog: Catalog, records: list[Any]) -> list[tuple[str, Row]]:
    """The oracle's statuses and features, a pair per transaction."""
    features = [f for f in catalog.features if not isinstance(f, Expression)]
    naive = Naive(features, catalog.lateness_max_ms, streams.PREDICATES)
    out = []
    for record in records:
        if isinstance(record, tuple):
            naive.label(*record)
        else:
            out.append(naive.transaction(record))
    return out


def observed(
    kernel: Kernel, records: list[Any], sizes: itertools.cycle[int], start: int = 0
) -> list[tuple[str, Row]]:
    """The kernel's, in batches of the given sizes (of records)."""
    out: list[tuple[str, Row]] = []
    names = kernel.layout.catalog.names
    at = 0
    while at < len(records):
        part = list(enumerate(records[at : at + next(sizes)], start + at))
        at += len(part)
        rows = [(s, r) for s, r in part if not isinstance(r, tuple)]
        marks = [(s, r) for s, r in part if isinstance(r, tuple)]
        labels = NO_LABELS
        if marks:
            labels = LabelRows(
                Strings.from_list([r[0] for _, r in marks]),
                np.array([r[1] for _, r in marks], np.int64),
                np.array([s for s, _ in marks], np.int64),
            )
        result = kernel.observe(
            streams.batch([r for _, r in rows]),
            labels=labels,
            sequences=np.array([s for s, _ in rows], np.int64),
        )
        columns = [streams.values(result.column(name, kernel)) for name in names]
        for i in range(len(rows)):
            features = {name: column[i] for name, column in zip(names, columns, strict=True)}
            out.append((STATUS[result.status[i]], features))
    return out


def differences(want: list[tuple[str, Row]], got: list[tuple[str, Row]]) -> list[str]:
    """Where they differ, at most a few."""
    assert len(want) == len(got)
    found = []
    for i, ((status, features), (status2, features2)) in enumerate(zip(want, got, strict=True)):
        if status != status2:
            found.append(f"{i}: {status} {status2}")
        found += [
            f"{i} {status} {name}: {features[name]} {features2[name]}"
            for name in features
            if not close(features[name], features2[name])
        ]
    return found[:5]


def check(seed: int, size: int) -> None:
    """One random stream, whole and in random batches."""
    rng = random.Random(seed)
    catalog, records = streams.catalog(rng), streams.records(rng, size)
    kernel = Kernel(Layout(catalog), SMALL)
    sizes = itertools.cycle([rng.choice([1, 2, 3, 7, 16, 1000]) for _ in range(5)])
    found = differences(expected(catalog, records), observed(kernel, records, sizes))
    assert not found, (seed, found, [f.__dict__ for f in catalog.features])


@pytest.mark.parametrize("block", range(10))
def test_random_streams_equal_the_naive_oracle(block: int) -> None:
    for seed in range(block * 30, block * 30 + 30):
        check(seed, random.Random(seed).choice([5, 30, 120]))


def test_streams_long_enough_to_split_and_evict_equal_the_naive_oracle() -> None:
    for seed in range(5000, 5006):
        check(seed, 900)


def test_a_state_that_outgrows_its_bound_says_so() -> None:
    rng = random.Random(1)
    kernel = Kernel(Layout(streams.catalog(rng)), Limits(state_bytes_max=2**16))
    with pytest.raises(StateError, match="STATE_BYTES_MAX"):
        observed(kernel, streams.records(rng, 3000), itertools.cycle([100]))


@pytest.mark.parametrize("different", [1, 3, 4, 5, 60])
def test_distinct_counts_over_many_leaves_equal_the_naive_oracle(different: int) -> None:
    rng = random.Random(different)
    card = Entity("card_id")
    catalog = Catalog(
        [
            Distinct(card, "merchant_id", window, name=f"f{i}", **words)
            for i, (window, words) in enumerate(
                (window, words)
                for window in ("50ms", "200ms", "1s", "10s")
                for words in ({}, {"exclude_current": True}, {"delay": "30ms"})
            )
        ],
        lateness_max="1s",
    )
    records = [
        {**r, "card_id": "a", "merchant_id": f"m{rng.randrange(different)}"}
        for r in streams.records(rng, 700)
        if not isinstance(r, tuple)
    ]
    kernel = Kernel(Layout(catalog), SMALL)
    got = observed(kernel, records, itertools.cycle([64]))
    found = differences(expected(catalog, records), got)
    assert not found, (different, found)
