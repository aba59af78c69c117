"""Online: a model whose online member has learnt on, as files; all else of it stays to the bit.

The member is read back from the model's own graph and goes on from what is served. Nothing here
decides who gets the new model: it is published as a challenger.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from alcyon.domain.errors import InputError, ModelError
from alcyon.learning.dataset import Examples
from alcyon.learning.export import (
    LOG_ODDS_ERROR_MAX,
    MEMBER_ERROR_MAX,
    check_batch_invariance,
)
from alcyon.learning.linear import OnlineLinear
from alcyon.learning.scaling import Scaling
from alcyon.scoring.inspection import checked_graph, read_golden
from alcyon.scoring.manifest import GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE, Manifest
from alcyon.scoring.model import Model, session_of
from alcyon.scoring.scaled import COEFFICIENTS, INTERCEPT, NULL_COEFFICIENTS, LinearParts

NAME = OnlineLinear.name


def learn_more(
    directory: Path, examples: Examples, weights: NDArray[np.float64], seed: int, out: Path
) -> Manifest:
    """Write to `out` the model of `directory` after its online member has learnt these once.

    weights: float64[n]. InputError: it has no online member of any weight, or there is nothing to
    learn. ModelError: the files are damaged, or what came of it is not faithful; nothing counts
    that lies in `out` then.
    """
    old = Model.load_any(directory)
    raw, graph = checked_graph(directory / MODEL_FILE, old.manifest.model_sha256)
    rows = read_golden(directory / GOLDEN_FILE, old.manifest)[0]
    weight = {m.name: m.weight for m in old.manifest.members}.get(NAME, 0.0)
    if weight == 0.0:
        raise InputError(f"model {old.version} has no online member that counts; train another")
    member = _member(graph, len(old.feature_names), seed)
    taught = member.learn_more(examples.features, examples.is_fraud, weights)
    if taught is member:
        raise InputError("nothing new is known that could be learnt")
    changed = _with_member(raw, taught)
    log_odds, members = session_of(changed, rows.shape[1]).run(
        ("log_odds", "members"), {"features": rows}
    )
    signal = taught.signal(rows)
    wanted = old.score(rows).log_odds + weight * (signal - member.signal(rows))
    error = float(np.abs(log_odds - wanted).max())
    place = old.member_names.index(NAME)
    own = float(np.abs(members[:, place] - taught.score(signal)).max())
    if not (error <= LOG_ODDS_ERROR_MAX and own <= MEMBER_ERROR_MAX):
        raise ModelError(f"what was learnt is served otherwise: by {max(error, own):.2g}")
    golden = _golden(rows, log_odds, members)
    manifest = _manifest(old.manifest, changed, golden, own, error)
    out.mkdir(parents=True, exist_ok=True)
    (out / MODEL_FILE).write_bytes(changed)
    (out / GOLDEN_FILE).write_bytes(golden)
    (out / MANIFEST_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    check_batch_invariance(Model.load_any(out), rows)
    return manifest


def _member(graph: onnx.GraphProto, n_features: int, seed: int) -> OnlineLinear:
    constants = {c.name: numpy_helper.to_array(c) for c in graph.initializer}
    parts = LinearParts.read(constants, NAME, n_features, 1.0)
    both = np.concatenate([parts.coefficients, parts.null_coefficients])
    scaling = Scaling(parts.scale.medians, parts.scale.scale)
    return OnlineLinear(scaling, both, np.float32(parts.base), seed)


def _with_member(raw: bytes, member: OnlineLinear) -> bytes:
    """The same graph with the member's constants."""
    model = onnx.load_model_from_string(raw)
    n_features = len(member.coefficients) // 2
    values = {
        COEFFICIENTS: member.coefficients[:n_features, None],
        NULL_COEFFICIENTS: member.coefficients[n_features:, None],
        INTERCEPT: np.array([[member.intercept]], np.float32),
    }
    by_name = {name.format(NAME): value for name, value in values.items()}
    for constant in model.graph.initializer:
        if constant.name in by_name:
            constant.CopyFrom(numpy_helper.from_array(by_name[constant.name], constant.name))
    return bytes(model.SerializeToString(deterministic=True))


def _golden(
    rows: NDArray[np.float32], log_odds: NDArray[np.float32], members: NDArray[np.float32]
) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, features=rows, log_odds=log_odds, members=members)
    return buffer.getvalue()


def _manifest(old: Manifest, model: bytes, golden: bytes, own: float, error: float) -> Manifest:
    """The figures were the old model's; the new one's are found beside the champion."""
    members = tuple(
        msgspec.structs.replace(m, parity=own) if m.name == NAME else m for m in old.members
    )
    return msgspec.structs.replace(
        old,
        members=members,
        metrics={},
        parity=max(old.parity, error),
        model_sha256=hashlib.sha256(model).hexdigest(),
        golden_sha256=hashlib.sha256(golden).hexdigest(),
    )
