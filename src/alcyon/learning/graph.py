"""The fused graph: members, blend and outputs as one ONNX model, built node by node.

    features [n, F] ── member ── signal [n, 1] ── · weight ──┐
                        │                                    ├─ + … + bias ── log_odds [n]
                        └─────── score [n, 1] ── members [n, M]

Only elementwise operations follow the trees: a reduction's order, and with it the last bit,
would depend on a row's place in its batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from alcyon.learning.member import Fragment
from alcyon.scoring.attribution import BIAS, TREES, WEIGHT
from alcyon.scoring.trees import LEAF, LESS, LESS_EQUAL, Trees

OPSET, ML_OPSET, IR_VERSION = 17, 3, 8


def tree_node(trees: Trees, member: str, source: str) -> onnx.NodeProto:
    """`trees` over the tensor `source` as the node `{member}.trees`, giving `{member}.signal`."""
    n = len(trees.feature)
    sizes = np.diff(np.append(trees.roots, n))
    tree, start = np.repeat(np.arange(len(sizes)), sizes), np.repeat(trees.roots, sizes)
    leaf = trees.left < 0
    branch = LESS_EQUAL if trees.less_equal else LESS
    return helper.make_node(
        "TreeEnsembleRegressor",
        [source],
        [f"{member}.signal"],
        name=TREES.format(member),
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function="SUM",
        post_transform="NONE",
        base_values=[float(np.float32(trees.base))] if trees.base else None,
        nodes_treeids=tree.tolist(),
        nodes_nodeids=(np.arange(n) - start).tolist(),
        nodes_featureids=np.maximum(trees.feature, 0).tolist(),
        nodes_modes=np.where(leaf, LEAF.decode(), branch.decode()).tolist(),
        nodes_values=trees.threshold.tolist(),
        nodes_truenodeids=np.where(leaf, 0, trees.left - start).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, trees.right - start).tolist(),
        nodes_missing_value_tracks_true=trees.missing_left.astype(int).tolist(),
        nodes_hitrates=trees.cover.tolist(),
        target_treeids=tree[leaf].tolist(),
        target_nodeids=(np.arange(n) - start)[leaf].tolist(),
        target_ids=np.zeros(int(leaf.sum()), int).tolist(),
        target_weights=trees.value[leaf].tolist(),
    )


def fused_model(
    fragments: Sequence[Fragment],
    names: Sequence[str],
    weights: NDArray[np.float64],
    bias: float,
    n_features: int,
) -> onnx.ModelProto:
    """Join the members' fragments by weights float64[M] and bias into one model."""
    constants = [_constant(BIAS, bias), numpy_helper.from_array(np.array([1]), "column")]
    nodes: list[onnx.NodeProto] = []
    total = BIAS
    for fragment, name, weight in zip(fragments, names, weights.tolist(), strict=True):
        nodes += fragment.nodes
        constants += [*fragment.constants, _constant(WEIGHT.format(name), weight)]
        part, total_with = f"{name}.log_odds", f"{name}.total"
        nodes.append(helper.make_node("Mul", [f"{name}.signal", WEIGHT.format(name)], [part]))
        nodes.append(helper.make_node("Add", [total, part], [total_with]))
        total = total_with
    nodes.append(helper.make_node("Squeeze", [total, "column"], ["log_odds"]))
    scores = [f"{name}.score" for name in names]
    nodes.append(helper.make_node("Concat", scores, ["members"], axis=1))
    graph = helper.make_graph(
        nodes,
        "alcyon",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", n_features])],
        [
            helper.make_tensor_value_info("log_odds", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("members", TensorProto.FLOAT, ["n", len(names)]),
        ],
        constants,
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(
        graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="alcyon"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _constant(name: str, value: float) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array([[value]], np.float32), name)
