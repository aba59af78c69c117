"""What a searcher adds up, over each store, against brute force over what was written."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from statistics import median_low
from typing import Any

import pytest

from alcyon.domain.errors import InputError
from alcyon.domain.office.searching import ENTITY_COLUMNS, Habit, Share
from alcyon.io.searching import (
    StoreSearcher,
)
from tests.contracts.searched import (
    CARDS,
    DAY_MS,
    DAYS,
    HOUR_MS,
    MERCHANTS,
    RULES,
    START_MS,
    WORLD,
    Paid,
)

END_MS = START_MS + DAYS * DAY_MS


def test_statistics_are_the_sums_of_the_decisions(searcher: StoreSearcher) -> None:
    week, midnight = 7 * DAY_MS, START_MS - START_MS % DAY_MS + DAY_MS
    for first, last in (
        (midnight, midnight + 9 * DAY_MS - 1),
        (midnight - 1, midnight + 9 * DAY_MS),
        (midnight + HOUR_MS, midnight + DAY_MS - 1),
        (midnight + HOUR_MS, midnight + DAY_MS + 2 * HOUR_MS),
        (START_MS - 5, END_MS),
        (START_MS + DAY_MS, START_MS + 3 * DAY_MS + 7),
        (START_MS + 7, START_MS + 7 + week),
        (START_MS + 7, START_MS + 8 + week),
    ):
        begin = first - first % HOUR_MS
        end = last - last % HOUR_MS + HOUR_MS
        meant = [p for p in WORLD.paid if begin <= p.decision.event_time < end]
        found = searcher.statistics(first, last)
        step = HOUR_MS if last - first <= 7 * DAY_MS else DAY_MS
        assert [t.at for t in found.trend] == list(range(begin - begin % step, last + 1, step))
        for trend in found.trend:
            some = [p for p in meant if trend.at <= p.decision.event_time < trend.at + step]
            counted = Counter(p.decision.action for p in some)
            assert (trend.approve, trend.step_up, trend.review, trend.decline) == tuple(
                counted[a] for a in ("APPROVE", "STEP_UP", "REVIEW", "DECLINE")
            )
            assert (trend.amount_base_minor, trend.stopped_base_minor) == money(some)
        words: tuple[tuple[list[Share], Callable[[Paid], str]], ...] = (
            (found.countries, lambda p: p.columns["country"] or ""),
            (found.categories, lambda p: p.columns["category"] or ""),
            (found.reasons, lambda p: p.shown),
            (found.models, lambda p: p.decision.versions.model),
        )
        for shares, word in words:
            assert {s.word for s in shares} == {word(p) for p in meant}
            for share in shares:
                some = [p for p in meant if word(p) == share.word]
                stopped = sum(p.decision.action != "APPROVE" for p in some)
                assert (share.decision_count, share.not_approved_count) == (len(some), stopped)
                assert (share.amount_base_minor, share.stopped_base_minor) == money(some)
                if shares in (found.countries, found.categories):
                    assert share.fraud_count == sum(p.is_fraud or False for p in some)


def money(some: list[Paid]) -> tuple[int, int]:
    """(all of it, what was stopped)."""
    amounts = [(p.columns["amount_base_minor"] or 0, p.decision.action != "APPROVE") for p in some]
    return sum(a for a, _ in amounts), sum(a for a, is_stopped in amounts if is_stopped)


def test_top_entities_are_those_with_the_most_stopped(searcher: StoreSearcher) -> None:
    found = searcher.statistics(START_MS, END_MS)
    for kind, tops in (("card", found.top_cards), ("merchant", found.top_merchants)):
        by_name: dict[str, list[Paid]] = defaultdict(list)
        for paid in WORLD.paid:
            name = paid.columns[ENTITY_COLUMNS[kind]]
            if name is not None and paid.decision.action != "APPROVE":
                by_name[name].append(paid)
        order = sorted(by_name, key=lambda n: (-money(by_name[n])[1], -len(by_name[n]), n))
        assert [t.id for t in tops] == order[:10]
        for top in tops:
            some = by_name[top.id]
            assert (top.decision_count, top.stopped_base_minor) == (len(some), money(some)[1])
            assert top.last_at == max(p.decision.event_time for p in some)


@pytest.mark.parametrize(("first", "last"), [(5, 4), (0, 367 * DAY_MS)])
def test_a_span_that_cannot_be_is_refused(searcher: StoreSearcher, first: int, last: int) -> None:
    with pytest.raises(InputError, match="366 days"):
        searcher.statistics(first, last)


def habit_in_world(some: list[Paid], days: float) -> Habit:
    def frequent(words: list[str | None]) -> list[str]:
        counted = Counter(w for w in words if w is not None)
        return sorted(counted, key=lambda w: (-counted[w], w))[:5]

    c = [p.columns for p in some]
    amounts = [o["amount_base_minor"] for o in c if o["amount_base_minor"] is not None]
    return Habit(
        len(some), len(some) / days, median_low(amounts) if amounts else None,
        frequent([o["merchant_country"] or o["country"] for o in c]),
        frequent([o["merchant_id"] for o in c]), frequent([o["device_id"] for o in c]),
        frequent([o["category"] for o in c]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name"),
    [*(("card", c) for c in CARDS), *(("merchant", m) for m in MERCHANTS), ("device", "d1")],
)
def test_an_entity_is_what_its_decisions_say(searcher: StoreSearcher, kind: Any, name: str) -> None:
    found, some = searcher.entity(kind, name), WORLD.of(kind, name)
    assert found is not None
    newest = some[0].decision.event_time
    day, month = newest - DAY_MS, newest - 31 * DAY_MS
    usual = [p for p in some if month < p.decision.event_time <= day]
    assert found.habit == habit_in_world(usual, 30.0)
    assert found.today == habit_in_world([p for p in some if p.decision.event_time > day], 1.0)
    ids = [p.decision.transaction_id for p in some]
    assert [line.transaction_id for line in found.history] == ids[:200]
    assert found.transaction_count == len(some)
    assert found.fraud_count == sum(p.is_fraud or False for p in some)
    assert len(found.labels) == sum(p.labels for p in some)
    lately = [p for p in some if p.decision.event_time > newest - 30 * DAY_MS]
    is_high = any(p.decision.action == "DECLINE" or p.is_fraud for p in lately)
    assert (found.risk == "high") is is_high
    assert found.features == ({"a": 1.5, "b": None} if kind == "card" else {})


def test_linked_entities_are_those_of_the_same_transactions(searcher: StoreSearcher) -> None:
    found = searcher.entity("card", "c1")
    assert found is not None
    some = WORLD.of("card", "c1")
    devices = {p.columns["device_id"] for p in some} - {None}
    assert {k.id for k in found.linked if k.kind == "device"} == devices
    for link in found.linked:
        both = [p for p in some if p.columns[ENTITY_COLUMNS[link.kind]] == link.id]
        assert link.transaction_count == len(both)
        assert link.fraud_count == sum(p.is_fraud or False for p in both)
        assert link.not_approved_count == sum(p.decision.action != "APPROVE" for p in both)
        assert link.last_at == max(p.decision.event_time for p in both)
        cards = {p.columns["card_id"] for p in WORLD.of(link.kind, link.id)[:200]}
        is_shared = link.kind in ("account", "customer", "device")
        assert link.shared_cards == (len(cards - {"c1", None}) if is_shared else 0)


def test_a_rule_is_counted_by_its_hits(searcher: StoreSearcher) -> None:
    since = START_MS + 10 * DAY_MS
    found = searcher.rule_counts(since)
    some = [p for p in WORLD.paid if p.decision.event_time >= since]
    assert set(found) == {*RULES, "s1"}
    for rule, counts in found.items():
        hits = [p for p in some if rule in p.decision.rule_hits]
        shadow = [p for p in some if rule in p.decision.shadow_hits]
        said = [p.is_fraud for p in (*hits, *shadow) if p.is_fraud is not None]
        assert counts == {
            "hits": len(hits), "shadow_hits": len(shadow), "labelled": len(said),
            "frauds": sum(said), "stopped_base_minor": money(hits)[1],
        }  # fmt: skip
