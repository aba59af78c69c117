"""What a searcher finds, over each store, against brute force over what was written."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alcyon.domain.errors import InputError, UnreachableError
from alcyon.domain.office.searching import Filter
from alcyon.io.searching import (
    AlertStatuses,
    StoreSearcher,
    filters,
    postgres,
    queue,
    sqlite,
    walking,
)
from alcyon.io.searching.cursors import cursor_of
from alcyon.io.sqlite import SqliteStore
from tests.contracts.searched import (
    CARDS,
    CODES,
    DAY_MS,
    DAYS,
    HOUR_MS,
    MERCHANTS,
    RULES,
    START_MS,
    WORLD,
)

END_MS = START_MS + DAYS * DAY_MS
ODD = (
    "' OR 1=1 --", '"; DROP TABLE decisions; --', "%", "_", "c%", "c_", "\\", "\0", "c1\0",
    "\ud800", "\U0010ffff", "*", "t' UNION SELECT 1,2,3 --", "$$", ":x", "%(x)s", "?", "\n",
    "c" * 5000,
)  # fmt: skip


@pytest.fixture(params=["as it is", "a few rows at a time"])
def bounds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds of what is looked at, and such that each question meets them."""
    if request.param != "as it is":
        monkeypatch.setattr(walking, "_STEPS", (2, 11))
        monkeypatch.setattr(queue, "FEW_MAX", 20)
        monkeypatch.setattr(queue, "COUNTED_MAX", 15)
        monkeypatch.setattr(filters, "PREFIX_ROWS_MAX", 30)


def all_of(page_of: Any, limit: int) -> list[Any]:
    """Every page, one after the other."""
    items, cursor, pages = [], None, 0
    while True:
        page = page_of(cursor, limit)
        assert len(page.items) <= limit
        items += page.items
        cursor, pages = page.next, pages + 1
        if cursor is None:
            return items
        assert pages < 2000


def ids_of(searcher: StoreSearcher, found_by: Filter, limit: int = 50) -> list[str]:
    lines = all_of(lambda cursor, n: searcher.search(found_by, cursor, n), limit)
    return [line.transaction_id for line in lines]


def ids_in_world(found_by: Filter) -> list[str]:
    return [p.decision.transaction_id for p in WORLD.found(found_by)]


times = st.none() | st.integers(START_MS - HOUR_MS, END_MS + HOUR_MS)
FILTERS = st.builds(
    lambda entity, **given: Filter(*(entity or (None, None)), **given),
    entity=st.none() | st.sampled_from(
        [*(("card", c) for c in CARDS), *(("merchant", m) for m in MERCHANTS), ("device", ""),
         ("customer", "u1"), ("account", "a1"), ("counterparty", "none")]
    ),
    first_ms=times,
    last_ms=times,
    actions=st.sets(st.sampled_from(["APPROVE", "STEP_UP", "REVIEW", "DECLINE", "?"])).map(tuple),
    score_min=st.none() | st.integers(0, 1000),
    score_max=st.none() | st.integers(0, 1000),
    reason=st.none() | st.sampled_from([*CODES, "amount", "new_country", "base_rate", "score"]),
    rule=st.none() | st.sampled_from([*RULES, "s1"]),
    country=st.none() | st.sampled_from(["FR", "NG", "'", "", "DE"]),
    text=st.none() | st.sampled_from(["", "t", "t_", "T-1", "c", "c1", "d", "m", "C", "<img", "é"]),
)  # fmt: skip
ONE_BY_ONE = [
    Filter(), Filter("card", "c1"), Filter("merchant", "m1"), Filter("device", ""),
    Filter("customer", "u2"), Filter("account", "a1"), Filter("counterparty", "x"),
    Filter(first_ms=START_MS + 9 * DAY_MS), Filter(last_ms=START_MS + 9 * DAY_MS),
    Filter(actions=("DECLINE",)), Filter(actions=("APPROVE", "STEP_UP")), Filter(score_min=900),
    Filter(score_min=100, score_max=105), Filter(reason="amount"), Filter(reason="score"),
    Filter(rule="r%"), Filter(country="NG"), Filter(country=""), Filter(text="t1"),
    Filter(text="c"), Filter(text="m1"), Filter(text="d2"), Filter(score_max=10**30),
    Filter(first_ms=-(10**30)), Filter(score_min=600, actions=("REVIEW",)),
]  # fmt: skip


