"""The scoreboard against a plain count, and its percentiles against a sorted list."""

from __future__ import annotations

import random
from math import ceil

import msgspec
import numpy as np
import pytest

from alcyon.domain.commit import Commit
from alcyon.runners.demo.latencies import Latencies
from alcyon.runners.demo.scoreboard import Scoreboard, Throughput
from alcyon.scoring.policy import Costs

COSTS = Costs(false_decline_share=0.25, false_decline_fixed_minor=300.0)
ACTIONS = ("APPROVE", "STEP_UP", "REVIEW", "DECLINE")
Row = tuple[str, bool, int, str]


def made_up(seed: int, n: int = 400) -> list[Row]:
    rng = random.Random(seed)
    return [
        (f"t{i}", rng.random() < 0.3, rng.randrange(100_000), rng.choice(ACTIONS)) for i in range(n)
    ]


def commit(rows: list[Row], letters: int = 0) -> Commit:
    encoded = (msgspec.json.encode({"transaction_id": r[0], "action": r[3]}) for r in rows)
    return Commit(1, 0, 0, len(rows), tuple(encoded), (b"{}",) * letters)


def told(rows: list[Row]) -> Scoreboard:
    scoreboard = Scoreboard(COSTS)
    scoreboard.expect(
        [r[0] for r in rows], np.array([r[1] for r in rows], np.int64),
        np.array([r[2] for r in rows], np.int64),
    )  # fmt: skip
    return scoreboard


@pytest.mark.parametrize("seed", range(5))
def test_the_figures_are_those_of_a_plain_count(seed: int) -> None:
    rows = made_up(seed)
    scoreboard = told(rows)
    for at in range(0, len(rows), 37):
        scoreboard.note(commit(rows[at : at + 37], letters=1))
    figures = scoreboard.figures()
    frauds = [r for r in rows if r[1]]
    genuine = [r for r in rows if not r[1]]
    stopped = [r for r in frauds if r[3] != "APPROVE"]
    alarms = [r for r in genuine if r[3] != "APPROVE"]
    declined = [r for r in genuine if r[3] == "DECLINE"]
    assert figures.decisions == len(rows)
    assert figures.actions == {a: sum(r[3] == a for r in rows) for a in ACTIONS}
    assert figures.alerts == sum(r[3] != "APPROVE" for r in rows)
    assert figures.dead_letters == ceil(len(rows) / 37)
    assert figures.recall == len(stopped) / len(frauds)
    assert figures.false_positive_rate == len(alarms) / len(genuine)
    assert figures.fraud_minor == sum(r[2] for r in frauds)
    assert figures.fraud_stopped_minor == sum(r[2] for r in stopped)
    cost = sum(0.25 * r[2] + 300.0 for r in declined)
    assert figures.net_stopped_minor == pytest.approx(figures.fraud_stopped_minor - cost)


def test_before_the_first_decision_there_is_no_rate() -> None:
    figures = Scoreboard(COSTS).figures()
    assert (figures.recall, figures.false_positive_rate, figures.alerts) == (None, None, 0)


def test_a_decision_on_what_nobody_sent_is_counted_and_not_judged() -> None:
    scoreboard = told(made_up(1, 3))
    scoreboard.note(commit([("foreign", True, 5, "DECLINE")]))
    figures = scoreboard.figures()
    assert (figures.decisions, figures.frauds, figures.genuine) == (1, 0, 0)


def test_a_latency_counts_from_when_a_transaction_was_due() -> None:
    rows = made_up(2, 2)
    scoreboard = told(rows)
    scoreboard.sent(["t0", "t1"], [100.0, 100.5])
    scoreboard.note(commit(rows), at=101.0)
    found = scoreboard.latencies.newest()
    assert found is not None
    assert found.p50 == pytest.approx(500.0)
    assert found.p99 == pytest.approx(1000.0)


def test_decisions_of_before_have_no_latency() -> None:
    rows = made_up(3, 5)
    scoreboard = told(rows)
    scoreboard.note(commit(rows))
    assert scoreboard.latencies.all() is None


def test_latencies_are_taken_once() -> None:
    latencies = Latencies()
    latencies.add([0.5, 0.25])
    assert (latencies.taken(), latencies.taken()) == ([0.5, 0.25], [])


@pytest.mark.parametrize("seed", range(4))
def test_percentiles_are_exact_to_one_per_cent(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seconds = np.exp(rng.normal(-5, 2, 7_000)).tolist()
    latencies = Latencies()
    for at in range(0, len(seconds), 999):
        latencies.add(seconds[at : at + 999])
    found = latencies.all()
    assert found is not None
    ordered = sorted(s * 1000 for s in seconds)
    for share, value in ((0.5, found.p50), (0.95, found.p95), (0.99, found.p99)):
        true = max(ordered[ceil(share * len(ordered)) - 1], 0.01)
        assert true <= value * (1 + 1e-9)
        assert value <= true * 1.0101


def test_throughput_is_that_of_the_last_ten_seconds() -> None:
    throughput = Throughput(10.0)
    assert throughput.tell(0.0, 500) is None
    for second in range(1, 40):
        rate = throughput.tell(float(second), 500 + 20 * second + (1000 if second > 20 else 0))
    assert rate == pytest.approx(20.0)
