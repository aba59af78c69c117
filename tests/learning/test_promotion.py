from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from alcyon.domain.decision import CERTAIN_PPM
from alcyon.domain.errors import InputError
from alcyon.learning.bootstrap import Interval
from alcyon.learning.dataset import DAY_MS
from alcyon.learning.evidence import Asked, Compared, Evidence, Scores, gather
from alcyon.learning.history import History, Known
from alcyon.learning.promotion import Checks, Finding, StandingApproval, find
from alcyon.scoring.policy import Policy, Thresholds
from tests.learning.remembered import decided, said

POLICY = Policy({"default": Thresholds(review_ppm=300_000, decline_ppm=700_000)})
ASKED = Asked("champion", "challenger", POLICY, maturity_ms=DAY_MS)
AT = 1_000
GOOD = Evidence(
    champion="a", challenger="b", start=0, stop=5 * DAY_MS, as_of=9 * DAY_MS, maturity_ms=DAY_MS,
    transactions=10_000, frauds=100, agreement=0.99,
    actions={"APPROVE": {"APPROVE": 9_900, "REVIEW": 100}, "REVIEW": {"APPROVE": 0, "REVIEW": 0}},
    scores=Scores((500_000, 1_000_001), (9_900, 100), (9_800, 200)),
    average_precision=Compared(0.7, 0.75, Interval(0.01, 0.05, 0.09)),
    money_lost_minor_per_day=Compared(900.0, 700.0, Interval(-300.0, -200.0, -100.0)),
    decline_rate=Compared(0.010, 0.012, Interval(0.001, 0.002, 0.003)),
    review_rate=Compared(0.020, 0.018, Interval(-0.004, -0.002, 0.001)),
)  # fmt: skip
CHECKS = Checks(parity=1e-6, latency_us=40.0)
APPROVAL = StandingApproval("ada", 0, 2_000, 0.005, 0.005, 0.0)


def with_difference(field: str, low: float, high: float) -> Evidence:
    compared = msgspec.structs.replace(
        getattr(GOOD, field), difference=Interval(low, (low + high) / 2, high)
    )
    return msgspec.structs.replace(GOOD, **{field: compared})


def approving(**changed: Any) -> StandingApproval:
    return msgspec.structs.replace(APPROVAL, **changed)


def test_it_promotes_what_is_better_under_an_approval_and_the_finding_can_be_recorded() -> None:
    finding = find(GOOD, CHECKS, APPROVAL, AT)
    assert finding.promote
    assert finding.reasons == ()
    assert msgspec.json.decode(msgspec.json.encode(finding), type=Finding) == finding


@pytest.mark.parametrize(
    ("code", "evidence", "checks", "approval"),
    [
        ("no_approval", GOOD, CHECKS, None),
        ("approval_not_in_force", GOOD, CHECKS, approving(expires_at=AT)),
        ("approval_not_in_force", GOOD, CHECKS, approving(given_at=AT + 1)),
        ("few_frauds", msgspec.structs.replace(GOOD, frauds=49), CHECKS, APPROVAL),
        ("few_days", msgspec.structs.replace(GOOD, stop=DAY_MS), CHECKS, APPROVAL),
        ("ranks_worse", with_difference("average_precision", -0.01, 0.2), CHECKS, APPROVAL),
        ("unfaithful", GOOD, Checks(1e-3, 40.0), APPROVAL),
        ("unfaithful", GOOD, Checks(float("nan"), 40.0), APPROVAL),
        ("slow", GOOD, Checks(1e-6, 101.0), APPROVAL),
        ("declines_change", with_difference("decline_rate", 0.0, 0.006), CHECKS, APPROVAL),
        ("reviews_change", with_difference("review_rate", -0.006, 0.0), CHECKS, APPROVAL),
        ("costs_more", with_difference("money_lost_minor_per_day", -9, 1), CHECKS, APPROVAL),
    ],
)
def test_each_thing_that_speaks_against_it_is_enough_and_is_named(
    code: str, evidence: Evidence, checks: Checks, approval: StandingApproval | None
) -> None:
    finding = find(evidence, checks, approval, AT)
    assert [reason.code for reason in finding.reasons] == [code]
    assert not finding.promote


def test_it_is_rejected_only_for_what_no_approval_changes_and_on_enough_evidence() -> None:
    worse = with_difference("average_precision", -0.01, 0.2)
    assert find(worse, CHECKS, None, AT).is_rejected
    assert not find(msgspec.structs.replace(worse, frauds=3), CHECKS, None, AT).is_rejected
    assert not find(GOOD, CHECKS, None, AT).is_rejected


def test_what_may_be_as_good_is_not_better() -> None:
    evidence = msgspec.structs.replace(
        with_difference("average_precision", -0.001, 0.1),
        money_lost_minor_per_day=Compared(1.0, 1.0, Interval(-5.0, 0.0, 0.0)),
    )
    assert [r.code for r in find(evidence, CHECKS, APPROVAL, AT).reasons] == ["not_better"]


