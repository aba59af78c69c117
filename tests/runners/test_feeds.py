"""Live statistics and feeds: what is told, and that nothing grows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np

from alcyon.domain.errors import SlowError
from alcyon.domain.hourly import Cell, Hourly
from alcyon.io.log import EmbeddedCommits
from alcyon.runners.serving.feeds import ALERTS_PER_S, LINES_PER_S, PAST_S, LiveFeeds
from alcyon.runners.serving.live_statistics import MERCHANTS_MAX, SLOTS, WORDS_MAX, LiveStatistics
from alcyon.runners.serving.watching import LatestByCard, Seen, Watched, Watching
from alcyon.runners.stream.in_force import InForce
from tests.cli.run_process import until
from tests.runners.asked import asked, deciding, in_force, payload
from tests.runners.seeing import seen
from tests.runners.working import CATALOG, MEANS

DAY = 10**12 // 86_400_000 * 86_400_000
KNOWN = InForce.initial(CATALOG)


def test_statistics_of_the_last_minute_are_of_the_seconds_that_are_over() -> None:
    clock = [100.0]
    statistics = LiveStatistics(lambda: [0.001, 0.002, 0.1], now_s=lambda: clock[0])
    statistics.count(seen(["APPROVE", "APPROVE"], country="FR", merchant_id="m1"))
    statistics.count(seen(["DECLINE"], country="NG", merchant_id="m2", amount=5000))
    assert (statistics.told()["actions"], statistics.told()["rate"]) == ({}, 0.0)
    clock[0] += 1
    assert statistics.roll()
    assert not statistics.roll()
    told = statistics.told()
    assert told["actions"] == {"APPROVE": 2, "DECLINE": 1}
    assert told["rate"] == 3.0
    assert told["latency_ms"] == {"p50": 2.0, "p95": 90.2, "p99": 98.0}
    assert told["today"] == {"decisions": 3, "not_approved": 1, "stopped_base_minor": 5000}
    assert told["top_rules"] == [{"rule_id": "r1", "hits": 3}]
    assert [(m["id"], m["stopped_base_minor"], m["score_max"]) for m in told["top_merchants"]] == [
        ("m2", 5000, 500)
    ]
    shares = [(c["word"], c["decision_count"], c["stopped_base_minor"]) for c in told["countries"]]
    assert shares == [("NG", 1, 5000), ("FR", 2, 0)]
    for _ in range(SLOTS):
        clock[0] += 1
        statistics.roll()
    assert statistics.told()["actions"] == {}
    assert statistics.told()["today"]["decisions"] == 3


def test_today_goes_on_from_the_roll_ups_and_begins_anew_with_a_later_day() -> None:
    hours = [
        Hourly(Cell(DAY, "FR", "", "APPROVE", "score", "m"), 7, 700),
        Hourly(Cell(DAY, "FR", "", "REVIEW", "abroad", "m"), 2, 250),
    ]
    statistics = LiveStatistics(today=hours)
    statistics.count(seen(["DECLINE"], event_time=DAY + 5, amount=50))
    statistics.count(seen(["DECLINE"], event_time=DAY - 5))
    assert statistics.told()["today"] == {
        "decisions": 10, "not_approved": 3, "stopped_base_minor": 300,
    }  # fmt: skip
    statistics.count(seen(["APPROVE"], event_time=DAY + 86_400_000))
    assert statistics.told()["today"]["decisions"] == 1


def test_decisions_that_come_together_are_counted_as_each_by_itself_is() -> None:
    parts = [
        seen([action], country=country, merchant_id="m", amount=amount, event_time=at)
        for action, country, amount, at in (
            ("APPROVE", "FR", 10, DAY), ("DECLINE", "FR", 20, DAY + 7), ("REVIEW", "NG", 40, DAY),
            ("APPROVE", "NG", 80, DAY - 1), ("STEP_UP", "FR", 160, DAY + 86_400_000),
            ("DECLINE", "DE", 320, DAY + 86_399_999), ("APPROVE", "DE", 640, DAY + 86_400_001),
        )
    ]  # fmt: skip
    clock = [0.0]
    each, together = (LiveStatistics(now_s=lambda: clock[0]) for _ in range(2))
    rows = [each.count(part) for part in parts]
    assert rows == [[], [0], [0], [], [0], [0], []]
    assert together.count(joined(parts)) == [1, 2, 4, 5]
    clock[0] = 1.0
    assert each.roll()
    assert together.roll()
    assert together.told() == each.told()
    assert together.told()["today"] == {
        "decisions": 2, "not_approved": 1, "stopped_base_minor": 160,
    }  # fmt: skip


def joined(parts: Sequence[Seen]) -> Seen:
    """All of them at once."""
    return Seen(
        [one for part in parts for one in part.decisions],
        [one for part in parts for one in part.cards],
        [one for part in parts for one in part.merchants],
        [one for part in parts for one in part.countries],
        [one for part in parts for one in part.amounts_base],
        parts[0].whole,
    )


def test_counts_stay_bounded_whatever_comes() -> None:
    statistics = LiveStatistics(now_s=lambda: 0.0)
    for i in range(2_000):
        statistics.count(seen(["DECLINE"], country=f"c{i}", merchant_id=f"m{i}"))
    second = statistics._seconds[-1]
    assert (len(second.countries), len(second.merchants)) == (WORDS_MAX, MERCHANTS_MAX)
    cards = LatestByCard(cards_max=10)
    for i in range(50):
        cards.take(seen(["APPROVE"], card_id=f"c{i}"))
    known = [one is not None for one in cards.latest([f"c{i}" for i in range(50)])]
    assert (any(known[:40]), known[45:], sum(known) <= 10) == (False, [True] * 5, True)


def test_who_comes_now_is_told_the_last_minutes_by_second() -> None:
    clock = [1_000.0]
    feeds = LiveFeeds(LiveStatistics(now_s=lambda: clock[0]), lambda: KNOWN, lambda: None)
    assert feeds.past() == []
    for second in range(PAST_S + 20):
        feeds.take(seen(["APPROVE"] * (1 + second % 3)))
        clock[0] += 1
        feeds.tick()
        feeds.tick()
    past = feeds.past()
    newest = 1_000 + PAST_S + 20
    assert [one["at"] for one in past] == [
        1000 * second for second in range(newest - PAST_S + 1, newest + 1)
    ]
    assert past[-1] == {name: feeds.now()[name] for name in past[-1]}
    assert set(past[-1]) == {"at", "rate", "latency_ms", "actions"}


def test_a_second_tells_so_many_lines_and_alerts_and_no_more() -> None:
    clock = [0.0]

    async def told() -> tuple[int, int, int]:
        feeds = LiveFeeds(LiveStatistics(now_s=lambda: clock[0]), lambda: KNOWN, lambda: None)
        lines, alerts = feeds.subscribe("decisions"), feeds.subscribe("alerts")
        for _ in range(50):
            feeds.take(seen(["DECLINE"] * 100))
            await asyncio.sleep(0)
        first = len(lines._queue), len(alerts._queue)
        clock[0] += 1
        feeds.tick()
        feeds.take(seen(["DECLINE"] * 100))
        await asyncio.sleep(0.01)
        lines.close()
        return *first, len(lines._queue)

    assert asyncio.run(told()) == (LINES_PER_S, ALERTS_PER_S, LINES_PER_S + 4)


def test_an_alert_tells_what_is_at_stake_as_the_queue_does() -> None:
    async def told(probability_ppm: int | None) -> int:
        feeds = LiveFeeds(LiveStatistics(), lambda: KNOWN, lambda: None)
        alerts = feeds.subscribe("alerts")
        feeds.take(seen(["REVIEW"], amount=199, probability_ppm=probability_ppm))
        found = msgspec.json.decode(await alerts.next())
        assert found["status"] == "open"
        return int(found["expected_loss_base_minor"])

    assert (asyncio.run(told(500_000)), asyncio.run(told(None))) == (99, 199)


def test_a_full_queue_is_emptied_and_its_reader_cut_off_once() -> None:
    dropped = list[bool]()

    async def cut_off() -> str:
        feeds = LiveFeeds(LiveStatistics(), lambda: KNOWN, lambda: dropped.append(True))
        slow, other = feeds.subscribe("statistics"), feeds.subscribe("statistics")
        for _ in range(3):
            feeds._offer("statistics", [b"x"] * 100)
            await asyncio.sleep(0.01)
            if len(other._queue) >= 100:
                other._queue.clear()
        try:
            await slow.next()
        except SlowError as error:
            assert feeds.watcher_count == 1
            slow.close()
            assert (len(slow._queue), feeds.watcher_count) == (0, 1)
            return str(error)
        return ""

    assert "read faster" in asyncio.run(cut_off())
    assert dropped == [True]


class Kept:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def take(self, seen: Seen) -> None:
        """Keep it."""
        self.seen.append(seen)

    def tick(self) -> None:
        """Nothing to do."""


def test_what_a_real_log_holds_is_seen_with_its_payments(tmp_path: Path) -> None:
    known = in_force()
    feeds = LiveFeeds(LiveStatistics(), lambda: known, lambda: None)
    cards, kept = LatestByCard(), (Kept(), Kept())
    with asked(tmp_path) as where, deciding(where.logs):
        asyncio.run(where.asking.ask([payload(f"a{i}", card_id="hot") for i in range(5)]))
        asyncio.run(where.asking.ask([payload("b", card_id="hot", country="JP", amount_minor=777)]))
        ends = EmbeddedCommits(where.logs.decisions)
        with (
            closing(ends),
            closing(
                Watching(
                    lambda files: Watched(where.logs.reading(files), lambda: ends.bounds()[1]),
                    MEANS, lambda: known.rates, (*kept, cards, feeds), 0, where.told.append,
                )
            ),
        ):  # fmt: skip
            until(lambda: feeds.now()["today"]["decisions"] == 6)
    assert sum(len(seen.decisions) for seen in kept[0].seen) == 6
    assert all(a is b for a, b in zip(kept[0].seen, kept[1].seen, strict=True)), "decoded once"
    (latest,) = cards.latest(["hot"])
    assert latest is not None
    assert latest.transaction_id == "b"
    count = np.frombuffer(latest.features, "<f4")[CATALOG.model_names.index("card_count_10m")]
    assert count == 6
    told = feeds.now()
    assert told["today"]["stopped_base_minor"] >= 777
    assert [c["word"] for c in told["countries"]] == ["FR", "JP"]
    assert where.told == []
    assert msgspec.json.encode(told)
