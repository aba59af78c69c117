from __future__ import annotations

from typing import TypeVar

import numpy as np
import pytest
import xgboost as xgb

from alcyon.learning.autoencoder import Autoencoder
from alcyon.learning.boosting import Boosting, trees_of_booster
from alcyon.learning.isolation import Isolation, trees_of_forest
from alcyon.learning.linear import OnlineLinear
from alcyon.scoring.attribution import Attribution, MemberTrees
from alcyon.scoring.scaled import LinearParts, ReconstructionParts
from alcyon.scoring.trees import Trees, pack
from tests.learning.synthetic import model, recorded, trained

P = TypeVar("P", LinearParts, ReconstructionParts)


def test_parts_base_and_remainder_are_the_served_log_odds() -> None:
    rows = recorded(2000)
    log_odds = model().score(rows).log_odds
    found = model().contributions(rows, log_odds)
    whole = found.base + found.parts.sum(axis=1) + found.remainder
    np.testing.assert_allclose(whole, log_odds, rtol=0, atol=1e-9)
    assert np.abs(found.remainder).max() < 2e-5


def test_boosting_is_attributed_as_xgboost_itself_does() -> None:
    rows = recorded(2000)
    boosting = trained().ensemble.members[0]
    assert isinstance(boosting, Boosting)
    packed = pack(trees_of_booster(boosting.booster))
    found = Attribution(0.0, (MemberTrees(packed, 1.0, None),)).of(rows, np.zeros(len(rows)))
    oracle = boosting.booster.predict(xgb.DMatrix(rows), pred_contribs=True, approx_contribs=True)
    np.testing.assert_allclose(found.parts, oracle[:, :-1], rtol=0, atol=2e-5)
    base = float(packed.mean[packed.roots].sum())
    np.testing.assert_allclose(base, oracle[:, -1], rtol=0, atol=2e-5)


def naive(trees: Trees, row: np.ndarray, root: int) -> dict[int, float]:
    """One tree by recursion over the unpacked arrays: the slow definition."""

    def mean(node: int) -> float:
        if trees.left[node] < 0:
            return float(trees.value[node])
        left, right = trees.left[node], trees.right[node]
        a, b = float(trees.cover[left]), float(trees.cover[right])
        return (a * mean(left) + b * mean(right)) / (a + b)

    parts: dict[int, float] = {}
    node = root
    while trees.left[node] >= 0:
        feature = int(trees.feature[node])
        x = row[feature]
        goes_left = x <= trees.threshold[node] if trees.less_equal else x < trees.threshold[node]
        if np.isnan(x):
            goes_left = trees.missing_left[node]
        after = int(trees.left[node] if goes_left else trees.right[node])
        parts[feature] = parts.get(feature, 0.0) + mean(after) - mean(node)
        node = after
    return parts


@pytest.mark.parametrize("which", [0, 1])
def test_packed_trees_walk_as_the_plain_ones(which: int) -> None:
    member = trained().ensemble.members[which]
    if isinstance(member, Isolation):
        trees, medians = trees_of_forest(member.forest), member.medians
    else:
        assert isinstance(member, Boosting)
        trees, medians = trees_of_booster(member.booster), None
    # Rows that stand on thresholds themselves tell < from <=.
    rows = recorded(40).copy()
    branches = np.flatnonzero(trees.left >= 0)[:40]
    rows[np.arange(len(branches)), trees.feature[branches]] = trees.threshold[branches]
    expected = np.zeros(rows.shape)
    filled = rows if medians is None else np.where(np.isnan(rows), medians, rows)
    for i, row in enumerate(filled):
        for root in trees.roots.tolist():
            for feature, part in naive(trees, row, root).items():
                expected[i, feature] += part
    found = Attribution(0.0, (MemberTrees(pack(trees), 1.0, medians),))
    np.testing.assert_allclose(found.of(rows, np.zeros(40)).parts, expected, rtol=0, atol=1e-12)


def test_contributions_do_not_depend_on_the_batch() -> None:
    rows = recorded(100)
    log_odds = model().score(rows).log_odds
    whole = model().contributions(rows, log_odds).parts
    alone = [model().contributions(rows[i : i + 1], log_odds[i : i + 1]).parts for i in range(100)]
    assert np.concatenate(alone).tobytes() == whole.tobytes()


def test_signals_are_read_from_the_file_as_the_native_members_give_them() -> None:
    rows = recorded(500)
    native = trained().ensemble.signals(rows)
    np.testing.assert_allclose(model().attribution.signals(rows), native, rtol=0, atol=1e-4)


def test_the_linear_member_is_attributed_by_its_coefficients() -> None:
    member = trained().ensemble.members[3]
    assert isinstance(member, OnlineLinear)
    rows = recorded(200)
    expected = np.zeros(rows.shape)
    for f in range(rows.shape[1]):
        null = np.isnan(rows[:, f])
        z = (rows[:, f].astype(np.float64) - member.scaling.medians[f]) * member.scaling.scale[f]
        valued = np.clip(z, -5, 5) * member.coefficients[f]
        expected[:, f] = np.where(null, member.coefficients[rows.shape[1] + f], valued)
    parts = served(LinearParts, "online_linear")
    found = np.zeros(rows.shape)
    parts.add_to(found, rows, 1.0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        parts.base + expected.sum(axis=1), member.signal(rows), rtol=0, atol=1e-5
    )


def test_the_reconstruction_is_attributed_by_integrated_gradients() -> None:
    """The integral taken numerically, from the usual payment's errors to the row's."""
    member = trained().ensemble.members[2]
    assert isinstance(member, Autoencoder)
    rows = recorded(50)
    z = member.scaling.apply(rows)
    terms = member.shares * np.square(z.astype(np.float64) - member.network.predict(z))
    usual = np.full(rows.shape[1], 1 / rows.shape[1])
    middles = (np.arange(4000) + 0.5) / 4000
    on_the_way = 1 + middles * (terms.sum(axis=1, keepdims=True) - 1)
    slopes = (on_the_way ** (1 / 8 - 1)).mean(axis=1)
    expected = (terms - usual) * slopes[:, None]
    parts = served(ReconstructionParts, "autoencoder")
    found = np.zeros(rows.shape)
    parts.add_to(found, rows, 1.0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4)


def served(kind: type[P], name: str) -> P:
    """What was read of a member from the model's file."""
    parts = model().attribution.members[model().member_names.index(name)]
    assert isinstance(parts, kind)
    return parts
