"""What people change takes effect in the worker, and only what they may change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alcyon.codecs.decisions import decode
from alcyon.domain.control import SetRules, encode_control
from alcyon.domain.decision import Decision
from alcyon.domain.errors import AccessError, ConflictError, InputError, ModelError
from alcyon.domain.label import LABEL_COLUMNS
from alcyon.domain.moves import MoveState, Wanted
from alcyon.domain.office.access import Caller, Role
from alcyon.domain.record import Topic
from alcyon.io.log import EmbeddedCommits, EmbeddedSource
from alcyon.runners.learning.teaching import record
from alcyon.runners.serving import backtesting
from alcyon.runners.serving.controlling import Controlling
from tests.runners.desk import Desk
from tests.runners.working import BOOTSTRAP, RULES, Generator, load_model, rule

ADA = Caller("ada", Role.ANALYST, "ada")
BANK = Caller("key:k1", Role.INGEST, "root")
CARD_NUMBER = "4111111111111111"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with closing(Desk(tmp_path)) as desk:
        traffic = Generator(5).traffic(700)
        desk.append([r for r in traffic if r[0] is not Topic.CONTROL or r[1] in BOOTSTRAP])
        desk.decide()
        yield desk


@pytest.fixture
def controlling(desk: Desk) -> Controlling:
    return desk.controlling(desk.store().decisions_between)


def decisions(desk: Desk) -> list[Decision]:
    with closing(EmbeddedCommits(desk.folder / "decisions")) as log:
        return [d for commit in log.read(0, 10**6) for d in decode(commit.decisions)]


def appended(desk: Desk, topic: Topic) -> list[bytes]:
    with closing(EmbeddedSource(desk.folder / "intake")) as source:
        source.seek(0)
        return [r.payload for r in source.poll(10**6, 0) if r.topic is topic]


def test_what_is_in_force_is_shown(controlling: Controlling) -> None:
    shown = controlling.in_force()
    assert [r["id"] for r in shown["rules"]["rules"]] == ["abroad", "blocked"]
    assert shown["rules"]["rules"][0]["action"] == "REVIEW"
    assert shown["rules_text"].count("[[rule]]") == 2
    assert shown["versions"]["model"] == load_model("m1").version
    assert shown["policy"]["segments"]["default"]["review_ppm"] == 20_000
    names = shown["names"]
    assert "country" in names["column"]
    assert "card_count_10m" in names["feature"]
    assert "score" in names["score"]
    assert "listed" in names["function"]
    assert msgspec.json.encode(shown)


def test_problems_are_told_by_line(controlling: Controlling) -> None:
    wrong = controlling.validate(RULES[0] + rule("bad", "contry = 'JP'", "REVIEW"))
    assert [(w["rule"], w["line"]) for w in wrong] == [("bad", 20)]
    assert controlling.validate(RULES[1]) == []


def test_rules_that_are_applied_decide(desk: Desk, controlling: Controlling) -> None:
    text = rule("cheap", "amount_minor < 300", "DECLINE")
    outcome = controlling.apply("rules", {"text": text}, ADA, "too many cheap ones")
    assert outcome["rules"] == controlling.in_force()["rules"]["version"]
    before = len(decisions(desk))
    desk.append(_transactions("n", 40))
    desk.decide()
    new = decisions(desk)[before:]
    assert {d.rule_hits for d in new} == {("cheap",)}
    assert {d.action for d in new} == {"DECLINE"}


def _transactions(mark: str, count: int) -> list[tuple[Topic, bytes]]:
    payload = {
        "event_time": 1_700_009_000_000, "amount_minor": 200, "currency": "EUR",
        "card_id": "c1", "country": "DE", "merchant_id": "m1",
    }  # fmt: skip
    return [
        (Topic.TRANSACTIONS, msgspec.json.encode({**payload, "transaction_id": f"{mark}{i}"}))
        for i in range(count)
    ]


@pytest.mark.parametrize(
    "change", [{}, {"text": 5}, {"text": "", "more": 1}, {"text": "[[rule]]"}, {"text": "x = 1"}]
)
def test_rules_that_are_none_are_refused(
    desk: Desk, controlling: Controlling, change: dict[str, Any]
) -> None:
    before = appended(desk, Topic.CONTROL)
    for attempt in (controlling.prepared, lambda k, c: controlling.apply(k, c, ADA, "")):
        with pytest.raises(InputError):
            attempt("rules", change)
    assert appended(desk, Topic.CONTROL) == before


def test_an_entry_of_a_list_decides_until_it_is_taken_off(
    desk: Desk, controlling: Controlling
) -> None:
    entry = {"name": "block", "column": "card_id", "value": "c1", "expires_at": None}
    controlling.apply("list", entry, ADA, "stolen")
    assert controlling.in_force()["lists"]["entries"] == [entry]
    desk.append(_transactions("a", 1))
    controlling.apply("list", {**entry, "is_removal": True}, ADA, "found again")
    assert controlling.in_force()["lists"]["entries"] == []
    desk.append(_transactions("b", 1))
    desk.decide()
    hits = {d.transaction_id: d.rule_hits for d in decisions(desk)[-2:]}
    assert hits == {"a0": ("blocked",), "b0": ()}


def test_a_card_number_on_a_list_is_replaced_before_it_is_kept(
    desk: Desk, controlling: Controlling
) -> None:
    entry = {"name": "block", "column": "card_id", "value": "4111 1111 1111 1111"}
    prepared = controlling.prepared("list", entry)
    assert prepared["value"].startswith("k1_")
    controlling.apply("list", entry, ADA, "")
    assert not any(b"4111" in payload for payload in appended(desk, Topic.CONTROL))


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "grey"}, {"column": "amount_minor"}, {"column": "nothing"}, {"value": ""},
        {"value": 5}, {"value": "x" * 201}, {"expires_at": "soon"}, {"expires_at": -1},
        {"expires_at": True}, {"is_removal": "yes"}, {"extra": 1},
    ],
)  # fmt: skip
def test_an_entry_that_is_none_is_refused(
    controlling: Controlling, changed: dict[str, Any]
) -> None:
    entry = {"name": "block", "column": "card_id", "value": "c1"} | changed
    with pytest.raises(InputError):
        controlling.prepared("list", entry)
    with pytest.raises(InputError):
        controlling.apply("list", entry, ADA, "")


def test_a_promotion_swaps_the_model_and_a_roll_back_takes_it_back(
    desk: Desk, controlling: Controlling
) -> None:
    evidence = controlling.evidence("promotion", {"model": "m2"})
    assert evidence is not None
    assert list(evidence["models"]) == ["m1", "m2"]
    outcome = controlling.apply("promotion", {"model": "m2"}, ADA, "better")
    assert outcome["move"]["wanted"]["by"] == "ada"
    desk.append(_transactions("a", 1))
    assert controlling.models()["champion"] == "m2"
    controlling.apply("roll_back", {}, ADA, "worse")
    assert controlling.models()["champion"] == "m1"
    desk.append(_transactions("b", 1))
    desk.decide()
    assert [d.versions.model for d in decisions(desk)[-2:]] == [
        load_model("m2").version, load_model("m1").version,
    ]  # fmt: skip


def test_a_challenger_is_scored_beside(desk: Desk, controlling: Controlling) -> None:
    controlling.apply("challenger", {"model": "m2"}, ADA, "a look")
    assert controlling.in_force()["versions"]["challenger"] == load_model("m2").version
    desk.append(_transactions("a", 1))
    desk.decide()
    newest = decisions(desk)[-1]
    assert newest.challenger is not None
    shown = controlling.models()
    assert (shown["challenger"], [m["name"] for m in shown["models"]]) == ("m2", ["m2", "m1"])


def test_a_model_that_cannot_be_had_moves_nothing(controlling: Controlling) -> None:
    for attempt in (controlling.prepared, lambda k, c: controlling.apply(k, c, ADA, "")):
        with pytest.raises(ModelError):
            attempt("promotion", {"model": "m9"})
        with pytest.raises(InputError):
            attempt("promotion", {})
    assert controlling.models()["champion"] == "m1"
    with pytest.raises(InputError, match="no champion before"):
        controlling.apply("roll_back", {}, ADA, "")


def test_of_two_promotions_at_once_one_is_refused(desk: Desk, controlling: Controlling) -> None:
    desk.registry.begin_move(Wanted("champion", "m2", 1, by="bob"))
    moves = desk.registry.moves("champion")
    assert moves[-1].state is MoveState.UNDER_WAY
    means = replace(controlling.means, now_ms=lambda: moves[-1].at + 1)
    with pytest.raises(ConflictError, match="bob"):
        Controlling(means).apply("promotion", {"model": "m2"}, ADA, "")


def test_labels_reach_the_log_with_an_author_and_an_id(
    desk: Desk, controlling: Controlling
) -> None:
    label = dict.fromkeys(LABEL_COLUMNS) | {
        "transaction_id": "t5", "is_fraud": True, "source": "analyst",
    }  # fmt: skip
    label.pop("author")
    assert controlling.label([label], ADA) == 1
    written = msgspec.json.decode(appended(desk, Topic.LABELS)[-1])
    assert written.pop("label_id").startswith("l-")
    assert written == {
        "transaction_id": "t5", "is_fraud": True, "source": "analyst", "author": "ada",
        "labelled_at": 1_700_000_000_000,
    }  # fmt: skip


def test_a_label_that_is_sent_again_is_the_same(desk: Desk, controlling: Controlling) -> None:
    label = {"transaction_id": "t5", "is_fraud": True, "source": "issuer", "labelled_at": 17**10}
    controlling.label([label], BANK)
    controlling.label([label], BANK)
    controlling.label([label | {"is_fraud": False}], BANK)
    one, two, other = [msgspec.json.decode(p) for p in appended(desk, Topic.LABELS)[-3:]]
    assert one == two
    assert other["label_id"] != one["label_id"]


@pytest.mark.parametrize(
    ("by", "source"),
    [(ADA, "chargeback"), (ADA, "issuer"), (ADA, "rule"), (BANK, "analyst"), (BANK, "rule"),
     (Caller("root", Role.ADMIN, "root"), "chargeback")],
)  # fmt: skip
def test_nobody_says_what_is_not_theirs_to_say(
    desk: Desk, controlling: Controlling, by: Caller, source: str
) -> None:
    before = appended(desk, Topic.LABELS)
    good = "issuer" if by.role is Role.INGEST else "analyst"
    labels = [{"transaction_id": "t1", "is_fraud": True, "source": s} for s in (good, source)]
    with pytest.raises(AccessError, match="label 2"):
        controlling.label(labels, by)
    assert appended(desk, Topic.LABELS) == before


def test_a_label_that_is_none_is_named_and_none_is_written(
    desk: Desk, controlling: Controlling
) -> None:
    before = appended(desk, Topic.LABELS)
    good = {"transaction_id": "t1", "is_fraud": True, "source": "analyst"}
    for bad in ({"transaction_id": ""}, {"is_fraud": "maybe"}, {"labelled_at": 5}, {"who": "me"}):
        with pytest.raises(InputError, match="label 2"):
            controlling.label([good, good | bad], ADA)
    assert appended(desk, Topic.LABELS) == before


def test_a_card_number_in_a_label_is_replaced(desk: Desk, controlling: Controlling) -> None:
    label = {
        "transaction_id": CARD_NUMBER, "label_id": CARD_NUMBER, "is_fraud": True,
        "source": "analyst", "fraud_type": f"stolen {CARD_NUMBER}",
    }  # fmt: skip
    controlling.label([label], ADA)
    assert CARD_NUMBER.encode() not in appended(desk, Topic.LABELS)[-1]


@pytest.mark.parametrize(
    "when",
    [
        "country = 'JP'",
        "country = 'JP' OR country IS NULL",
        "country <> 'DE' AND amount_minor > 50000",
        "card_count_10m > 2 AND score > 300",
        "listed('block', card_id) OR probability_ppm > 100000",
        "xgboost > 0.1",
        "card_std_amount_base_minor_1h_prior IS NULL",
    ],
)
def test_a_backtest_hits_what_the_rule_hit_in_shadow(when: str, tmp_path: Path) -> None:
    """The oracle is the worker, which had the rule in shadow all along."""
    text = rule("tried", when, "REVIEW")
    shadow = SetRules(RULES[0] + text.replace('"live"', '"shadow"'))
    with closing(Desk(tmp_path)) as desk:
        traffic = [r for r in Generator(5).traffic(700) if r[0] is not Topic.CONTROL]
        controls = [c for c in BOOTSTRAP if b'"rules"' not in c] + [encode_control(shadow)]
        desk.append([(Topic.CONTROL, c) for c in controls] + traffic)
        desk.decide()
        store = desk.store()
        found = desk.controlling(store.decisions_between).backtest(text, "tried", 1)
        every = {d.transaction_id: d for d in reversed(decisions(desk))}
        hits = {i: d for i, d in every.items() if "tried" in d.shadow_hits}
        labels = [desk.labels_of(i) for i in hits]
    assert 0 < found["hits"] == len(hits) < found["scanned"] == len(every)
    assert found["is_whole"]
    assert found["not_recorded"] == []
    assert set(found["sample"]) <= set(hits)
    assert found["stopped_already"] == sum(d.action != "APPROVE" for d in hits.values())
    assert found["labelled"] == sum(map(bool, labels)) > 0
    assert found["frauds"] == sum(given[0].is_fraud for given in labels if given)


def test_a_backtest_says_what_it_did_not_look_at(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backtesting, "SCANNED_MAX", 30)
    controlling = desk.controlling(desk.store().decisions_between)
    text = rule("moved", "card_previous_country = 'JP' OR amount_minor >= 0", "REVIEW")
    found = controlling.backtest(text, "moved", 90)
    assert (found["scanned"], found["hits"], found["is_whole"]) == (30, 30, False)
    assert found["not_recorded"] == ["card_previous_country"]
    with pytest.raises(InputError, match="no rule other"):
        controlling.backtest(text, "other", 1)


def test_a_backtest_of_an_empty_store_finds_nothing(tmp_path: Path) -> None:
    with closing(Desk(tmp_path)) as desk:
        desk.append([(Topic.CONTROL, c) for c in BOOTSTRAP])
        found = desk.controlling(lambda first, last, limit: []).backtest(RULES[0], "abroad", 7)
    assert (found["scanned"], found["hits"], found["is_whole"]) == (0, 0, True)


def test_what_the_learner_found_is_shown(desk: Desk, controlling: Controlling) -> None:
    class Left(msgspec.Struct):
        evidence: dict[str, int]

    class Gone(msgspec.Struct):
        departure: dict[str, str]

    folder = desk.folder / "learner"
    record(folder, "100-m2", Left({"frauds": 1}))
    record(folder, "200-m2", Left({"frauds": 2}))
    record(folder, "300-m1", Left({"frauds": 3}))
    record(folder, "150-roll-back", Gone({"kind": "declines"}))
    (folder / "400-m2.json").write_text("{")
    (folder / "notes.json").write_text("{}")
    controlling.apply("challenger", {"model": "m2"}, ADA, "")
    shown = controlling.models()
    assert shown["comparison"] == {"model": "m2", "at": 200, "evidence": {"frauds": 2}}
    assert shown["drift"] == [{"at": 150, "departure": {"kind": "declines"}}]
    evidence = controlling.evidence("promotion", {"model": "m1"})
    assert evidence is not None
    assert evidence["finding"]["evidence"] == {"frauds": 3}
