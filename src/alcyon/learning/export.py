"""Export: a trained model as files, and the gate that no unfaithful file passes."""

from __future__ import annotations

import hashlib
import io
import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.errors import ModelError
from alcyon.learning.dataset import Examples
from alcyon.learning.graph import fused_model
from alcyon.learning.training import Ensemble, TrainedModel
from alcyon.scoring.manifest import (
    GOLDEN_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    Manifest,
    Member,
    Span,
)  # fmt: skip
from alcyon.scoring.model import Model, Scores, probability_ppm_of, session_of
from alcyon.scoring.policy import Policy, decide_actions

Metrics = dict[str, dict[str, float | None]]

LOG_ODDS_ERROR_MAX = 1e-4
MEMBER_ERROR_MAX = 1e-5
"""Largest differences the gate lets pass, ONNX (float32) against native (float64 sums)."""
PARITY_ROWS_MAX = 20_000
GOLDEN_ROWS = 256
BATCHES = (1, 2, 3, 7, 16, 63, 1000)
LIBRARIES = ("numpy", "onnx", "onnxruntime", "scikit-learn", "xgboost-cpu")


@dataclass(frozen=True)
class Parity:
    """How far the file is from the native members on recorded rows."""

    log_odds: float
    members: tuple[float, ...]
    rows: int


def export(trained: TrainedModel, directory: Path, policy: Policy, metrics: Metrics) -> Manifest:
    """Write model.onnx, manifest.json and golden.npz into `directory`, replacing such files.

    ModelError, and nothing written, unless the model passes `parity_gate`, gives every recorded
    row the same bits in every batch, and can be loaded as the worker will load it.
    """
    names, rows = trained.dataset.feature_names, _recorded_rows(trained)
    with tempfile.TemporaryDirectory(prefix="alcyon-export-") as work:
        draft = Path(work)
        untested = Parity(0.0, (0.0,) * len(trained.ensemble.members), 0)
        _write(trained, draft, policy, metrics, untested)
        model = _loaded(draft, trained)
        check_batch_invariance(model, rows[: max(BATCHES) + 1])
        parity = parity_gate(trained.ensemble, model, rows, policy)
        manifest = _write(trained, draft, policy, metrics, parity)
        _loaded(draft, trained)
        directory.mkdir(parents=True, exist_ok=True)
        for name in (MODEL_FILE, GOLDEN_FILE, MANIFEST_FILE):
            shutil.copyfile(draft / name, directory / name)
    assert manifest.feature_names == names
    return manifest


def parity_gate(
    ensemble: Ensemble, model: Model, rows: NDArray[np.float32], policy: Policy
) -> Parity:
    """Compare ONNX with the native members on rows float32[n, F]; ModelError when log-odds or a
    member's score differ by more than allowed, or when a single action does."""
    signals = ensemble.signals(rows)
    native, served = ensemble.blend.log_odds(signals), model.score(rows)
    error = float(np.abs(served.log_odds - native).max())
    errors = np.abs(served.members - ensemble.scores(signals)).max(axis=0)
    if not error <= LOG_ODDS_ERROR_MAX:
        raise ModelError(f"the exported log-odds differ by {error:.2g} from the native ones")
    for name, found in zip(ensemble.names, errors.tolist(), strict=True):
        if not found <= MEMBER_ERROR_MAX:
            raise ModelError(
                f"the exported member {name} differs by {found:.2g} from the native one"
            )
    flips = _flips(served, native, policy)
    if flips:
        raise ModelError(
            f"{flips} of {len(rows)} recorded rows would be decided otherwise by the export"
        )
    return Parity(error, tuple(errors.tolist()), len(rows))


def check_batch_invariance(model: Model, rows: NDArray[np.float32]) -> None:
    """ModelError unless every row gets the same bits in batches of `BATCHES`, also shifted by
    one, as in one batch of all."""
    whole = model.session.run(("log_odds", "members"), {"features": rows})
    for size in BATCHES:
        for shift in (0, 1):
            for start in range(shift, len(rows), size):
                part = model.session.run(
                    ("log_odds", "members"), {"features": rows[start : start + size]}
                )
                if any(
                    p.tobytes() != w[start : start + size].tobytes()
                    for p, w in zip(part, whole, strict=True)
                ):
                    raise ModelError(f"the exported model's bits depend on the batch (size {size})")


