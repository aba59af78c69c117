"""What is scored beside the model that decides, and what is let through to learn from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from alcyon.codecs.decisions import decode
from alcyon.domain.control import CHALLENGER, Control, SetModel, SetPolicy, SetRules, encode_control
from alcyon.domain.decision import CERTAIN_PPM, Decision
from alcyon.domain.record import Topic
from alcyon.scoring.policy import Exploration, Policy, Thresholds
from tests.runners.working import BOOTSTRAP, MEANS, START, Home, rule

DECLINE_ALL = {"default": Thresholds(decline_ppm=0)}


def payment(name: str, card: str = "c", amount: int = 100) -> tuple[Topic, bytes]:
    record = {
        "transaction_id": name, "event_time": START, "amount_minor": amount, "currency": "EUR",
        "card_id": card,
    }  # fmt: skip
    return Topic.TRANSACTIONS, msgspec.json.encode(record)


def decided(
    folder: Path, controls: Sequence[Control], amounts: Sequence[int] = (100,) * 40
) -> list[Decision]:
    """Decisions on payments of one card each, after the bootstrap and these control records."""
    home = Home(folder)
    home.append([(Topic.CONTROL, c) for c in BOOTSTRAP])
    home.append([(Topic.CONTROL, encode_control(c)) for c in controls])
    home.append([payment(f"t{i}", card=f"c{i}", amount=a) for i, a in enumerate(amounts)])
    home.drained()
    return decode(home.decisions())


def exploring(share_ppm: int, amount_max: int, seed: int = 1) -> SetPolicy:
    exploration = Exploration(share_ppm, amount_max, seed)
    policy = Policy(DECLINE_ALL, exploration=exploration)
    return SetPolicy(msgspec.Raw(msgspec.json.encode(policy)))


def test_a_challenger_is_scored_and_stored_and_decides_nothing(tmp_path: Path) -> None:
    alone = decided(tmp_path / "alone", [])
    beside = decided(tmp_path / "beside", [SetModel("m2", CHALLENGER)])
    by_itself = decided(tmp_path / "itself", [SetModel("m2")])
    assert {d.challenger for d in alone} == {None}
    assert [(d.action, d.score, d.reasons) for d in beside] == [
        (d.action, d.score, d.reasons) for d in alone
    ]
    said = [d.challenger for d in beside]
    assert None not in said
    assert [(c.score, c.probability_ppm) for c in said if c] == [
        (d.score, d.probability_ppm) for d in by_itself
    ]
    assert {d.versions.challenger for d in beside} == {MEANS.load_model("m2").version}
    assert {d.versions.model for d in beside} == {MEANS.load_model("m1").version}


def test_a_challenger_that_cannot_be_had_is_refused_and_the_one_before_stays(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path)
    controls = [SetModel("m2", CHALLENGER), SetModel("nowhere", CHALLENGER)]
    home.append([(Topic.CONTROL, c) for c in BOOTSTRAP])
    home.append([(Topic.CONTROL, encode_control(c)) for c in controls])
    home.append([payment("t")])
    home.drained()
    (decision,) = decode(home.decisions())
    assert decision.challenger is not None
    assert [letter.reason for letter in home.dead_letters()] == ["control_refused"]


def test_exploration_lets_a_share_through_and_says_how_likely_it_was(tmp_path: Path) -> None:
    n = 4000
    found = decided(tmp_path, [exploring(50_000, 100)], [100] * n)
    through = [d for d in found if d.action == "APPROVE"]
    # 200 are expected, with a standard deviation of 13.8: five of them are never seen.
    assert abs(len(through) - n * 0.05) < 69
    assert {d.propensity_ppm for d in through} == {50_000}
    assert {d.codes[0] for d in through} == {"explored"}
    assert {d.propensity_ppm for d in found if d.action == "DECLINE"} == {950_000}
    weights = sum(CERTAIN_PPM / d.propensity_ppm for d in through)
    assert weights == pytest.approx(n, rel=0.35), "inverse propensity counts all of them"


def test_exploration_is_capped_and_overrules_no_rule(tmp_path: Path) -> None:
    amounts = [100, 101] * 500
    found = decided(tmp_path / "a", [exploring(50_000, 100)], amounts)
    assert {d.propensity_ppm for d in found[1::2]} == {CERTAIN_PPM}, "too large"
    assert {d.action for d in found[1::2]} == {"DECLINE"}
    ruled: list[Control] = [
        exploring(50_000, 100),
        SetRules(rule("no", "amount_minor > 0", "DECLINE")),
    ]
    found = decided(tmp_path / "b", ruled, amounts)
    assert {(d.action, d.propensity_ppm) for d in found} == {("DECLINE", CERTAIN_PPM)}
    ruled = [exploring(50_000, 100), SetRules(rule("look", "amount_minor > 0", "REVIEW"))]
    found = decided(tmp_path / "c", ruled, amounts)
    assert {d.action for d in found if d.propensity_ppm == 50_000} == {"REVIEW"}


def test_the_same_seed_draws_the_same_and_another_seed_others() -> None:
    ids = [f"t{i}" for i in range(2000)]
    drawn = [np.array([Exploration(50_000, 1, s).draws(i) for i in ids]) for s in (1, 1, 2)]
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] != drawn[2]).any()
