from __future__ import annotations

import numpy as np
import pytest

from alcyon.domain.admission import admit
from alcyon.domain.columns import Batch, Column, Strings
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.tokens import TokenKeys
from alcyon.features.kernel import Kernel, Limits
from alcyon.features.layout import Layout
from alcyon.learning.training import MEMBERS
from alcyon.pipeline import Pipeline
from alcyon.scoring import conduct
from alcyon.scoring.conduct import Conduct
from alcyon.scoring.policy import Policy
from tests.runners.working import CATALOG, START, load_model

RULES = """
[[rule]]
id = "strange"
name = "Strange"
when = "{member} >= 0"
action = "REVIEW"
reason_code = "strange"
priority = 1
status = "live"
"""


def test_rules_may_read_every_member_there_is() -> None:
    assert tuple(MEMBERS) == conduct.MEMBERS


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_that_the_model_is_without_is_null_to_a_rule(member: str) -> None:
    """The model knows xgboost only; null is no hit."""
    decides = Conduct.of(CATALOG, RULES.format(member=member), Policy())
    pipeline = Pipeline(Kernel(Layout(CATALOG), Limits()), decides.with_model(load_model("m1")))
    decided = pipeline.decide(payments(3)).decided
    assert decided.is_scored.all()
    hits = dict.fromkeys(range(3), ("strange",)) if member == "xgboost" else {}
    assert decided.rule_hits == hits


def payments(n: int) -> Batch:
    """n plain payments of one card."""
    raw: dict[str, Column] = {
        "transaction_id": Strings.from_list([f"t{i}" for i in range(n)]),
        "event_time": START + np.arange(n) * 60_000,
        "amount_minor": np.full(n, 1000),
        "currency": Strings.from_list(["EUR"] * n),
        "card_id": Strings.from_list(["c1"] * n),
        "merchant_id": Strings.from_list(["m1"] * n),
        "country": Strings.from_list(["DE"] * n),
    }
    return admit(Batch(raw), TokenKeys(1, b"0123456789abcdef"), DEFAULT_RATES).batch
