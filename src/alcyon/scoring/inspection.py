"""Inspection: reading a model directory's files as what they may be, not what they claim.

An ONNX file is a program: it may name other files to read, call operations of other libraries,
or be of any size. Bytes are read once, checked, and it is those bytes that are then used.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray

from alcyon.domain.errors import ModelError
from alcyon.scoring.manifest import MANIFEST_FILE, Manifest

MODEL_BYTES_MAX = 64 * 2**20
MANIFEST_BYTES_MAX = 4 * 2**20
GOLDEN_BYTES_MAX = 16 * 2**20

ALLOWED_OPERATIONS = frozenset(
    {
        ("", "Add"),
        ("", "Clip"),
        ("", "Concat"),
        ("", "Div"),
        ("", "Exp"),
        ("", "IsNaN"),
        ("", "MatMul"),
        ("", "Mul"),
        ("", "Relu"),
        ("", "Sigmoid"),
        ("", "Sqrt"),
        ("", "Squeeze"),
        ("", "Sub"),
        ("", "Where"),
        ("ai.onnx.ml", "TreeEnsembleRegressor"),
    }
)
"""(domain, operation): each gives a row the same bits in any batch (a test runs them all)."""

Golden = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def read_manifest(directory: Path) -> Manifest:
    """Decode manifest.json; ModelError if missing, too large or not a manifest."""
    raw = read_capped(directory / MANIFEST_FILE, MANIFEST_BYTES_MAX)
    try:
        return msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{MANIFEST_FILE} is not a model's manifest: {error}") from error


def checked_graph(path: Path, sha256: str) -> tuple[bytes, onnx.GraphProto]:
    """The file's bytes and its graph; ModelError unless the hash is the manifest's, the file
    needs no other, and all operations are allowed ones."""
    raw = read_capped(path, MODEL_BYTES_MAX)
    _check_hash(raw, sha256, path.name)
    try:
        model = onnx.load_model_from_string(raw)
    except DecodeError as error:
        raise ModelError(f"{path.name} is not an ONNX file") from error
    if model.functions or model.training_info:
        raise ModelError(f"{path.name} defines functions of its own, which is not allowed")
    _check_graph(model.graph, path.name)
    return raw, model.graph


def read_golden(path: Path, manifest: Manifest) -> Golden:
    """The recorded rows: features float32[n, F], log-odds float32[n], members float32[n, M]."""
    raw = read_capped(path, GOLDEN_BYTES_MAX)
    _check_hash(raw, manifest.golden_sha256, path.name)
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
            features, log_odds, members = (
                np.asarray(arrays[k], np.float32) for k in ("features", "log_odds", "members")
            )
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path.name} cannot be read: {error}") from error
    n = len(features)
    shapes = (n, len(manifest.feature_names)), (n,), (n, len(manifest.members))
    if n == 0 or (features.shape, log_odds.shape, members.shape) != shapes:
        raise ModelError(f"{path.name} does not fit the manifest; export the model again")
    return features, log_odds, members


def read_capped(path: Path, bytes_max: int) -> bytes:
    """A file's bytes; ModelError if it cannot be read or holds more than `bytes_max`."""
    try:
        with path.open("rb") as file:
            raw = file.read(bytes_max + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelError(
            f"there is no {path.name} in {path.parent}: name the folder of a model, as alcyon "
            "train --out makes one"
        ) from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    if len(raw) > bytes_max:
        raise ModelError(f"{path.name} is larger than {bytes_max} bytes")
    return raw


def _check_hash(raw: bytes, sha256: str, name: str) -> None:
    if hashlib.sha256(raw).hexdigest() != sha256:
        raise ModelError(f"{name} is not the file its manifest describes (hash differs)")


def _check_graph(graph: onnx.GraphProto, name: str) -> None:
    if graph.sparse_initializer:
        raise ModelError(f"{name} holds sparse constants, which are not allowed")
    tensors = list(graph.initializer)
    for node in graph.node:
        domain = "" if node.domain == "ai.onnx" else node.domain
        if (domain, node.op_type) not in ALLOWED_OPERATIONS:
            raise ModelError(f"{name} uses the operation {node.op_type}, which is not allowed")
        for attribute in node.attribute:
            tensors += [attribute.t, *attribute.tensors]
            if attribute.HasField("g") or attribute.graphs:
                raise ModelError(f"{name} nests graphs, which is not allowed")
    for tensor in tensors:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ModelError(f"{name} keeps data in another file, which is not allowed")
