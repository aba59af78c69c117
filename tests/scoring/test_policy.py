from __future__ import annotations

import msgspec
import numpy as np
import pytest

from alcyon.domain.decision import Action
from alcyon.scoring.policy import Policy, Thresholds, decide_actions

PPM = np.array([0, 99, 100, 199, 200, 300, 1_000_000])
USABLE = np.ones(len(PPM), np.bool_)


def actions(policy: Policy, **more: np.ndarray) -> list[Action]:
    usable = more.pop("usable", USABLE)
    codes = decide_actions(policy, PPM, usable, more.get("segments"))
    return [Action.of_code(c) for c in codes.tolist()]


def test_the_strictest_action_whose_threshold_is_reached_is_taken() -> None:
    policy = Policy({"default": Thresholds(review_ppm=200, decline_ppm=300, step_up_ppm=100)})
    a, s, r, d = Action.APPROVE, Action.STEP_UP, Action.REVIEW, Action.DECLINE
    assert actions(policy) == [a, a, s, s, r, d, d]


def test_step_up_is_off_unless_set() -> None:
    policy = Policy({"default": Thresholds(review_ppm=200)})
    assert set(actions(policy)) == {Action.APPROVE, Action.REVIEW}


def test_without_thresholds_everything_is_approved() -> None:
    assert set(actions(Policy())) == {Action.APPROVE}


def test_an_unusable_score_takes_the_fallback_action() -> None:
    usable = USABLE.copy()
    usable[0] = False
    assert actions(Policy(), usable=usable)[0] is Action.REVIEW
    strict = Policy(fallback_action=Action.DECLINE)
    assert actions(strict, usable=usable)[0] is Action.DECLINE


def test_every_segment_has_its_own_thresholds() -> None:
    policy = Policy({"travel": Thresholds(decline_ppm=100), "default": Thresholds(review_ppm=200)})
    assert policy.segment_names == ("default", "travel")
    found = actions(policy, segments=np.array([0, 1, 1, 0, 0, 1, 0]))
    a, r, d = Action.APPROVE, Action.REVIEW, Action.DECLINE
    assert found == [a, a, d, a, r, d, r]


@pytest.mark.parametrize(
    "text",
    [
        '{"segments": {}}',
        '{"segments": {"default": {"review_ppm": 5, "decline_ppm": 4}}}',
        '{"segments": {"default": {"step_up_ppm": 6, "decline_ppm": 4}}}',
        '{"segments": {"default": {"decline_ppm": 1000001}}}',
        '{"costs": {"review_minutes": -1}}',
        '{"fallback_action": "ACCEPT"}',
        '{"threshold": 1}',
    ],
)
def test_a_policy_that_makes_no_sense_cannot_be_read(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Policy)


def test_a_policy_survives_its_json() -> None:
    policy = Policy({"default": Thresholds(1, 2)}, fallback_action=Action.DECLINE)
    assert msgspec.json.decode(msgspec.json.encode(policy), type=Policy) == policy
