"""Attribution: how much each feature adds to a score's log-odds, for every row, exactly.

Path attribution (A. Saabas, "Interpreting random forests", 2014; `approx_contribs` of XGBoost).
Every node of a tree has a mean m, the average of the leaves below it weighted by the training
rows they hold. A row walks root = n0, n1, … nd = leaf; the step from n(k) to n(k+1) is credited
to the feature that n(k) asks for:

    contribution[f] = Σ over trees, Σ over steps k with feature(n(k)) = f of m(n(k+1)) − m(n(k))

The steps telescope: Σ_f contribution[f] = leaf − m(root) for each tree. Scaled by the member's
weight in the blend and added over members, with

    base = blend bias + Σ members weight · (member's base + Σ trees m(root)),

base + Σ_f contribution[f] is the log-odds. What float32 sums in ONNX Runtime make of it differs
by about 1e-6: that is the remainder, handed over beside the parts, never hidden in one. Members
that are not trees are shared out as `scoring.scaled` says, with a base of their own in that sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnx
from numba import njit
from numpy.typing import NDArray
from onnx import numpy_helper

from alcyon.domain.errors import ModelError
from alcyon.scoring.scaled import (
    COEFFICIENTS,
    MEDIANS,
    SHARES,
    Constants,
    LinearParts,
    ReconstructionParts,
)
from alcyon.scoring.trees import PackedTrees, pack, trees_of

TREES, WEIGHT, BIAS = "{}.trees", "{}.weight", "blend.bias"
"""Names, by member, of the tree node and the constants in the fused graph."""


@dataclass(frozen=True, eq=False)
class Contributions:
    """What each feature adds to the log-odds of n rows: `base + parts.sum(1) + remainder`.

    parts: float64[n, F]; base: the log-odds before any feature is looked at; remainder:
    float64[n], what float32 rounding in the served graph leaves over.
    """

    base: float
    parts: NDArray[np.float64]
    remainder: NDArray[np.float64]


class MemberParts(Protocol):
    """One member of a model, as far as it can be shared out among the features."""

    @property
    def weight(self) -> float:
        """Log-odds per unit of its signal."""

    @property
    def base(self) -> float:
        """Its signal before any feature is looked at."""

    def add_to(
        self, parts: NDArray[np.float64], features: NDArray[np.float32], weight: float
    ) -> None:
        """Add weight · its contributions for features float32[n, F] to parts float64[n, F]."""


@dataclass(frozen=True, eq=False)
class MemberTrees:
    """One member's trees with its weight in the blend and the medians that stand in for null
    (float32[F]), where it has any; `offset` is added to the sum of the leaves."""

    trees: PackedTrees
    weight: float
    medians: NDArray[np.float32] | None
    offset: float = 0.0

    @property
    def base(self) -> float:
        """The offset and the means of all roots."""
        return self.offset + float(self.trees.mean[self.trees.roots].sum())

    def add_to(
        self, parts: NDArray[np.float64], features: NDArray[np.float32], weight: float
    ) -> None:
        """Walk every tree."""
        if self.medians is not None:
            features = np.where(np.isnan(features), self.medians, features)
        t = self.trees
        _walk(features, t.roots, (t.child, t.split, t.threshold, t.mean), weight, parts)


@dataclass(frozen=True, eq=False)
class Attribution:
    """All members of one model, and the base value."""

    base: float
    members: tuple[MemberParts, ...]

    def of(self, features: NDArray[np.float32], log_odds: NDArray[np.float64]) -> Contributions:
        """The contributions to `log_odds` float64[n] as served for features float32[n, F]."""
        parts = np.zeros(features.shape, np.float64)
        for member in self.members:
            member.add_to(parts, features, member.weight)
        return Contributions(self.base, parts, log_odds - (parts.sum(axis=1) + self.base))

    def signals(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """float64[n, M]: every member's signal, added up from its parts."""
        found = np.empty((len(features), len(self.members)))
        for k, member in enumerate(self.members):
            parts = np.zeros(features.shape, np.float64)
            member.add_to(parts, features, 1.0)
            found[:, k] = member.base + parts.sum(axis=1)
        return found


def attribution_of(
    graph: onnx.GraphProto, members: tuple[str, ...], n_features: int
) -> Attribution:
    """Read trees, weights and constants of `members` from the fused graph.

    ModelError where a member's are missing or malformed.
    """
    nodes = {n.name: n for n in graph.node}
    constants = {c.name: numpy_helper.to_array(c) for c in graph.initializer}
    found = tuple(_parts_of(name, nodes, constants, n_features) for name in members)
    base = _constant(constants, BIAS) + sum(member.weight * member.base for member in found)
    return Attribution(base, found)


def _parts_of(
    name: str, nodes: dict[str, onnx.NodeProto], constants: Constants, n_features: int
) -> MemberParts:
    """What a member is shows in the names it has in the graph."""
    weight = _constant(constants, WEIGHT.format(name))
    if COEFFICIENTS.format(name) in constants:
        return LinearParts.read(constants, name, n_features, weight)
    if SHARES.format(name) in constants:
        return ReconstructionParts.read(constants, name, n_features, weight)
    if TREES.format(name) not in nodes:
        raise ModelError(
            f"the model has nothing by which its member {name} could be explained; export it again"
        )
    trees = trees_of(nodes[TREES.format(name)], n_features)
    medians = constants.get(MEDIANS.format(name))
    filled = None if medians is None else np.asarray(medians.ravel(), np.float32)
    return MemberTrees(pack(trees), weight, filled, trees.base)


def _constant(constants: Constants, name: str) -> float:
    if name not in constants or constants[name].size != 1:
        raise ModelError(f"the model has no constant {name}; export it again")
    return float(constants[name].ravel()[0])


@njit(cache=True, nogil=True)
def _walk(
    features: NDArray[np.float32],
    roots: NDArray[np.int32],
    nodes: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32], NDArray[np.float64]],
    weight: float,
    parts: NDArray[np.float64],
) -> None:
    """Add weight × path contributions to parts. Trees outside, rows inside: one tree stays in
    the first cache while all rows pass, and a row's additions keep one order in every batch."""
    child, split, threshold, mean = nodes
    for root in roots:
        for row in range(features.shape[0]):
            node = root
            before = mean[node]
            while child[node] != 0:
                feature = split[node] >> 1
                x = features[row, feature]
                if x < threshold[node] or (np.isnan(x) and split[node] & 1 == 1):
                    node = child[node]
                else:
                    node = child[node] + 1
                parts[row, feature] += weight * (mean[node] - before)
                before = mean[node]
