from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from alcyon.domain.columns import NULL_INT
from alcyon.domain.errors import ModelError
from alcyon.learning.training import MEMBERS
from alcyon.scoring.inspection import MODEL_BYTES_MAX
from alcyon.scoring.manifest import Manifest
from alcyon.scoring.model import Model, Scores, probability_ppm_of
from tests.learning.synthetic import CATALOG, NAMES, exported, model, recorded

BATCHES = (1, 2, 3, 7, 16, 63, 1000)
Change = Callable[[onnx.ModelProto], None]


def load(directory: Path) -> Model:
    return Model.load(directory, catalog_hash=CATALOG, feature_names=NAMES)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return shutil.copytree(exported(), tmp_path / "model")


def rewrite_manifest(directory: Path, **changes: object) -> None:
    path = directory / "manifest.json"
    manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, **changes)))


def change_graph(directory: Path, change: Change) -> None:
    """Change the ONNX file and let the manifest vouch for it: other checks must refuse."""
    path = directory / "model.onnx"
    graph = onnx.load_model_from_string(path.read_bytes())
    change(graph)
    path.write_bytes(graph.SerializeToString())
    rewrite_manifest(directory, model_sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def columns(scores: Scores) -> list[bytes]:
    return [getattr(scores, f).tobytes() for f in scores.__dataclass_fields__]


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("size", BATCHES)
def test_a_row_is_scored_alike_in_every_batch(size: int, shift: int) -> None:
    rows = recorded(1001)
    whole = model().score(rows)
    for start in range(shift, len(rows), size):
        part, at = model().score(rows[start : start + size]), slice(start, start + size)
        for field in whole.__dataclass_fields__:
            assert getattr(part, field).tobytes() == getattr(whole, field)[at].tobytes()


def test_no_rows_have_no_scores() -> None:
    scores = model().score(np.empty((0, len(NAMES)), np.float32))
    assert len(scores.log_odds) == len(scores.usable) == 0
    assert scores.members.shape == (0, len(MEMBERS))


@pytest.mark.parametrize("log_odds", [-30.0, -9.9, -4.5, -1e-9, 0.0, 0.3, 7.25, 40.0])
def test_the_probability_is_the_sigmoid_rounded_half_even(log_odds: float) -> None:
    exact = 1_000_000 / (1 + (-Decimal(log_odds)).exp())
    assert probability_ppm_of(np.array([log_odds])).tolist() == [int(exact.to_integral_value())]


def test_the_score_rises_with_the_log_odds_from_0_to_1000() -> None:
    scores = model().score(recorded(1000))
    order = np.argsort(scores.log_odds)
    assert (np.diff(scores.score[order]) >= 0).all()
    assert (np.diff(scores.probability_ppm[order]) >= 0).all()
    expected = np.clip(np.rint(500 + 50 * scores.log_odds), 0, 1000)
    assert scores.score.tolist() == expected.tolist()


def test_a_row_without_finite_score_is_flagged_and_null() -> None:
    ppm = probability_ppm_of(np.array([np.nan, np.inf, 0.0]))
    assert ppm.tolist() == [NULL_INT, NULL_INT, 500_000]


def test_members_scores_stand_beside_the_blend() -> None:
    scores = model().score(recorded(500))
    assert model().member_names == tuple(MEMBERS)
    assert ((scores.members > 0) & (scores.members < 1)).all()


def test_a_model_refuses_another_catalog() -> None:
    with pytest.raises(ModelError, match="trained on catalog"):
        Model.load(exported(), catalog_hash="d" * 64, feature_names=NAMES)


def test_a_model_refuses_features_in_another_order() -> None:
    with pytest.raises(ModelError, match="features"):
        Model.load(exported(), catalog_hash=CATALOG, feature_names=NAMES[::-1])


@pytest.mark.parametrize("file", ["model.onnx", "golden.npz"])
def test_a_changed_file_is_refused(directory: Path, file: str) -> None:
    raw = bytearray((directory / file).read_bytes())
    raw[len(raw) // 2] ^= 1
    (directory / file).write_bytes(raw)
    with pytest.raises(ModelError, match="hash differs"):
        load(directory)


@pytest.mark.parametrize("file", ["model.onnx", "golden.npz", "manifest.json"])
def test_a_missing_file_is_refused(directory: Path, file: str) -> None:
    (directory / file).unlink()
    with pytest.raises(ModelError, match=f"there is no {file} in {directory}: name the folder"):
        load(directory)


def test_a_file_that_is_a_folder_is_refused(directory: Path) -> None:
    (directory / "manifest.json").unlink()
    (directory / "manifest.json").mkdir()
    with pytest.raises(ModelError, match=f"{directory}/manifest.json cannot be read: Is a direct"):
        load(directory)


def test_a_manifest_that_is_none_is_refused(directory: Path) -> None:
    (directory / "manifest.json").write_text('{"format": 7}')
    with pytest.raises(ModelError, match="not a model's manifest"):
        load(directory)


def test_a_file_over_the_cap_is_refused(directory: Path) -> None:
    os.truncate(directory / "model.onnx", MODEL_BYTES_MAX + 1)
    with pytest.raises(ModelError, match="larger than"):
        load(directory)


def external(graph: onnx.ModelProto) -> None:
    tensor = graph.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")


def foreign_operation(graph: onnx.ModelProto) -> None:
    graph.graph.node.append(helper.make_node("ReduceMean", ["features"], ["unused"]))


def foreign_domain(graph: onnx.ModelProto) -> None:
    graph.graph.node.append(helper.make_node("Add", ["features"], ["unused"], domain="evil"))


def child_before_parent(graph: onnx.ModelProto) -> None:
    for attribute in trees(graph).attribute:
        if attribute.name == "nodes_truenodeids":
            attribute.ints[1] = 0


def feature_out_of_range(graph: onnx.ModelProto) -> None:
    for attribute in trees(graph).attribute:
        if attribute.name == "nodes_featureids":
            attribute.ints[0] = len(NAMES)


def network_that_ends_elsewhere(graph: onnx.ModelProto) -> None:
    """The last layer is taken away by its name only: the reasons could no longer be computed."""
    names = [c.name for c in graph.graph.initializer]
    last = max(n for n in names if n.startswith("autoencoder.layer_"))
    for node in graph.graph.node:
        node.input[:] = ["hidden" if i == last else i for i in node.input]
    next(c for c in graph.graph.initializer if c.name == last).name = "hidden"


def without_intercept(graph: onnx.ModelProto) -> None:
    for node in graph.graph.node:
        node.input[:] = ["start" if i == "online_linear.intercept" else i for i in node.input]
    constants = graph.graph.initializer
    next(c for c in constants if c.name == "online_linear.intercept").name = "start"


def other_shares(graph: onnx.ModelProto) -> None:
    """A second constant under the name that is read, while the graph uses the first."""
    shares = next(c for c in graph.graph.initializer if c.name == "autoencoder.shares")
    for node in graph.graph.node:
        node.input[:] = ["used" if i == shares.name else i for i in node.input]
    twice = numpy_helper.from_array(numpy_helper.to_array(shares) * 2, shares.name)
    shares.name = "used"
    graph.graph.initializer.append(twice)


def trees(graph: onnx.ModelProto) -> onnx.NodeProto:
    return next(n for n in graph.graph.node if n.op_type == "TreeEnsembleRegressor")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external, "another file"),
        (foreign_operation, "ReduceMean"),
        (foreign_domain, "not allowed"),
        (child_before_parent, "before its parent"),
        (feature_out_of_range, "no such feature"),
        (network_that_ends_elsewhere, "does not end where it began"),
        (without_intercept, "no constant online_linear.intercept"),
        (other_shares, "do not add up"),
    ],
)
def test_a_graph_that_may_not_be_is_refused(directory: Path, change: Change, message: str) -> None:
    change_graph(directory, change)
    with pytest.raises(ModelError, match=message):
        load(directory)


def test_other_values_than_recorded_are_refused(directory: Path) -> None:
    change_graph(directory, lambda graph: replace_bias(graph, 0.001))
    with pytest.raises(ModelError, match="differ from the recorded"):
        load(directory)


def test_values_that_are_not_finite_are_refused(directory: Path) -> None:
    change_graph(directory, lambda graph: replace_bias(graph, np.nan))
    with pytest.raises(ModelError, match="not finite"):
        load(directory)


def replace_bias(graph: onnx.ModelProto, value: float) -> None:
    tensor = next(t for t in graph.graph.initializer if t.name == "blend.bias")
    tensor.CopyFrom(numpy_helper.from_array(np.array([[value]], np.float32), tensor.name))


def test_serving_imports_no_training_library() -> None:
    heavy = "sklearn", "xgboost", "scipy.stats", "matplotlib", "pandas"
    code = (
        "import sys, alcyon.scoring.model, alcyon.scoring.reasons\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