@pytest.mark.parametrize("found_by", ONE_BY_ONE, ids=str)
@pytest.mark.parametrize("limit", [3, 200])
@pytest.mark.usefixtures("bounds")
def test_paging_visits_each_decision_once_the_newest_first(
    searcher: StoreSearcher, found_by: Filter, limit: int
) -> None:
    assert ids_of(searcher, found_by, limit) == ids_in_world(found_by)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(found_by=FILTERS, limit=st.sampled_from([3, 50]))
def test_any_filter_finds_what_it_says(
    searcher: StoreSearcher, found_by: Filter, limit: int
) -> None:
    assert ids_of(searcher, found_by, limit) == ids_in_world(found_by)


def test_a_line_shows_the_decision_as_it_was_written(searcher: StoreSearcher) -> None:
    for line in all_of(lambda cursor, n: searcher.search(Filter(), cursor, n), 200):
        paid = WORLD.by_id[line.transaction_id]
        for name in ("card_id", "merchant_id", "device_id", "country", "amount_base_minor"):
            assert getattr(line, name) == paid.columns[name]
        assert (line.action, line.score) == (paid.decision.action, paid.decision.score)
        assert (line.reason, line.is_fraud) == (paid.shown, paid.is_fraud)
        assert line.reason_text
        assert "_" not in line.reason_text.replace("100%_sure", "")


def test_a_decision_is_told_whole(searcher: StoreSearcher) -> None:
    for paid in WORLD.paid[::60]:
        shown = searcher.decision(paid.decision.transaction_id)
        assert shown is not None
        d = paid.decision
        assert (shown.codes, shown.rule_hits) == (list(d.codes), list(d.rule_hits))
        assert [r.log_odds for r in shown.reasons] == [r.log_odds for r in d.reasons]
        assert shown.features == {"a": 1.5, "b": None}
        assert (shown.versions["model"], shown.members) == (d.versions.model, d.members)
        assert shown.transaction == {k: v for k, v in paid.columns.items() if v is not None}
        assert len(shown.labels) == paid.labels
        if shown.labels:
            assert shown.labels[0].is_fraud is paid.is_fraud
    assert searcher.decision("nobody's") is None


def test_what_a_rule_gave_as_the_reason_is_told_by_the_rules_name(opened: Any) -> None:
    of_model = {
        p.decision.transaction_id: {reason.code for reason in p.decision.reasons}
        for p in WORLD.paid
    }
    codes = {code for p in WORLD.paid for code in p.decision.codes}
    names = dict.fromkeys(codes, "Named so")
    with closing(StoreSearcher(opened(), rule_names=lambda: names)) as searcher:
        lines = searcher.search(Filter(), None, 200).items
        lines += [one.line for one in searcher.alerts(Filter(), "open", None, 200).items]
        lines += [one.line for n in (0, 50) if (one := searcher.decision(lines[n].transaction_id))]
        card = next(line.card_id for line in lines if line.card_id)
        shown = searcher.entity("card", card)
        lines += shown.history if shown else []
    told = {(line.reason_text == "Named so") for line in lines}
    assert told == {True, False}
    for line in lines:
        is_rules = line.reason in codes - of_model[line.transaction_id]
        assert (line.reason_text == "Named so") is is_rules, line


def test_features_of_an_unknown_catalog_are_not_named(opened: Any) -> None:
    for names in ({}, {"catalog": ("only one",)}):
        with closing(StoreSearcher(opened(), names=names.get)) as searcher:
            shown = searcher.decision(WORLD.paid[0].decision.transaction_id)
            assert shown is not None
            assert shown.features == {}


