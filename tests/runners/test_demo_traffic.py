"""Traffic is the same at every making, and goes on behind what was sent."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from alcyon.domain.record import Topic
from alcyon.runners.demo.recipe import Recipe
from alcyon.runners.demo.sending import Item, items_of
from alcyon.runners.demo.sessions import Session, ended, read_sessions, write_sessions
from alcyon.runners.demo.traffic import NOTHING_SENT, DueLabel, Sent, Traffic
from tests.runners.demoing import recipe

RECIPE = recipe(1_795_000_000_000, cards=300)
END = 6_000


def sessions(of: Recipe) -> list[Session]:
    """At full speed, by the clock twice, at full speed again."""
    day = 86_400_000
    return [
        Session(of.now, None, 2_000),
        Session(of.now + 9 * day, 50.0, 700),
        Session(of.now + 10 * day, 20.0, 0),
        Session(of.now + 11 * day, 80.0, 1_300),
        Session(of.now + 12 * day, None),
    ]


def waiting() -> list[DueLabel]:
    """Labels of before: of the past, and of the days to come."""
    times = [RECIPE.now - 5_000, RECIPE.now + 3_600_000, RECIPE.now + 864_000_000]
    return [DueLabel(t, f"l{k}", b'{"label":%d}' % k) for k, t in enumerate(times)]


def made(sent: Sent = NOTHING_SENT, rows_max: int = 4096, end: int | None = END) -> list[Item]:
    traffic = Traffic(
        RECIPE, RECIPE.create_population(), sessions(RECIPE), waiting(), sent, end, rows_max
    )
    return [item for stretch in traffic.stretches() for item in items_of(stretch)]


@pytest.fixture(scope="module")
def whole() -> list[Item]:
    return made()


def of_topic(items: Sequence[Item], topic: Topic) -> list[Item]:
    return [item for item in items if item.topic is topic]


def test_there_are_so_many_transactions_and_labels_among_them(whole: list[Item]) -> None:
    assert len(of_topic(whole, Topic.TRANSACTIONS)) == END
    assert len(of_topic(whole, Topic.LABELS)) > 40
    ids = [item.transaction_id for item in of_topic(whole, Topic.TRANSACTIONS)]
    assert len(set(ids)) == END


def test_a_label_stands_before_the_first_transaction_that_is_not_older(whole: list[Item]) -> None:
    newest = 0
    for item, following in pairwise(whole):
        if item.topic is Topic.TRANSACTIONS:
            assert item.due >= newest
            newest = item.due
        else:
            assert newest < item.due or newest == 0 or item.due < RECIPE.now
            assert item.due <= following.due


@pytest.mark.parametrize("rows_max", [1, 64, 1000, 65_536])
def test_it_is_the_same_however_it_is_cut(whole: list[Item], rows_max: int) -> None:
    if rows_max == 1:
        assert made(rows_max=1, end=300) == [*made(end=300)]
    else:
        assert made(rows_max=rows_max) == whole


@pytest.mark.parametrize("seed", range(6))
def test_it_goes_on_behind_what_was_sent(whole: list[Item], seed: int) -> None:
    rng = random.Random(seed)
    cut = rng.randrange(len(whole))
    before = whole[:cut]
    sent = Sent(len(of_topic(before, Topic.TRANSACTIONS)), len(of_topic(before, Topic.LABELS)))
    assert made(sent, rng.choice((64, 4096))) == whole[cut:]


def test_a_larger_end_goes_on_behind_a_smaller_one(whole: list[Item]) -> None:
    part = made(end=4_500)
    sent = Sent(4_500, len(part) - 4_500)
    assert part + made(sent) == whole


def test_a_session_ends_with_what_was_sent(tmp_path: Path) -> None:
    begun = [Session(1, None, 10), Session(2, 50.0)]
    assert ended(begun, 25) == [Session(1, None, 10), Session(2, 50.0, 15)]
    assert ended([], 0) == []
    file = tmp_path / "sessions.json"
    assert read_sessions(file) == []
    write_sessions(file, begun)
    assert read_sessions(file) == begun
