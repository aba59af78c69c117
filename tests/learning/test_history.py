from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcyon.domain.columns import Batch, Strings
from alcyon.domain.decision import CERTAIN_PPM, Action
from alcyon.domain.label import SOURCES
from alcyon.learning.dataset import DAY_MS
from alcyon.learning.history import NOBODY, Bounds, History, inverse_propensity
from alcyon.learning.trust import Trust, bounded_by_author
from alcyon.learning.truth import truth_of
from tests.learning.remembered import decided, said


def random_labels(random: np.random.Generator, ids: list[str], n: int) -> Batch:
    return Batch(
        {
            "transaction_id": Strings.from_list([ids[k] for k in random.integers(0, len(ids), n)]),
            "is_fraud": random.integers(0, 2, n),
            "fraud_type": Strings.from_list(
                [("first_party", "third_party", None)[k] for k in random.integers(0, 3, n)]
            ),
            # Rules are left out: `truth_of` believes them, the learner does not.
            "source": Strings.from_list([SOURCES[k] for k in random.integers(0, 3, n)]),
            "author": Strings.from_list([f"a{k}" for k in random.integers(0, 3, n)]),
            "labelled_at": random.integers(0, 20, n),
        }
    )


@pytest.mark.parametrize("seed", range(8))
def test_truth_is_that_of_the_training_set_however_labels_and_decisions_are_mixed(
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    ids = [f"t{k}" for k in range(40)]
    labels = random_labels(random, ids, 150)
    history = History(2, Trust(author_labels_per_day_max=1_000))
    told = added = 0
    while told < len(labels) or added < len(ids):
        step = int(random.integers(1, 9))
        if random.random() < 0.5:
            history.tell(labels.slice(told, told + step))
            told = min(told + step, len(labels))
        elif part := ids[added : added + step]:
            history.add(decided(part, np.arange(added, added + len(part))))
            added += len(part)
    for as_of in (0, 7, 19):
        wanted, found = truth_of(Strings.from_list(ids), labels, as_of), history.known(as_of)
        assert found.decisions.transaction_id == ids
        assert found.is_fraud.tolist() == wanted.is_fraud.tolist()
        assert found.is_first_party.tolist() == wanted.is_first_party.tolist()
    assert history.unknown == 0


def test_a_label_from_the_future_counts_from_its_time_on() -> None:
    history = History(2)
    history.add(decided(["a"], [0]))
    history.tell(said(("a", 1, "issuer", 10)))
    assert not history.known(9).is_said.any()
    found = history.known(10)
    assert found.is_fraud.all()
    assert found.said_at.tolist() == [10]


def test_labels_of_unknown_transactions_are_counted_and_the_oldest_let_go() -> None:
    history = History(2, bounds=Bounds(waiting_max=2))
    history.tell(said(("x", 1, "issuer", 0), ("y", 1, "issuer", 0), ("z", 1, "issuer", 0)))
    assert (history.unknown, history.dropped) == (3, 1)
    history.add(decided(["x", "y", "z"], [0, 0, 0]))
    assert history.known(5).is_fraud.tolist() == [False, True, True]
    assert history.unknown == 1


def test_contradictions_are_counted_and_the_most_trusted_is_believed() -> None:
    history = History(2)
    history.add(decided(["a", "b", "c"], [0, 0, 0]))
    history.tell(said(("a", 0, "chargeback", 1), ("a", 1, "analyst", 5), ("b", 1, "issuer", 1)))
    history.tell(said(("b", 0, "issuer", 2), ("c", 1, "issuer", 2), ("c", 1, "analyst", 3)))
    found = history.known(9)
    assert found.is_fraud.tolist() == [False, False, True]
    assert found.contradicted == 2


def test_rules_and_what_an_analyst_says_beyond_the_bound_do_not_count() -> None:
    history = History(2, Trust(author_labels_per_day_max=2))
    ids = [f"t{k}" for k in range(8)]
    history.add(decided(ids, np.zeros(8, np.int64)))
    history.tell(said(("t7", 1, "rule", 1)))
    history.tell(said(*[(t, 1, "analyst", 1) for t in ids[:4]], author="mallory"))
    history.tell(said((ids[4], 1, "analyst", DAY_MS), author="mallory"))
    history.tell(said((ids[5], 1, "analyst", 1), author="alice"))
    found = history.known(DAY_MS)
    assert np.flatnonzero(found.is_said).tolist() == [0, 1, 4, 5]
    assert len(set(found.author[[0, 1, 4]])) == 1
    assert found.author[5] not in (found.author[0], NOBODY)
    assert found.author[6] == NOBODY


def test_what_a_second_analyst_says_as_well_is_nobodys_alone() -> None:
    history = History(2)
    ids = ["alone", "twice", "both", "against", "confirmed"]
    history.add(decided(ids, np.zeros(5, np.int64)))
    history.tell(said(*[(t, 1, "analyst", 1) for t in (*ids, "twice")], author="mallory"))
    history.tell(said(("both", 1, "analyst", 2), ("against", 0, "analyst", 2), author="alice"))
    history.tell(said(("confirmed", 1, "issuer", 0)))
    found = history.known(9)
    assert found.is_fraud.tolist() == [True, True, True, False, True]
    mallory, alice = found.author[0], found.author[3]
    assert alice not in (mallory, NOBODY)
    assert found.author.tolist() == [mallory, mallory, NOBODY, alice, NOBODY]


def test_what_analysts_contradict_each_other_about_is_no_outcome_until_it_is_settled() -> None:
    history = History(2)
    ids = ["against", "taken back", "by two", "settled", "agreed"]
    history.add(decided(ids, np.zeros(5, np.int64)))
    history.tell(said(*[(t, 1, "analyst", 1) for t in ids], author="alice"))
    history.tell(said(*[(t, 0, "analyst", 2) for t in (*ids[:1], *ids[2:4])], author="mallory"))
    history.tell(said((ids[1], 0, "analyst", 3), author="alice"))
    history.tell(said((ids[2], 0, "analyst", 3), (ids[4], 1, "analyst", 3), author="bruno"))
    before = history.known(8)
    assert before.is_contested.tolist() == [True, False, True, True, False]
    assert before.mature(5).tolist() == [False, True, False, False, True]
    history.tell(said((ids[3], 1, "chargeback", 9)))
    after = history.known(9)
    assert after.is_contested.tolist() == [True, False, True, False, False]
    assert after.is_fraud[3]


def test_who_took_a_label_back_is_no_witness_of_it() -> None:
    history = History(2)
    history.add(decided(["a"], [0]))
    history.tell(said(("a", 1, "analyst", 1), ("a", 0, "analyst", 2), author="alice"))
    history.tell(said(("a", 1, "analyst", 3), author="mallory"))
    found = history.known(9)
    assert found.author[0] != NOBODY
    assert found.is_contested[0]


def test_the_newest_decisions_are_kept_and_labels_of_the_others_count_as_unknown() -> None:
    history = History(2, bounds=Bounds(decisions_max=100))
    for start in range(0, 3_000, 7):
        history.add(
            decided([f"t{k}" for k in range(start, start + 7)], np.arange(start, start + 7))
        )
        history.tell(said((f"t{start}", 1, "issuer", start)))
    found = history.known(10**9)
    assert 100 <= len(found) <= 125
    times = found.decisions.event_time
    assert np.array_equal(times, np.arange(3_003 - len(found), 3_003))
    assert np.array_equal(found.is_fraud, times % 7 == 0)
    history.tell(said(("t0", 1, "issuer", 0)))
    assert history.unknown == 1


def test_a_transaction_decided_twice_keeps_its_first_decision() -> None:
    history = History(2)
    history.add(decided(["a", "b", "a"], [1, 2, 3]))
    history.add(decided(["b", "c"], [4, 5]))
    found = history.known(9).decisions
    assert found.transaction_id == ["a", "b", "c"]
    assert found.event_time.tolist() == [1, 2, 5]


def test_young_first_party_and_declined_payments_of_unknown_outcome_are_no_examples() -> None:
    history = History(2)
    action = np.full(4, Action.APPROVE.code, np.int8)
    action[1:3] = Action.DECLINE.code
    history.add(decided(["a", "b", "c", "young"], [0, 0, 0, 60], action=action))
    history.tell(said(("c", 1, "issuer", 1)))
    assert history.known(100).mature(50).tolist() == [True, False, True, False]


def test_what_exploration_let_through_stands_for_what_was_declined_beside_it() -> None:
    """The share of fraud among all, of which most of the risky half was declined unseen."""
    random, n, share = np.random.default_rng(5), 200_000, 50_000
    is_risky = random.random(n) < 0.5
    is_fraud = random.random(n) < np.where(is_risky, 0.4, 0.01)
    through = is_risky & (random.random(n) < share / CERTAIN_PPM)
    action = np.where(is_risky & ~through, Action.DECLINE.code, Action.APPROVE.code)
    propensity = np.where(is_risky, np.where(through, share, CERTAIN_PPM - share), CERTAIN_PPM)
    ids = [f"t{k}" for k in range(n)]
    history = History(2)
    history.add(decided(ids, [0] * n, action=action.astype(np.int8), propensity_ppm=propensity))
    # Of what was declined, too, some is found to be fraud.
    is_found = (action != Action.DECLINE.code) | (random.random(n) < 0.5)
    found = np.flatnonzero(is_fraud & is_found)
    history.tell(said(*[(ids[k], 1, "chargeback", 1) for k in found]))
    known = history.known(10)
    rows = np.flatnonzero(known.mature(5))
    weight = inverse_propensity(known, rows, weight_max=100, keep_declined=False)
    truth = known.is_fraud[rows]
    assert truth.mean() != pytest.approx(is_fraud.mean(), rel=0.1)
    assert weight @ truth / weight.sum() == pytest.approx(is_fraud.mean(), rel=0.05)


@pytest.mark.parametrize(
    ("told", "allowed"),
    [
        # One against nobody's: a share of those.
        ({7: 50, NOBODY: 60}, {7: 6, NOBODY: 60}),
        # As much as a colleague, where that is more; the colleague is within what is allowed.
        ({7: 50, 8: 10, NOBODY: 20}, {7: 10, 8: 10, NOBODY: 20}),
        # What one says allows nobody more but the others, and all alike are within bounds.
        ({7: 30, 8: 30, 9: 30}, {7: 30, 8: 30, 9: 30}),
        # Where nobody else tells of fraud: a share of everything, 150 genuine payments beside it.
        ({7: 50}, {7: 20}),
        ({7: 10}, {7: 10}),
    ],
)
def test_no_author_teaches_more_than_a_share_of_the_others_or_than_a_colleague(
    told: dict[int, int], allowed: dict[int, int]
) -> None:
    author = np.repeat([*told, NOBODY], [*told.values(), 150])
    is_fraud = np.arange(len(author)) < len(author) - 150
    bounded = bounded_by_author(np.ones(len(author)), author, is_fraud, 0.1)
    sums = {name: bounded[is_fraud & (author == name)].sum() for name in told}
    assert sums == pytest.approx(allowed)
    assert (bounded[~is_fraud] == 1).all()


LABELS = st.lists(
    st.tuples(st.integers(NOBODY, 4), st.booleans(), st.floats(0.01, 100)), min_size=1, max_size=40
)


@given(LABELS, st.floats(0, 1))
def test_whatever_is_said_nobodys_frauds_outweigh_the_bound(
    labels: list[tuple[int, bool, float]], share: float
) -> None:
    author, is_fraud, weight = (np.array(column) for column in zip(*labels, strict=True))
    bounded = bounded_by_author(weight, author, is_fraud, share)
    assert (bounded <= weight).all()
    untouched = ~is_fraud | (author == NOBODY)
    assert np.array_equal(bounded[untouched], weight[untouched])
    told = {name: weight[is_fraud & (author == name)].sum() for name in np.unique(author[is_fraud])}
    for name in told.keys() - {NOBODY}:
        others = {k: v for k, v in told.items() if k != name}
        peers = [v for k, v in others.items() if k != NOBODY]
        measure = sum(others.values()) if others else weight.sum()
        most = max(share * measure, float(np.median(peers)) if peers else 0.0)
        own = bounded[is_fraud & (author == name)].sum()
        assert own == pytest.approx(min(told[name], most))