def _flips(served: Scores, native: NDArray[np.float64], policy: Policy) -> int:
    """In how many rows any segment's action differs between served and native scores."""
    ppm = probability_ppm_of(native)
    differs = np.zeros(len(ppm), np.bool_)
    for code in range(len(policy.segment_names)):
        codes = np.full(len(ppm), code)
        native_actions = decide_actions(policy, ppm, np.isfinite(native), codes)
        differs |= native_actions != decide_actions(
            policy, served.probability_ppm, served.usable, codes
        )
    return int(differs.sum())


def _recorded_rows(trained: TrainedModel) -> NDArray[np.float32]:
    """The newest rows of all spans, led by rows with nulls put in: all null, then each feature
    null once."""
    data = trained.dataset
    spans = (data.test, data.validation, data.train)
    newest = np.concatenate([s.features[::-1] for s in spans])[:PARITY_ROWS_MAX]
    n_features = newest.shape[1]
    holes = np.repeat(newest[:1], n_features + 1, axis=0)
    holes[0] = np.nan
    holes[np.arange(1, n_features + 1), np.arange(n_features)] = np.nan
    return np.ascontiguousarray(np.concatenate([holes, newest]))


def _write(
    trained: TrainedModel, directory: Path, policy: Policy, metrics: Metrics, parity: Parity
) -> Manifest:
    ensemble, data = trained.ensemble, trained.dataset
    n_features = len(data.feature_names)
    fragments = [m.graph(n_features) for m in ensemble.members]
    blend = ensemble.blend
    model = fused_model(fragments, ensemble.names, blend.weights, blend.bias, n_features)
    raw = model.SerializeToString(deterministic=True)
    golden = _golden(raw, _recorded_rows(trained)[:GOLDEN_ROWS])
    manifest = Manifest(
        catalog_hash=trained.catalog_hash,
        feature_names=data.feature_names,
        members=_members(ensemble, parity),
        bias=blend.bias,
        policy=policy,
        metrics=metrics,
        search=trained.search,
        training=_span(data.train),
        validation=_span(data.validation),
        parity=parity.log_odds,
        parity_rows=parity.rows,
        model_sha256=hashlib.sha256(raw).hexdigest(),
        golden_sha256=hashlib.sha256(golden).hexdigest(),
        libraries={name: version(name) for name in LIBRARIES},
    )
    (directory / MODEL_FILE).write_bytes(raw)
    (directory / GOLDEN_FILE).write_bytes(golden)
    (directory / MANIFEST_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    return manifest


def _members(ensemble: Ensemble, parity: Parity) -> tuple[Member, ...]:
    empty: list[tuple[float, ...]] = [()] * len(ensemble.members)
    without = [(*blend.weights.tolist(), blend.bias) for blend in ensemble.without] or empty
    weights = ensemble.blend.weights.tolist()
    return tuple(map(Member, ensemble.names, weights, parity.members, without))


def _golden(raw: bytes, rows: NDArray[np.float32]) -> bytes:
    """The recorded rows with what the graph gives for them, as npz."""
    log_odds, members = session_of(raw, rows.shape[1]).run(
        ("log_odds", "members"), {"features": rows}
    )
    buffer = io.BytesIO()
    np.savez_compressed(buffer, features=rows, log_odds=log_odds, members=members)
    return buffer.getvalue()


def _loaded(directory: Path, trained: TrainedModel) -> Model:
    names = trained.dataset.feature_names
    return Model.load(directory, catalog_hash=trained.catalog_hash, feature_names=names)


def _span(examples: Examples) -> Span:
    time = examples.event_time
    return Span(int(time[0]), int(time[-1]) + 1, len(examples), int(examples.is_fraud.sum()))
