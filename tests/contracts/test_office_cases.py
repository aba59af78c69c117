"""What every office does about cases and its outbox, whatever keeps it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alcyon.domain.errors import ConflictError, InputError, LogError
from alcyon.domain.office.access import Role
from alcyon.domain.office.cases import CaseLine, CaseStatus, Raising
from alcyon.domain.office.delivery import (
    LABELS,
    LEASE_MS,
    MAIL,
    RESOLUTIONS,
    SLACK,
    STATUSES,
    Parcel,
)
from alcyon.io.office import SqlOffice
from alcyon.io.office.terms import OfficeTerms
from alcyon.runners.projections.retelling import retold
from tests.contracts.officing import KINDS, START, Opened, open_cases, opened, person, raised

ADA, BOB, LEAD = person("ada"), person("bob"), person("lea", Role.LEAD)
MINUTE_MS, DAY_MS = 60_000, 86_400_000


@pytest.fixture(params=KINDS)
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    with opened(request.param, tmp_path, request) as made:
        yield made


@pytest.fixture
def office(at: Opened) -> SqlOffice:
    return at.office(OfficeTerms(alert_targets=(SLACK, MAIL)))


def told(office: SqlOffice, target: str) -> list[dict[str, Any]]:
    """What waits for a target, which then has it."""
    parcel = office.outbox.take(target, 0)
    if parcel is None:
        return []
    office.outbox.sent(parcel)
    return [msgspec.json.decode(message.body) for message in parcel.messages]


def test_one_open_case_per_card_groups_its_alerts(office: SqlOffice) -> None:
    first = raised("t1", 1, 100), raised("t2", 2, 50), raised("t3", 3, 400, card_id="c2")
    cases = open_cases(office, *first, raised("t4", 4, 7, card_id=None))
    assert [(c.card_id, c.alert_count, c.expected_loss_base_minor) for c in cases] == [
        ("c2", 1, 400), ("c1", 2, 150), ("transaction:t4", 1, 7),
    ]  # fmt: skip
    cases = open_cases(office, raised("t5", 5, 300))
    assert [(c.card_id, c.alert_count) for c in cases[:2]] == [("c1", 3), ("c2", 1)]
    case = office.case(cases[0].case_id)
    assert case is not None
    assert [a.line.transaction_id for a in case.alerts] == ["t1", "t2", "t5"]
    assert {(a.status, a.case_id) for a in case.alerts} == {("open", cases[0].case_id)}
    assert [e.what for e in case.history] == ["opened", "alert", "alert"]
    assert office.case("nonesuch") is None


def test_an_alert_is_in_one_case_whatever_is_repeated(office: SqlOffice, at: Opened) -> None:
    alert = raised("t1")
    before = open_cases(office, alert, raised("t1", 9, 999))
    assert [(c.alert_count, c.expected_loss_base_minor) for c in before] == [(1, 100)]
    again = Raising(0, [b"\x01" * 32], [alert])
    assert office.open_cases(again) == at.office().open_cases(again) == 0
    assert open_cases(office, alert) == before
    assert len(told(office, SLACK)) == 1
    office.close_case(ADA, before[0].case_id, "genuine", "release", "")
    assert open_cases(office, alert)[0].status == "closed"


def test_a_gap_in_the_log_is_refused(office: SqlOffice) -> None:
    open_cases(office, raised("t1"))
    with pytest.raises(LogError, match="cannot follow"):
        office.open_cases(Raising(2, [b""], [raised("t2")]))
    assert office.next_index() == 1


def test_cases_are_paged_by_loss_without_gaps(office: SqlOffice) -> None:
    losses = [5, 5, 5, 1, 9, 0, 5]
    alerts = [raised(f"t{i}", i, loss, card_id=f"c{i}") for i, loss in enumerate(losses)]
    whole = open_cases(office, *alerts)
    found, cursor = [], None
    while True:
        page = office.cases("open", None, cursor, 2)
        found += page.items
        cursor = page.next
        if cursor is None:
            break
    assert found == whole
    assert [c.expected_loss_base_minor for c in whole] == sorted(losses, reverse=True)
    for bad in ("x", "é", "MSAy IDM=", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OSBh"):
        with pytest.raises(InputError, match="cursor"):
            office.cases(None, None, bad, 2)


def test_of_all_who_claim_at_once_one_has_it(at: Opened) -> None:
    offices = [at.office(), at.office()]
    (case,) = open_cases(offices[0], raised("t1"))

    def claim(i: int) -> str | None:
        try:
            return offices[i % 2].claim(person(f"p{i}"), case.case_id).claimed_by
        except ConflictError:
            return None

    with ThreadPoolExecutor(10) as pool:
        winners = [name for name in pool.map(claim, range(10)) if name]
    assert len(winners) == 1
    found = offices[1].cases("claimed", winners[0], None, 9).items
    assert [c.case_id for c in found] == [case.case_id]
    shown = offices[0].case(case.case_id)
    assert shown is not None
    assert [e.what for e in shown.history] == ["opened", "claimed"]


def test_who_has_a_case_keeps_others_out_until_it_is_released(office: SqlOffice) -> None:
    (case,) = open_cases(office, raised("t1"))
    office.claim(ADA, case.case_id)
    assert office.claim(ADA, case.case_id).claimed_by == "ada"
    refusals: list[Callable[[], object]] = [
        lambda: office.claim(BOB, case.case_id),
        lambda: office.release(BOB, case.case_id),
        lambda: office.close_case(BOB, case.case_id, "fraud", "cancel", ""),
    ]
    for refused in refusals:
        with pytest.raises(ConflictError, match="ada"):
            refused()
    assert office.release(ADA, case.case_id).status == "open"
    assert office.claim(BOB, case.case_id).claimed_by == "bob"
    assert office.release(LEAD, case.case_id).claimed_by is None


@pytest.mark.parametrize("finding", ["fraud", "genuine", "undetermined"])
def test_closing_labels_and_resolves_in_one_commit(office: SqlOffice, finding: Any) -> None:
    alerts = raised("t1"), raised("t2", 2, action="DECLINE", event_time=START + 5)
    (case,) = open_cases(office, *alerts)
    closed = office.close_case(ADA, case.case_id, finding, "cancel", "rang 4111111111111111")
    assert (closed.status, closed.finding, closed.resolution) == ("closed", finding, "cancel")
    labels = told(office, LABELS)
    if finding == "undetermined":
        assert labels == []
    else:
        assert [(x["transaction_id"], x["is_fraud"], x["source"], x["author"]) for x in labels] == [
            (t, finding == "fraud", "analyst", "ada") for t in ("t1", "t2")
        ]
        assert labels[1]["labelled_at"] >= START + 5
        assert len({x["label_id"] for x in labels}) == 2
    (resolution,) = told(office, RESOLUTIONS)
    assert (resolution["transaction_id"], resolution["resolution"], resolution["by"]) == (
        "t1", "cancel", "ada",
    )  # fmt: skip
    shown = office.case(case.case_id)
    assert shown is not None
    assert "4111111111111111" not in str(shown)
    assert shown.alerts[0].line.is_fraud is {"fraud": True, "genuine": False}.get(finding)
    assert office.audit(None, 1).items[0].what == "case_closed"
    too_late: list[Callable[[], object]] = [
        lambda: office.claim(ADA, case.case_id),
        lambda: office.close_case(ADA, case.case_id, "fraud", "cancel", ""),
    ]
    for late in too_late:
        with pytest.raises(ConflictError, match="closed"):
            late()
    cases = open_cases(office, raised("t3", 3))
    assert {(c.card_id, c.status) for c in cases} == {("c1", "closed"), ("c1", "open")}


def test_the_queue_is_told_what_became_of_each_alert(office: SqlOffice) -> None:
    (case,) = open_cases(office, raised("t1"), raised("t2", 2))
    assert told(office, STATUSES) == [], "alerts begin open"
    office.claim(ADA, case.case_id)
    open_cases(office, raised("t3", 3), raised("t4", 4, card_id="c2"))
    office.release(ADA, case.case_id)
    office.close_case(ADA, case.case_id, "genuine", "release", "")
    assert [(x["transaction_ids"], x["status"]) for x in told(office, STATUSES)] == [
        (["t1", "t2"], "claimed"),
        (["t3"], "claimed"),
        (["t1", "t2", "t3"], "open"),
        (["t1", "t2", "t3"], "closed"),
    ]
    assert office.cases_of(["t1", "t3", "nonesuch"]) == dict.fromkeys(
        ("t1", "t3"), ("closed", case.case_id)
    )
    assert office.cases_of(["t4"])["t4"][0] == "open"
    assert office.tell_statuses() == 1
    assert [x["status"] for x in told(office, STATUSES)] == ["closed"]


def test_a_queue_that_was_filled_anew_is_told_again_and_only_then(office: SqlOffice) -> None:
    store = dict[str, CaseStatus]()  # of the alerts that it has

    def arrive() -> None:
        for message in told(office, STATUSES):
            store.update(dict.fromkeys(message["transaction_ids"], message["status"]))

    first, second = open_cases(office, raised("t1", loss=900), raised("t2", 2, card_id="c2"))
    assert retold(office, store.get) == 0  # nothing to tell of
    office.claim(ADA, first.case_id)
    office.close_case(ADA, second.case_id, "undetermined", "release", "")
    empty: dict[str, CaseStatus] = {"t1": "open", "t2": "open"}
    assert retold(office, empty.get) == 0  # it waits in the outbox already
    arrive()
    assert store == {"t1": "claimed", "t2": "closed"}
    assert retold(office, store.get) == 0
    store = {"t1": "open"}  # it is being filled anew
    assert retold(office, store.get) == 0
    store = {"t1": "open", "t2": "open"}
    assert retold(office, store.get) == 2
    assert retold(office, store.get) == 0  # it is on its way
    arrive()
    assert store == {"t1": "claimed", "t2": "closed"}
    assert retold(office, store.get) == 0


def test_reviews_are_not_closed_without_a_word_on_them_and_nothing_is_half_done(
    office: SqlOffice,
) -> None:
    (case,) = open_cases(office, raised("t1"))
    before = office.walk_audit()
    with pytest.raises(InputError, match="release or cancel"):
        office.close_case(ADA, case.case_id, "fraud", None, "note")
    assert office.walk_audit() == before
    assert told(office, LABELS) == []
    cases = open_cases(office, raised("t2", 2, card_id="c2", action="DECLINE"))
    declined = next(c for c in cases if c.card_id == "c2")
    assert office.close_case(ADA, declined.case_id, "fraud", None, "").resolution is None
    assert told(office, RESOLUTIONS) == []


def test_reviews_that_nobody_takes_are_resolved_at_the_deadline_once(at: Opened) -> None:
    office = at.office(OfficeTerms(15 * MINUTE_MS, "release"))
    alerts = [raised("t1"), raised("t2", 2, card_id="c2"), raised("t3", 3, card_id="c3")]
    alerts[2] = raised("t3", 3, card_id="c3", action="DECLINE")
    by_card = {c.card_id: c for c in open_cases(office, *alerts)}
    assert by_card["c1"].due_at == START + 15 * MINUTE_MS
    assert by_card["c3"].due_at is None
    office.claim(ADA, by_card["c2"].case_id)
    at.clock.now += 15 * MINUTE_MS - 1
    assert office.take_deadlines() == 0
    at.clock.now += 1
    assert (office.take_deadlines(), at.office(OfficeTerms(1, "release")).take_deadlines()) == (
        1,
        0,
    )
    (resolution,) = told(office, RESOLUTIONS)
    assert (resolution["transaction_id"], resolution["resolution"], resolution["by"]) == (
        "t1", "release", "alcyon",
    )  # fmt: skip
    shown = office.case(by_card["c1"].case_id)
    assert shown is not None
    assert (shown.case.status, shown.case.resolution) == ("open", "release")
    assert shown.history[-1].what == "resolved"
    # So late that what was sent is forgotten.
    at.clock.now += 8 * DAY_MS
    office.close_case(ADA, by_card["c2"].case_id, "fraud", "cancel", "")
    assert [r["transaction_id"] for r in told(office, RESOLUTIONS)] == ["t2"]
    office.close_case(BOB, by_card["c1"].case_id, "fraud", "cancel", "")
    assert told(office, RESOLUTIONS) == [], "it was released already"
    assert len(told(office, LABELS)) == 2


def test_what_was_not_said_to_have_arrived_is_handed_over_again_as_it_was(
    office: SqlOffice, at: Opened
) -> None:
    open_cases(office, raised("t1"), raised("t2", 2))
    first = office.outbox.take(SLACK, 0)
    assert first is not None
    open_cases(office, raised("t3", 3))
    assert at.office().outbox.take(SLACK, 0) is None, "somebody has it"
    at.clock.now += LEASE_MS
    again = at.office().outbox.take(SLACK, 0)
    assert again is not None
    assert (again.parcel_id, again.messages) == (first.parcel_id, first.messages)
    assert (first.attempts, again.attempts) == (1, 2)
    office.outbox.sent(again)
    assert [m["alert"]["transaction_id"] for m in told(office, SLACK)] == ["t3"]
    assert len(told(office, MAIL)) == 3


def test_a_target_gets_one_parcel_per_window(office: SqlOffice, at: Opened) -> None:
    def taken() -> int | None:
        parcel = office.outbox.take(SLACK, 1000)
        if parcel is None:
            return None
        office.outbox.sent(parcel)
        return len(parcel.messages)

    open_cases(office, raised("t1"))
    assert taken() == 1
    open_cases(office, raised("t2", 2))
    open_cases(office, raised("t3", 3))
    assert taken() is None
    at.clock.now += 1000
    assert (taken(), taken()) == (2, None)


def test_what_fails_waits_and_what_is_new_waits_behind_it_until_it_is_dead(
    office: SqlOffice, at: Opened
) -> None:
    open_cases(office, raised("t1"))
    parcel = office.outbox.take(SLACK, 0)
    assert parcel is not None
    office.outbox.failed(parcel, "503", 5000)
    open_cases(office, raised("t2", 2))
    assert office.outbox.take(SLACK, 0) is None
    at.clock.now += 5000
    parcel = office.outbox.take(SLACK, 0)
    assert parcel is not None
    assert [m.message_id for m in parcel.messages] == ["t1"]
    office.outbox.failed(parcel, "503", None)
    assert office.audit(None, 1).items[0].what == "delivery_given_up"
    assert office.outbox.counts()[SLACK] == {"dead": 1, "waiting": 1}
    assert [m["alert"]["transaction_id"] for m in told(office, SLACK)] == ["t2"]


def test_one_parcel_goes_to_one_of_all_who_ask_at_once(at: Opened) -> None:
    offices = [at.office(OfficeTerms(alert_targets=(SLACK,))) for _ in range(2)]
    open_cases(offices[0], raised("t1"), raised("t2", 2))
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda i: offices[i % 2].outbox.take(SLACK, 0), range(8)))
    assert len([parcel for parcel in taken if isinstance(parcel, Parcel)]) == 1


def test_each_log_has_its_own_cases_in_the_same_store(at: Opened) -> None:
    main, demo = at.office(), SqlOffice(replace(at.place, log="demo"), None, at.clock)
    at.offices.append(demo)
    main._terms = demo._terms = OfficeTerms(alert_targets=(SLACK,))
    assert len(open_cases(main, raised("t1"))) == 1
    assert (demo.next_index(), demo.cases(None, None, None, 9).items) == (None, [])
    assert len(open_cases(demo, raised("t1"))) == 1
    assert len(told(main, SLACK)) == len(told(demo, SLACK)) == 1
    assert main.walk_seals().count == demo.walk_seals().count == 1
    assert (main.outbox.counts(), demo.outbox.counts()) == ({SLACK: {"done": 1}},) * 2


def test_a_case_of_another_log_is_nobodys_though_its_id_is_known(at: Opened) -> None:
    main, demo = at.office(), SqlOffice(replace(at.place, log="demo"), None, at.clock)
    at.offices.append(demo)
    (case,) = open_cases(main, raised("t1"))
    lead, entries = person("ada", Role.LEAD), len(main.audit(None, 99).items)
    assert demo.case(case.case_id) is None
    tries: list[Callable[[], CaseLine]] = [
        lambda: demo.claim(lead, case.case_id),
        lambda: demo.release(lead, case.case_id),
        lambda: demo.note(lead, case.case_id, "mine"),
        lambda: demo.close_case(lead, case.case_id, "fraud", "cancel", ""),
    ]
    for tried in tries:
        with pytest.raises(InputError, match="no case"):
            tried()
    assert told(demo, LABELS) == told(main, LABELS) == []
    assert len(main.audit(None, 99).items) == entries
    kept = main.case(case.case_id)
    assert kept is not None
    assert (kept.case, len(kept.history)) == (case, 1)


def test_seals_chain_the_commits_and_hold_though_a_decision_is_gone(at: Opened) -> None:
    office = at.office()
    seals = [hashlib.sha256(b"%d" % i).digest() * i for i in range(5)]
    office.open_cases(Raising(7, seals[:2], ()))
    office.open_cases(Raising(9, seals[2:], ()))
    walked = office.walk_seals()
    assert (walked.count, walked.broken) == (5, None)
    assert office.seals(8) == dict(enumerate(seals[1:], 8))


@pytest.mark.parametrize(
    ("tampering", "broken"),
    [
        ("UPDATE seals SET digests = (SELECT digests FROM seals WHERE commit_index = 3) "
         "WHERE commit_index = 2", 2),
        ("UPDATE seals SET digest = 'x' WHERE commit_index = 2", 2),
        ("DELETE FROM seals WHERE commit_index = 2", 2),
        ("DELETE FROM seals WHERE commit_index = 4", 4),
        ("DELETE FROM seals", 0),
    ],
)  # fmt: skip
def test_a_seal_that_was_tampered_with_is_named(at: Opened, tampering: str, broken: int) -> None:
    office = at.office()
    office.open_cases(Raising(0, [b"%d" % i * 32 for i in range(5)], ()))
    at.tamper(tampering)
    assert office.walk_seals().broken == broken
