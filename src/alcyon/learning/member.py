"""Members: what the ensemble is made of, and what a new kind of member must be able to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, Self

import numpy as np
import onnx
from numpy.typing import NDArray


class Progress(Protocol):
    """Told how far a long step is; the core itself never prints."""

    def __call__(self, name: str, done: int, total: int) -> None:
        """`done` of `total` steps of `name` are finished; called in order, ends with equality."""


def unheard(name: str, done: int, total: int) -> None:
    """A Progress nobody listens to."""


@dataclass(frozen=True)
class FitSettings:
    """How members are fitted: seed of every random choice, processor threads, and XGBoost's
    parameters where they are not `boosting.PARAMETERS`.

    One thread unless told: OpenMP's waiting threads spin, and beside other work on two cores two
    threads took five times as long as one.
    """

    seed: int = 7
    threads: int = 1
    progress: Progress = unheard
    boosting: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Fragment:
    """A member's part of the fused graph, reading `features` float32[n, F].

    Its last tensors are named `{member}.signal` and `{member}.score`, both float32[n, 1].
    """

    nodes: tuple[onnx.NodeProto, ...]
    constants: tuple[onnx.TensorProto, ...]


class Member(ABC):
    """A fitted member of the ensemble. A subclass is found by the contract tests by itself.

    Life: `fit` once, then any number of `signal`, `score` and `graph`; a member never changes.
    """

    name: ClassVar[str]
    """Stable snake_case; it stands in manifests and decisions."""
    rises_with_risk: ClassVar[bool]
    """Whether a larger signal means more risk; the blend refuses a weight of the other sign."""
    reads_labels: ClassVar[bool]
    """Whether `fit` looks at is_fraud; a member that does not can be had without any label."""

    @classmethod
    @abstractmethod
    def fit(
        cls, features: NDArray[np.float32], is_fraud: NDArray[np.bool_], settings: FitSettings
    ) -> Self:
        """Fit on features float32[n, F] (NaN where null) and is_fraud bool[n], both classes."""

    @abstractmethod
    def signal(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """float64[n]: what the blend takes, computed by the native library."""

    @abstractmethod
    def score(self, signal: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64[n]: the signal on the member's own published scale, 0 … 1, risk upwards."""

    @abstractmethod
    def graph(self, n_features: int) -> Fragment:
        """Signal and score as ONNX nodes."""
