from __future__ import annotations

import pytest

from alcyon.codecs.decisions import decode, encode
from alcyon.domain.decision import Decision, Reason, Versions
from alcyon.domain.errors import InputError

DECISION = Decision(
    sequence=7,
    transaction_id="té",
    event_time=1_700_000_000_000,
    action="REVIEW",
    score=512,
    probability_ppm=1234,
    members={"trees": 0.25, "forest": 0.5},
    codes=("velocity_card_1h",),
    rule_hits=("r1",),
    shadow_hits=(),
    reasons=(Reason("amount_unusual", "amount_minor", 1.5, 0.75),),
    features=b"\x00\x00\xc0\x7f",
    versions=Versions("1", "c", "r", "l", "p", "m", "x"),
)


def test_decisions_survive_a_round_trip() -> None:
    assert decode(encode([DECISION, DECISION])) == [DECISION, DECISION]


def test_bytes_do_not_depend_on_the_order_of_members() -> None:
    turned = Decision(
        **{f: getattr(DECISION, f) for f in DECISION.__struct_fields__ if f != "members"},
        members={"forest": 0.5, "trees": 0.25},
    )
    assert encode([turned]) == encode([DECISION])


def test_what_is_no_decision_is_named() -> None:
    with pytest.raises(InputError, match="payload 1"):
        decode([*encode([DECISION]), b"{}"])
