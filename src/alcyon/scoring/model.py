"""A model: one fused ONNX file, checked before it is believed, and what it says of a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numba import njit
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from alcyon.domain.columns import NULL_INT
from alcyon.domain.errors import ModelError
from alcyon.scoring.attribution import Attribution, Contributions, attribution_of
from alcyon.scoring.inspection import checked_graph, read_golden, read_manifest
from alcyon.scoring.manifest import GOLDEN_FILE, MODEL_FILE, Manifest

FEATURES, LOG_ODDS, MEMBERS = "features", "log_odds", "members"
"""The graph's input float32[n, F] and outputs float32[n] and float32[n, M]."""

SCORE_AT_EVEN_ODDS, SCORE_PER_LOG_ODDS = 500.0, 50.0
"""score = clamp(round(500 + 50 · log-odds), 0, 1000): 500 is one fraud in two, each 50 points
multiply the odds by e, each 115 by ten; 0 is below 45 in a million, 1000 above 999,955."""

REFUSALS = (
    ort_errors.Fail, ort_errors.InvalidArgument, ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf, ort_errors.NotImplemented, ort_errors.RuntimeException,
)  # fmt: skip
"""What ONNX Runtime raises for a graph it will not run."""

MEMBER_TOLERANCE = 1e-6
"""Between recorded and served member scores: another processor's `exp` may differ in the last
bit. The log-odds come of sums and products alone and must be equal to the bit."""
REMAINDER_TOLERANCE = 1e-3
"""Between attributed and served log-odds on recorded rows; rounding leaves about 1e-6."""


