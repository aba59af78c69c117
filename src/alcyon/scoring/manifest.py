"""The manifest that lies beside a model file: what it is, was made from and is worth."""

from __future__ import annotations

from typing import Literal

import msgspec

from alcyon.scoring.policy import Policy

MODEL_FILE, MANIFEST_FILE, GOLDEN_FILE = "model.onnx", "manifest.json", "golden.npz"
"""The three files of a model directory."""
BLEND = "blend"
"""The ensemble as one, among the names of its members."""


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One member of the ensemble as exported."""

    name: str
    weight: float
    """Log-odds per unit of the member's signal in the blend."""
    parity: float
    """Largest difference of the member's own score, ONNX against native, on recorded rows."""
    without: tuple[float, ...] = ()
    """The blend had this member been left out: every member's weight (its own 0), then the bias;
    empty for an ensemble of one. It serves evaluation, never a decision."""


class Span(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Event times [start, stop), UTC ms, with the rows and frauds used from it."""

    start: int
    stop: int
    rows: int
    frauds: int


class Search(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A search for better parameters of XGBoost, on time-ordered folds of the train span."""

    parameters: dict[str, float]
    """What it found best, in place of the defaults."""
    average_precision: float
    """Their mean over the folds …"""
    average_precision_of_defaults: float
    """… and the defaults'."""
    trials: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything about a model that is not in its graph."""

    format: Literal[1] = 1
    catalog_hash: str
    feature_names: tuple[str, ...]
    members: tuple[Member, ...]
    bias: float
    """The blend's log-odds with every signal at zero."""
    policy: Policy
    """Thresholds chosen on the validation span, and the costs they were chosen for."""
    metrics: dict[str, dict[str, float | None]]
    """By member name and `blend`: the figures measured on the test span."""
    search: Search | None = None
    training: Span
    validation: Span
    parity: float
    """Largest difference of the blend's log-odds, ONNX against native, on recorded rows."""
    parity_rows: int
    model_sha256: str
    golden_sha256: str
    libraries: dict[str, str]
