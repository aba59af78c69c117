"""What every member of the ensemble must keep, found by looking, not by registration."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import numpy as np
import pytest

import alcyon.learning
from alcyon.learning.blend import Blend
from alcyon.learning.graph import fused_model
from alcyon.learning.member import FitSettings, Member
from alcyon.learning.training import MEMBERS
from alcyon.scoring.inspection import ALLOWED_OPERATIONS
from alcyon.scoring.model import session_of
from tests.learning.synthetic import NAMES, dataset, recorded

BATCHES = (1, 2, 3, 7, 16, 63, 1000)


def members() -> list[type[Member]]:
    found: set[type[Member]] = set()
    for module in pkgutil.walk_packages(alcyon.learning.__path__, "alcyon.learning."):
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(kind, Member) and not inspect.isabstract(kind):
                found.add(kind)
    return sorted(found, key=lambda kind: kind.name)


@pytest.fixture(scope="module", params=members(), ids=lambda kind: kind.name)
def member(request: pytest.FixtureRequest) -> Member:
    kind: type[Member] = request.param
    return kind.fit(dataset().train.features, dataset().train.is_fraud, FitSettings())


def graph_bytes(member: Member) -> bytes:
    blend = Blend(np.array([0.7]), -2.0)
    fragment = member.graph(len(NAMES))
    one = fused_model([fragment], [member.name], blend.weights, blend.bias, len(NAMES))
    assert {(n.domain, n.op_type) for n in one.graph.node} <= ALLOWED_OPERATIONS
    return bytes(one.SerializeToString())


def test_it_can_be_chosen_by_its_name(member: Member) -> None:
    assert MEMBERS[member.name] is type(member)


def test_the_graph_gives_the_native_signal_and_score(member: Member) -> None:
    rows = recorded(3000)
    session = session_of(graph_bytes(member), len(NAMES))
    log_odds, scores = session.run(("log_odds", "members"), {"features": rows})
    signal = member.signal(rows)
    np.testing.assert_allclose(log_odds, 0.7 * signal - 2.0, rtol=0, atol=1e-5)
    np.testing.assert_allclose(scores[:, 0], member.score(signal), rtol=0, atol=2e-6)


def test_rows_of_nulls_only_have_finite_scores(member: Member) -> None:
    nulls = np.full((2, len(NAMES)), np.nan, np.float32)
    assert np.isfinite(member.score(member.signal(nulls))).all()


def test_the_score_lies_between_0_and_1_and_rises_with_risk(member: Member) -> None:
    signal = member.signal(recorded(500))
    score = member.score(np.sort(signal))
    assert ((score >= 0) & (score <= 1)).all()
    steps = np.diff(score) if member.rises_with_risk else -np.diff(score)
    assert (steps >= 0).all()


def test_a_row_has_the_same_bits_in_every_batch(member: Member) -> None:
    session, rows = session_of(graph_bytes(member), len(NAMES)), recorded(1001)
    whole = session.run(("log_odds", "members"), {"features": rows})
    for size in BATCHES:
        for shift in (0, 1):
            parts = [
                session.run(("log_odds", "members"), {"features": rows[a : a + size]})
                for a in range(shift, len(rows), size)
            ]
            for k in range(2):
                joined = np.concatenate([p[k] for p in parts])
                assert joined.tobytes() == whole[k][shift:].tobytes(), (size, shift)


def test_labels_matter_only_to_a_member_that_says_so(member: Member) -> None:
    train = dataset().train
    other = np.roll(train.is_fraud, 17)
    again = type(member).fit(train.features, other, FitSettings())
    rows = recorded(200)
    same = np.array_equal(again.signal(rows), member.signal(rows))
    assert same is not member.reads_labels


def test_the_same_seed_gives_the_same_member(member: Member) -> None:
    again = type(member).fit(dataset().train.features, dataset().train.is_fraud, FitSettings())
    rows = recorded(200)
    assert np.array_equal(again.signal(rows), member.signal(rows))
