"""The Isolation Forest of the ensemble (scikit-learn): what is unlike the rest, labels unseen."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from sklearn.ensemble import IsolationForest

from alcyon.learning.graph import tree_node
from alcyon.learning.member import FitSettings, Fragment, Member
from alcyon.learning.scaling import filled, medians_of
from alcyon.scoring.scaled import MEDIANS
from alcyon.scoring.trees import Trees

TREES = 64
"""Serving costs 20 ns per tree and row. By the Handbook's protocol the forest alone has
an average precision of 0.316 with 100 trees, 0.308 with 64, 0.301 with 50; the ensemble 0.691 with
any of them."""
SAMPLES = 256
"""Rows per tree, as in the paper (Liu, Ting, Zhou, "Isolation Forest", ICDM 2008). Fewer are no
faster: 128 with 64 trees cost as much and come to 0.261."""


@dataclass(frozen=True, eq=False)
class Isolation(Member):
    """Isolation Forest; its signal is the mean path length E, its score 2^(−E / c(samples)).

    Nulls are taken as the training rows' median: scikit-learn's forest takes no NaN.
    """

    forest: IsolationForest
    medians: NDArray[np.float32]

    name: ClassVar[str] = "isolation_forest"
    rises_with_risk: ClassVar[bool] = False
    reads_labels: ClassVar[bool] = False

    @classmethod
    def fit(
        cls, features: NDArray[np.float32], is_fraud: NDArray[np.bool_], settings: FitSettings
    ) -> Self:
        """Fit `TREES` trees on `SAMPLES` rows each; the labels are not looked at."""
        settings.progress(cls.name, 0, TREES)
        medians = medians_of(features)
        forest = IsolationForest(
            n_estimators=TREES, max_samples=min(SAMPLES, len(features)), random_state=settings.seed
        )
        forest.fit(filled(features, medians))
        settings.progress(cls.name, TREES, TREES)
        return cls(forest, medians)

    @property
    def normal_path(self) -> float:
        """c(samples): the mean path length of an unsuccessful search, the score's unit."""
        return float(average_path(np.array([self.forest.max_samples_]))[0])

    def signal(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """The mean path lengths, from scikit-learn's score."""
        score = -self.forest.score_samples(filled(features, self.medians))
        return -np.log2(score) * self.normal_path  # type: ignore[no-any-return]

    def score(self, signal: NDArray[np.float64]) -> NDArray[np.float64]:
        """The standard anomaly scores."""
        return np.exp2(-signal / self.normal_path)

    def graph(self, n_features: int) -> Fragment:
        """Medians for nulls, one TreeEnsembleRegressor for all trees, then the score."""
        medians = numpy_helper.from_array(self.medians[None, :], MEDIANS.format(self.name))
        scale = np.array([[-log(2) / self.normal_path]], np.float32)
        node, own = helper.make_node, "isolation_forest.{}".format
        nodes = (
            node("IsNaN", ["features"], [own("nulls")]),
            node("Where", [own("nulls"), medians.name, "features"], [own("filled")]),
            tree_node(trees_of_forest(self.forest), self.name, own("filled")),
            node("Mul", [own("signal"), own("scale")], [own("exponent")]),
            node("Exp", [own("exponent")], [own("score")]),
        )
        return Fragment(nodes, (medians, numpy_helper.from_array(scale, "isolation_forest.scale")))


def trees_of_forest(forest: IsolationForest) -> Trees:
    """All trees as one ensemble whose sum is the mean path length.

    A leaf that holds m training rows at depth d weighs (d + c(m)) / trees. scikit-learn compares
    float32 features with float64 thresholds: rounded down to float32, `<=` decides alike.
    """
    inner = [estimator.tree_ for estimator in forest.estimators_]
    sizes = [t.node_count for t in inner]
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    start = np.repeat(roots, sizes)
    left = np.concatenate([t.children_left for t in inner]).astype(np.int64)
    right = np.concatenate([t.children_right for t in inner]).astype(np.int64)
    leaf = left < 0
    cover = np.concatenate([t.n_node_samples for t in inner])
    path = np.concatenate([_depths(t) for t in inner]) + average_path(cover)
    return Trees(
        roots=roots,
        feature=np.where(leaf, -1, np.concatenate([t.feature for t in inner])).astype(np.int64),
        threshold=np.where(
            leaf, np.float32(0), _down(np.concatenate([t.threshold for t in inner]))
        ),
        left=np.where(leaf, -1, left + start),
        right=np.where(leaf, -1, right + start),
        missing_left=np.zeros(len(leaf), np.bool_),
        value=np.where(leaf, path / len(inner), 0.0).astype(np.float32),
        cover=cover.astype(np.float32),
        less_equal=True,
    )


def average_path(n: NDArray[np.integer]) -> NDArray[np.float64]:
    """c(n) of the paper: 2 H(n − 1) − 2 (n − 1) / n with H(i) ≈ ln i + γ; c(2) = 1, c(1) = 0."""
    many = np.maximum(n, 3).astype(np.float64)
    found = 2 * (np.log(many - 1) + np.euler_gamma) - 2 * (many - 1) / many
    return np.where(n <= 1, 0.0, np.where(n == 2, 1.0, found))


def _depths(tree: object) -> NDArray[np.float64]:
    """float64[nodes]: branches above each node; scikit-learn numbers parents before children."""
    left, right = tree.children_left, tree.children_right  # type: ignore[attr-defined]
    depth = np.zeros(len(left))
    for node in np.flatnonzero(left >= 0).tolist():
        depth[left[node]] = depth[right[node]] = depth[node] + 1
    return depth


def _down(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 not above each threshold."""
    near = threshold.astype(np.float32)
    below = np.nextafter(near, np.float32(-np.inf))
    return np.where(near > threshold, below, near)