def shadowed(n: int, better: float, seed: int = 3, shares: int = CERTAIN_PPM) -> Known:
    """n payments over ten days; `better` is how much of the noise the challenger is spared."""
    random = np.random.default_rng(seed)
    fraud = random.random(n) < 0.05
    signal = np.where(fraud, 0.55, 0.2)
    champion = signal + random.normal(0, 0.2, n)
    challenger = signal + (champion - signal) * (1 - better)
    ppm = [(np.clip(s, 0, 1) * 1e6).astype(np.int64) for s in (champion, challenger)]
    times = np.sort(random.integers(0, 10 * DAY_MS, n))
    propensity = np.full(n, CERTAIN_PPM)
    propensity[::3] = shares
    ids = [f"t{k}" for k in range(n)]
    history = History(2)
    history.add(
        decided(ids, times, champion_ppm=ppm[0], challenger_ppm=ppm[1], propensity_ppm=propensity)
    )
    history.tell(said(*[(ids[k], 1, "chargeback", int(times[k])) for k in np.flatnonzero(fraud)]))
    return history.known(12 * DAY_MS)


def test_figures_are_those_of_a_library_with_the_weights_of_exploration() -> None:
    known = shadowed(4_000, 0.5, shares=CERTAIN_PPM // 4)
    d, found = known.decisions, gather(known, ASKED)
    weight = CERTAIN_PPM / d.propensity_ppm
    for ppm, ours in (
        (d.champion_ppm, found.average_precision.champion),
        (d.challenger_ppm, found.average_precision.challenger),
    ):
        wanted = average_precision_score(known.is_fraud, ppm, sample_weight=weight)
        assert ours == pytest.approx(wanted, rel=1e-9)
    assert found.transactions == 4_000
    assert found.frauds == known.is_fraud.sum()
    declined = d.champion_ppm >= 700_000
    assert found.decline_rate.champion == pytest.approx(declined.mean())


def test_a_better_challenger_is_surely_better_and_an_equal_one_is_not() -> None:
    better, equal = gather(shadowed(6_000, 0.4), ASKED), gather(shadowed(6_000, 0.0), ASKED)
    assert better.average_precision.difference.low > 0
    assert better.money_lost_minor_per_day.difference.high < 0
    assert equal.agreement == 1.0
    assert equal.average_precision.difference == Interval(0.0, 0.0, 0.0)


def test_money_lost_is_counted_by_hand() -> None:
    """Four payments of 100.00: a fraud approved, one reviewed, a genuine declined, one approved."""
    history = History(2)
    ppm = np.array([0, 300_000, 700_000, 0])
    history.add(decided(list("abcd"), [0, 1, 2, DAY_MS - 1], champion_ppm=ppm))
    history.tell(said(("a", 1, "issuer", 0), ("b", 1, "issuer", 0)))
    found = gather(history.known(3 * DAY_MS), ASKED)
    assert found.money_lost_minor_per_day.champion == 10_000 + 200 + (500 + 500)
    assert found.money_lost_minor_per_day.challenger == 20_000


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Equal noise in both: the true difference is 0. 40 runs, 95 % intervals."""
    misses = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        known = shadowed(1_500, 0.0, seed)
        noise = random.normal(0.2, 0.2, 1_500) + 0.35 * known.is_fraud
        known.decisions.challenger_ppm[:] = (np.clip(noise, 0, 1) * 1e6).astype(np.int64)
        found = gather(known, ASKED).average_precision.difference
        misses += not found.low <= 0 <= found.high
    assert misses <= 6


def test_payments_of_other_models_and_young_ones_are_no_evidence() -> None:
    known = shadowed(500, 0.4)
    with pytest.raises(InputError, match="0 payments"):
        gather(known, Asked("champion", "another", POLICY))
    with pytest.raises(InputError, match="wait for labels"):
        gather(known, Asked("champion", "challenger", POLICY, maturity_ms=30 * DAY_MS))


def test_actions_and_scores_are_those_of_the_payments_that_are_judged() -> None:
    known = shadowed(4_000, better=0.5)
    found = gather(known, ASKED)
    rows = np.flatnonzero(known.mature(DAY_MS))
    bounds = POLICY.segments["default"]
    sides = [known.decisions.champion_ppm[rows], known.decisions.challenger_ppm[rows]]
    acted = [
        ["DECLINE" if p >= bounds.decline_ppm else "REVIEW" if p >= bounds.review_ppm else "APPROVE"
         for p in side.tolist()] for side in sides
    ]  # fmt: skip
    pairs = list(zip(*acted, strict=True))
    assert found.transactions == len(pairs)
    for first, by_second in found.actions.items():
        for second, count in by_second.items():
            assert count == pairs.count((first, second))
    assert sum(sum(row.values()) for row in found.actions.values()) == len(pairs)
    for counts, side in zip((found.scores.champion, found.scores.challenger), sides, strict=True):
        below = [int((side < bound).sum()) for bound in found.scores.bounds_ppm]
        assert np.cumsum(counts).tolist() == below
