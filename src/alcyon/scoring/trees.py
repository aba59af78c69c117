"""Decision trees as flat arrays: what ONNX's `TreeEnsembleRegressor` holds, checked and packed.

Both directions pass here: `learning.graph` writes `Trees` into an ONNX node, `trees_of` reads
them back from a model file, so that attribution walks exactly what ONNX Runtime serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from alcyon.domain.errors import ModelError

LEAF, LESS, LESS_EQUAL = b"LEAF", b"BRANCH_LT", b"BRANCH_LEQ"


@dataclass(frozen=True, eq=False)
class Trees:
    """N nodes of T trees of one ensemble. At a branch a row goes left when
    `x[feature] < threshold` (`<=` if `less_equal`), and where x is NaN when `missing_left`.

    roots: int64[T]; feature, left, right: int64[N], node indices over all trees, left = right =
    feature = -1 at a leaf; threshold, value: float32[N] (value: the leaf's output);
    missing_left: bool[N]; cover: float32[N], training weight or count that reached the node;
    base: added to the sum of the leaves' values.
    """

    roots: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    value: NDArray[np.float32]
    cover: NDArray[np.float32]
    less_equal: bool
    base: float = 0.0


@dataclass(frozen=True, eq=False)
class PackedTrees:
    """Trees laid out for walking: a node's children are neighbours, right = left + 1, and every
    branch asks `x < threshold` (x <= t is x < the next float32 above t).

    roots: int32[T]; child: int32[N], the left child, 0 at a leaf; split: int32[N], feature * 2 +
    missing_left; threshold: float32[N]; mean: float64[N], the cover-weighted mean of the leaves'
    values below the node.
    """

    roots: NDArray[np.int32]
    child: NDArray[np.int32]
    split: NDArray[np.int32]
    threshold: NDArray[np.float32]
    mean: NDArray[np.float64]


def trees_of(node: onnx.NodeProto, n_features: int) -> Trees:
    """Read a TreeEnsembleRegressor with one target, summed; ModelError for any other shape."""
    at = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    _require(at.get("n_targets", 1) == 1, "has more than one target")
    _require(at.get("aggregate_function", b"SUM") == b"SUM", "does not sum its trees")
    _require(at.get("post_transform", b"NONE") == b"NONE", "transforms its sum")
    try:
        return _read(at, n_features)
    except (KeyError, ValueError, IndexError) as error:
        raise ModelError(
            f"a tree ensemble in the model is malformed ({error}); export it again"
        ) from error


def _read(at: Mapping[str, object], n_features: int) -> Trees:
    """The attributes as arrays; node ids become indices over all trees."""
    tree, node = _ints(at, "nodes_treeids"), _ints(at, "nodes_nodeids")
    modes = at["nodes_modes"]
    assert isinstance(modes, list)
    mode = np.array(modes, dtype="S16")
    n, branch = len(tree), mode != LEAF
    kinds = set(mode[branch].tolist())
    _require(kinds <= {LESS} or kinds <= {LESS_EQUAL}, "mixes or has unknown branch modes")
    first = np.flatnonzero(np.r_[True, tree[1:] != tree[:-1]])
    _require(len(np.unique(tree)) == len(first), "has a tree in two pieces")
    start = np.repeat(first, np.diff(np.r_[first, n]))
    _require(bool((node == np.arange(n) - start).all()), "does not number its nodes in order")
    size = np.repeat(np.diff(np.r_[first, n]), np.diff(np.r_[first, n]))
    left, right = _ints(at, "nodes_truenodeids"), _ints(at, "nodes_falsenodeids")
    feature = _ints(at, "nodes_featureids")
    for child in (left, right):
        _require(
            bool(((child > node) & (child < size))[branch].all()), "has a child before its parent"
        )
    _require(
        bool(((feature >= 0) & (feature < n_features))[branch].all()), "asks for no such feature"
    )
    value = np.zeros(n, np.float32)
    value[
        first[_tree_rank(tree, first, _ints(at, "target_treeids"))] + _ints(at, "target_nodeids")
    ] = _floats(at, "target_weights")
    base = at.get("base_values", [0.0])
    assert isinstance(base, list)
    return Trees(
        roots=first,
        feature=np.where(branch, feature, -1),
        threshold=_floats(at, "nodes_values"),
        left=np.where(branch, left + start, -1),
        right=np.where(branch, right + start, -1),
        missing_left=_ints(at, "nodes_missing_value_tracks_true") == 1,
        value=value,
        cover=_floats(at, "nodes_hitrates"),
        less_equal=LESS_EQUAL in kinds,
        base=float(base[0]),
    )


def pack(trees: Trees) -> PackedTrees:
    """Lay trees out for walking, each breadth-first from its root; means are taken in float64."""
    n = len(trees.feature)
    order: list[int] = []
    child = np.zeros(n, np.int32)
    roots = np.zeros(len(trees.roots), np.int32)
    left, right = trees.left.tolist(), trees.right.tolist()
    for t, root in enumerate(trees.roots.tolist()):
        roots[t] = head = len(order)
        order.append(root)
        while head < len(order):
            if left[order[head]] >= 0:
                child[head] = len(order)
                order += (left[order[head]], right[order[head]])
                _require(len(order) <= n, "gives a node two parents")
            head += 1
    _require(len(order) == n, "has nodes that no branch reaches")
    rows = np.array(order)
    threshold = trees.threshold[rows]
    if trees.less_equal:
        threshold = np.nextafter(threshold, np.float32(np.inf), dtype=np.float32)
    split = np.maximum(trees.feature[rows], 0) * 2 + trees.missing_left[rows]
    mean = _means(child, trees.value[rows].astype(np.float64), trees.cover[rows].astype(np.float64))
    return PackedTrees(roots, child, split.astype(np.int32), threshold, mean)


def _means(
    child: NDArray[np.int32], value: NDArray[np.float64], cover: NDArray[np.float64]
) -> NDArray[np.float64]:
    """float64[N]: leaf values averaged upwards by cover; children stand behind their parent."""
    mean = value.copy()
    for node in np.flatnonzero(child)[::-1].tolist():
        left = child[node]
        weight = cover[left] + cover[left + 1]
        _require(bool(weight > 0 and np.isfinite(weight)), "has a branch without training rows")
        mean[node] = (cover[left] * mean[left] + cover[left + 1] * mean[left + 1]) / weight
    _require(bool(np.isfinite(mean).all()), "has leaves that are not finite")
    return mean


def _tree_rank(
    tree: NDArray[np.int64], first: NDArray[np.int64], wanted: NDArray[np.int64]
) -> NDArray[np.int64]:
    """int64[m]: which tree, in order of storage, each wanted tree id is; ids must ascend."""
    ids = tree[first]
    _require(bool((np.diff(ids) > 0).all() and np.isin(wanted, ids).all()), "mixes up its trees")
    return np.searchsorted(ids, wanted)


def _ints(at: Mapping[str, object], name: str) -> NDArray[np.int64]:
    return np.array(at[name], np.int64)


def _floats(at: Mapping[str, object], name: str) -> NDArray[np.float32]:
    return np.array(at[name], np.float32)


def _require(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise ModelError(f"a tree ensemble in the model {otherwise}; export it again")