@pytest.mark.parametrize(("kind", "name"), [("card", "c1"), ("customer", "u1"), ("device", "")])
def test_the_newest_of_an_entity(searcher: StoreSearcher, kind: Any, name: str) -> None:
    shown = searcher.newest_of(kind, name)
    assert shown is not None
    assert shown.line.transaction_id == WORLD.of(kind, name)[0].decision.transaction_id
    assert searcher.newest_of(kind, "nobody") is None


def queue_in_world(found_by: Filter, statuses: dict[str, str], status: str | None) -> list[str]:
    meant = [
        p
        for p in WORLD.found(found_by)
        if p.decision.action != "APPROVE"
        and status in (None, statuses.get(p.decision.transaction_id, "open"))
    ]
    meant.sort(key=lambda p: (p.expected_loss, p.decision.sequence), reverse=True)
    return [p.decision.transaction_id for p in meant]


@pytest.mark.parametrize("found_by", ONE_BY_ONE, ids=str)
@pytest.mark.usefixtures("bounds")
def test_the_queue_is_ordered_by_expected_loss(searcher: StoreSearcher, found_by: Filter) -> None:
    items = all_of(lambda cursor, n: searcher.alerts(found_by, "open", cursor, n), 9)
    expected = queue_in_world(found_by, {}, "open")
    assert [item.line.transaction_id for item in items] == expected
    assert {item.status for item in items} <= {"open"}
    losses = [item.expected_loss_base_minor for item in items]
    assert losses == [WORLD.by_id[i].expected_loss for i in expected]


@pytest.mark.parametrize("found_by", ONE_BY_ONE, ids=str)
def test_the_queue_says_how_many_are_open_and_what_they_amount_to(
    searcher: StoreSearcher, found_by: Filter
) -> None:
    page = searcher.alerts(found_by, None, None, 5)
    ids = queue_in_world(found_by, {}, "open")
    amounts = [WORLD.by_id[i].columns["amount_base_minor"] or 0 for i in ids]
    assert (page.total_count, page.total_base_minor) == (len(ids), sum(amounts))


def test_an_alert_that_was_moved_on_leaves_the_queue(opened: Any, searcher: StoreSearcher) -> None:
    ids = queue_in_world(Filter(), {}, "open")
    moved = dict.fromkeys(ids[::3], "closed") | dict.fromkeys(ids[1::3], "claimed")
    with closing(AlertStatuses(opened(is_writing=True))) as statuses:
        for status in ("closed", "claimed"):
            some = [i for i, s in moved.items() if s == status]
            assert statuses.move([*some, "nobody's"], status) == len(some)
        assert [statuses.status_of(i) for i in (ids[0], ids[1], ids[2], "nobody's")] == [
            "closed", "claimed", "open", None,
        ]  # fmt: skip
        try:
            for asked in ("open", "closed", "claimed", None):
                items = all_of(lambda c, n: searcher.alerts(Filter(), asked, c, n), 20)  # noqa: B023
                found = [item.line.transaction_id for item in items]
                assert found == queue_in_world(Filter(), moved, asked)
                assert all(
                    item.status == moved.get(i, "open")
                    for i, item in zip(found, items, strict=True)
                )
            total = searcher.alerts(Filter(), "closed", None, 1).total_count
            assert total == len(ids) - len(moved)
        finally:
            statuses.move(ids, "open")


def test_what_a_case_says_prevails_over_what_the_store_says(opened: Any) -> None:
    first, second, third = queue_in_world(Filter(), {}, "open")[:3]
    cases = {first: ("closed", "k1"), second: ("claimed", "k2"), third: ("open", "k3")}
    with closing(StoreSearcher(opened(), cases_of=lambda ids: cases)) as searcher:  # type: ignore[arg-type,return-value]
        items = searcher.alerts(Filter(), "open", None, 10).items
        assert [(i.line.transaction_id, i.case_id) for i in items[:1]] == [(third, "k3")]
        both = searcher.alerts(Filter(), None, None, 2).items
        assert [(i.status, i.case_id) for i in both] == [("closed", "k1"), ("claimed", "k2")]


