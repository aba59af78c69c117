"""Order of arrival: what is future, and labels placed by time instead of by sequence."""

from __future__ import annotations

import copy
import itertools
import random
from typing import Any

import numpy as np
import pytest

from alcyon.domain.columns import Strings
from alcyon.features.kernel import Kernel, LabelRows
from alcyon.features.layout import Layout
from tests.features import streams
from tests.features.naive import Naive, Row
from tests.features.test_exact import SMALL, STATUS, differences

Label = tuple[int, str, int]  # labelled_at, transaction_id, is_fraud


def front_with(naive: Naive, row: Row) -> int | None:
    """The front after the row, which is not let in."""
    trial = copy.deepcopy(naive)
    trial.transaction(row)
    return trial.front


def expected(naive: Naive, rows: list[Row], labels: list[Label]) -> list[tuple[str, Row]]:
    """A label precedes transaction i if and only if labelled_at ≤ front(i), i included."""
    out, waiting = [], list(labels)
    for row in rows:
        front = front_with(naive, row)
        while waiting and front is not None and waiting[0][0] <= front:
            _, transaction_id, is_fraud = waiting.pop(0)
            naive.label(transaction_id, is_fraud)
        out.append(naive.transaction(row))
    return out


def observed(
    kernel: Kernel, rows: list[Row], labels: list[Label], sizes: itertools.cycle[int]
) -> list[tuple[str, Row]]:
    out: list[tuple[str, Row]] = []
    at, used, names = 0, 0, kernel.layout.catalog.names
    while at < len(rows):
        part, rest = rows[at : at + next(sizes)], labels[used:]
        result = kernel.observe(
            streams.batch(part),
            labels=LabelRows(
                Strings.from_list([x[1] for x in rest]),
                np.array([x[2] for x in rest], np.int64),
                np.array([x[0] for x in rest], np.int64),
                by_time=True,
            ),
        )
        used += result.labels_used
        columns = [streams.values(result.column(n, kernel)) for n in names]
        for i in range(len(part)):
            values = {n: c[i] for n, c in zip(names, columns, strict=True)}
            out.append((STATUS[result.status[i]], values))
        at += len(part)
    return out


@pytest.mark.parametrize("block", range(4))
def test_labels_of_a_file_take_effect_by_the_front(block: int) -> None:
    for seed in range(30_000 + block * 10, 30_010 + block * 10):
        rng = random.Random(seed)
        catalog = streams.catalog(rng)
        records = streams.records(rng, 60)
        rows = [r for r in records if not isinstance(r, tuple)]
        times = [r["event_time"] for r in rows]
        labels = sorted(
            (rng.choice(times) + rng.randint(-3, 3), r[0], r[1])
            for r in records
            if isinstance(r, tuple)
        )
        naive = Naive(catalog.features, catalog.lateness_max_ms, streams.PREDICATES)  # type: ignore[arg-type]
        kernel = Kernel(Layout(catalog), SMALL)
        got = observed(kernel, rows, labels, itertools.cycle([rng.choice([1, 3, 16, 100])]))
        found = differences(expected(naive, rows, labels), got)
        assert not found, (seed, found)


def test_a_transaction_from_the_future_leaves_no_trace() -> None:
    for seed in range(40_000, 40_015):
        rng = random.Random(seed)
        catalog = streams.catalog(rng)
        rows = [r for r in streams.records(rng, 60) if not isinstance(r, tuple)]
        latest = [r["event_time"] + rng.choice([-1, 0, 0, 5]) for r in rows]
        naive = Naive(catalog.features, catalog.lateness_max_ms, streams.PREDICATES)  # type: ignore[arg-type]
        want = [naive.transaction(r, limit) for r, limit in zip(rows, latest, strict=True)]
        kernel = Kernel(Layout(catalog), SMALL)
        result = kernel.observe(streams.batch(rows), latest=np.array(latest, np.int64))
        columns: dict[str, list[Any]] = {
            n: streams.values(result.column(n, kernel)) for n in catalog.names
        }
        got = [
            (STATUS[result.status[i]], {n: c[i] for n, c in columns.items()})
            for i in range(len(rows))
        ]
        assert "future" in STATUS
        found = differences(want, got)
        assert not found, (seed, found)