@dataclass(frozen=True, eq=False)
class Scores:
    """What a model says of n rows.

    log_odds: float64[n], natural; probability_ppm: int64[n] = round half even of 1e6 ·
    sigmoid(log_odds); score: int64[n], 0 … 1000; members: float32[n, M], each member's own
    score; usable: bool[n], False where the log-odds are not finite (ppm and score are NULL_INT).
    """

    log_odds: NDArray[np.float64]
    probability_ppm: NDArray[np.int64]
    score: NDArray[np.int64]
    members: NDArray[np.float32]
    usable: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model. Scores are a function of the row alone, whatever batch it stands in."""

    manifest: Manifest
    version: str
    """The first 16 hex digits of the model file's SHA-256."""
    attribution: Attribution
    session: Any
    """The onnxruntime.InferenceSession; the library is untyped."""

    @classmethod
    def load(cls, directory: Path, *, catalog_hash: str, feature_names: Sequence[str]) -> Model:
        """Load a model directory; ModelError unless every check holds.

        Manifest readable; catalog and features those asked for; file within its size cap, equal
        to the manifest's hash, self-contained, made of allowed operations; trees well formed;
        and on the recorded golden rows finite and equal to the recorded outputs.
        """
        manifest = read_manifest(directory)
        _check_fit(manifest, catalog_hash, feature_names)
        return cls._loaded(directory, manifest)

    @classmethod
    def load_any(cls, directory: Path) -> Model:
        """As `load`, for the catalog that the manifest names: to keep it, not to decide by it."""
        return cls._loaded(directory, read_manifest(directory))

    @classmethod
    def _loaded(cls, directory: Path, manifest: Manifest) -> Model:
        n_features = len(manifest.feature_names)
        raw, graph = checked_graph(directory / MODEL_FILE, manifest.model_sha256)
        names = tuple(m.name for m in manifest.members)
        attribution = attribution_of(graph, names, n_features)
        version = hashlib.sha256(raw).hexdigest()[:16]
        model = cls(manifest, version, attribution, session_of(raw, n_features))
        model._check_golden(*read_golden(directory / GOLDEN_FILE, manifest))
        return model

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The features in column order."""
        return self.manifest.feature_names

    @property
    def member_names(self) -> tuple[str, ...]:
        """The members in column order of `Scores.members`."""
        return tuple(m.name for m in self.manifest.members)

    def score(self, features: NDArray[np.float32]) -> Scores:
        """Score features float32[n, F], NaN where null; n may be 0."""
        n = len(features)
        if n == 0:
            return _scores_of(
                np.empty(0, np.float32), np.empty((0, len(self.manifest.members)), np.float32)
            )
        return _scores_of(*self.session.run((LOG_ODDS, MEMBERS), {FEATURES: features}))

    def contributions(
        self, features: NDArray[np.float32], log_odds: NDArray[np.float64]
    ) -> Contributions:
        """What each feature adds to `log_odds` float64[n], as scored from features[n, F]."""
        return self.attribution.of(features, log_odds)

    def _check_golden(
        self,
        features: NDArray[np.float32],
        log_odds: NDArray[np.float32],
        members: NDArray[np.float32],
    ) -> None:
        found = self.score(features)
        if not (found.usable.all() and np.isfinite(found.members).all()):
            raise ModelError("the model gives values that are not finite on its recorded rows")
        if not np.array_equal(found.log_odds, log_odds.astype(np.float64)):
            raise ModelError("the model's log-odds differ from the recorded ones; export it again")
        if not np.allclose(found.members, members, rtol=0, atol=MEMBER_TOLERANCE):
            raise ModelError("the members' scores differ from the recorded ones; export it again")
        remainder = self.contributions(features, found.log_odds).remainder
        if np.abs(remainder).max() > REMAINDER_TOLERANCE:
            raise ModelError("the model's reasons do not add up to its log-odds; export it again")


def _scores_of(log_odds: NDArray[np.float32], members: NDArray[np.float32]) -> Scores:
    n = len(log_odds)
    scores = Scores(
        np.empty(n, np.float64), np.empty(n, np.int64), np.empty(n, np.int64), members,
        np.empty(n, np.bool_),
    )  # fmt: skip
    _fill(log_odds, scores.log_odds, scores.probability_ppm, scores.score, scores.usable)
    return scores


def probability_ppm_of(log_odds: NDArray[np.float64]) -> NDArray[np.int64]:
    """int64[n]: round half even of 1e6 · sigmoid(log_odds), by the loop that serves."""
    n = len(log_odds)
    ppm = np.empty(n, np.int64)
    _fill(log_odds, np.empty(n), ppm, np.empty(n, np.int64), np.empty(n, np.bool_))
    return ppm


@njit(cache=True, nogil=True)
def _fill(
    served: NDArray[np.floating[Any]],
    log_odds: NDArray[np.float64],
    ppm: NDArray[np.int64],
    score: NDArray[np.int64],
    usable: NDArray[np.bool_],
) -> None:
    """One row after the other: NumPy's vectorised exp may differ with a row's place in a batch."""
    for i in range(len(served)):
        x = float(served[i])
        log_odds[i] = x
        usable[i] = np.isfinite(x)
        if not usable[i]:
            ppm[i] = NULL_INT
            score[i] = NULL_INT
            continue
        small = exp(-abs(x))
        odds = 1.0 if x >= 0 else small
        ppm[i] = np.int64(np.rint(1e6 * odds / (1.0 + small)))
        points = np.rint(SCORE_AT_EVEN_ODDS + SCORE_PER_LOG_ODDS * x)
        score[i] = np.int64(min(max(points, 0.0), 1000.0))


def _check_fit(manifest: Manifest, catalog_hash: str, feature_names: Sequence[str]) -> None:
    if manifest.catalog_hash != catalog_hash:
        raise ModelError(
            f"the model was trained on catalog {manifest.catalog_hash[:12]}, this is catalog "
            f"{catalog_hash[:12]}; train a model on this catalog"
        )
    if manifest.feature_names != tuple(feature_names):
        raise ModelError(
            "the model's features are not the catalog's; train a model on this catalog"
        )


def session_of(raw: bytes, n_features: int) -> Any:
    """An onnxruntime session over checked bytes: one thread (two give other bits in a few rows),
    no spinning (it burns a core while idle). ModelError if ONNX Runtime refuses the graph or its
    input is not float32[n, n_features]."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    except REFUSALS as error:
        raise ModelError(f"ONNX Runtime refuses the model: {str(error).splitlines()[0]}") from error
    inputs = [(i.name, i.type, i.shape[-1]) for i in session.get_inputs()]
    outputs = [(o.name, o.type) for o in session.get_outputs()]
    if inputs != [(FEATURES, "tensor(float)", n_features)] or outputs != [
        (LOG_ODDS, "tensor(float)"),
        (MEMBERS, "tensor(float)"),
    ]:
        raise ModelError("the model's inputs or outputs are not ours; export it again")
    return session