@pytest.mark.usefixtures("bounds")
@pytest.mark.parametrize("reason", [None, "why1", "' OR 1=1", "\0"])
def test_dead_letters_are_paged_the_newest_first(
    searcher: StoreSearcher, reason: str | None
) -> None:
    found, cursor = [], None
    while True:
        items, cursor = searcher.dead_letters(reason, cursor, 7)
        found += items
        if cursor is None:
            break
    meant = [one for one in WORLD.letters[::-1] if reason in (None, one.reason)]
    assert [one.sequence for one in found] == [one.sequence for one in meant]
    assert {one.payload for one in found} <= {"{\\xff\0"}


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_odd_texts_find_nothing_and_harm_nothing(searcher: StoreSearcher, odd: str) -> None:
    for given_ in (
        {"entity_kind": "card", "entity_id": odd}, {"reason": odd}, {"rule": odd},
        {"country": odd}, {"text": odd}, {"actions": (odd,)},
    ):  # fmt: skip
        found_by = Filter(**given_)
        expected = ids_in_world(found_by)  # "c%" is what one card begins with
        assert ids_of(searcher, found_by) == expected
        assert expected == [] or odd in ("c%", "c_")
        queued = [i.line.transaction_id for i in searcher.alerts(found_by, "open", None, 9).items]
        assert queued == queue_in_world(found_by, {}, "open")[:9]
    assert searcher.alerts(Filter(), odd, None, 9).items == []
    assert searcher.decision(odd) is None
    assert searcher.newest_of("card", odd) is None
    assert searcher.entity("merchant", odd) is None
    assert searcher.labels(odd) == []
    with pytest.raises(InputError, match="cursor"):
        searcher.search(Filter(), odd, 9)
    assert len(ids_of(searcher, Filter(), 200)) == len(WORLD.paid)


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "====", "é", "A" * 40, "A" * 200, cursor_of(b"a", (1, 2)),
     cursor_of(b"d", (1, 2))[:-1], cursor_of(b"d", (1, 2)) + "A",
     cursor_of(b"d", (1, 2)).replace("A", "B", 1)],
)  # fmt: skip
def test_a_cursor_that_was_not_given_is_refused(searcher: StoreSearcher, cursor: str) -> None:
    with pytest.raises(InputError, match="cursor"):
        searcher.search(Filter(), cursor, 9)


def test_half_an_entity_is_refused(searcher: StoreSearcher) -> None:
    for half in (Filter("card"), Filter(entity_id="c1")):
        with pytest.raises(InputError, match="go together"):
            searcher.search(half, None, 9)


def test_an_entity_of_another_kind_is_not_found(searcher: StoreSearcher) -> None:
    assert searcher.entity("device", "c1") is None


def test_reading_cannot_write(opened: Any) -> None:
    with closing(AlertStatuses(opened())) as statuses, pytest.raises(UnreachableError):
        statuses.move([WORLD.paid[0].decision.transaction_id], "closed")


def test_a_store_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with closing(StoreSearcher(sqlite(tmp_path / "none"))) as searcher:
        with pytest.raises(UnreachableError, match="none"):
            searcher.search(Filter(), None, 9)
        SqliteStore(tmp_path / "none").close()
        assert searcher.search(Filter(), None, 9).items == []
    dsn = "postgresql://somebody:secret@127.0.0.1:1/x"
    with (
        closing(StoreSearcher(postgres(dsn))) as searcher,
        pytest.raises(UnreachableError) as raised,
    ):
        searcher.search(Filter(), None, 9)
    assert "secret" not in str(raised.value)
