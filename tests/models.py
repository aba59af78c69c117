"""Models for the registries' tests: two that are fit, and one of every kind that is not."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import msgspec
import numpy as np
import onnx
from onnx import numpy_helper

from alcyon.learning.export import export
from alcyon.scoring.manifest import Manifest
from tests.learning.synthetic import exported, policy, trained

METRICS: dict[str, dict[str, float | None]] = {
    "blend": {"average_precision": 0.5, "roc_auc": 0.75, "brier": None}
}


@cache
def two_models() -> tuple[Path, Path]:
    """Of one catalog, with different bytes."""
    folder = Path(mkdtemp(prefix="alcyon-test-"))
    export(trained(), folder / "one", policy(), METRICS)
    export(trained(("xgboost",)), folder / "two", policy(), METRICS)
    return folder / "one", folder / "two"


def damaged(kind: str, place: Path, source: Path | None = None) -> Path:
    """A copy of a model (`source`, or any) at `place`, of which something is wrong."""
    shutil.copytree(source or exported(), place)
    _DAMAGE[kind](place)
    return place


def change_graph(directory: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    """Change the ONNX file and let the manifest vouch for it: other checks must refuse."""
    file, path = directory / "model.onnx", directory / "manifest.json"
    graph = onnx.load_model_from_string(file.read_bytes())
    change(graph)
    file.write_bytes(graph.SerializeToString())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, model_sha256=digest)))


def _corrupt(place: Path) -> None:
    raw = bytearray((place / "model.onnx").read_bytes())
    raw[len(raw) // 2] ^= 1
    (place / "model.onnx").write_bytes(raw)


def _external(place: Path) -> None:
    def change(graph: onnx.ModelProto) -> None:
        tensor = graph.graph.initializer[0]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../secret")

    change_graph(place, change)


def _nan(place: Path) -> None:
    def change(graph: onnx.ModelProto) -> None:
        tensor = next(t for t in graph.graph.initializer if t.name == "blend.bias")
        tensor.CopyFrom(numpy_helper.from_array(np.array([[np.nan]], np.float32), tensor.name))

    change_graph(place, change)


def _half(place: Path) -> None:
    raw = (place / "model.onnx").read_bytes()
    (place / "model.onnx").write_bytes(raw[: len(raw) // 2])


def _empty(place: Path) -> None:
    for file in place.iterdir():
        file.unlink()


_DAMAGE: dict[str, Callable[[Path], None]] = {
    "corrupt": _corrupt,
    "external": _external,
    "nan": _nan,
    "half": _half,
    "no manifest": lambda place: (place / "manifest.json").unlink(),
    "empty": _empty,
}
