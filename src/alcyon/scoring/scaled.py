"""Members over scaled features, read back from the fused graph: how their signal is shared out.

Both look at z = clip((x − median) · scale, ± limit), null taken as the median.

*Linear*: signal = intercept + Σ_f coefficient[f] · z[f] + null_coefficient[f] · is_null[f]. The
base is a payment of medians without a null; each term is its feature's.

*Reconstruction*: with e[f] the squared error of the network's output, E = Σ_f share[f] · e[f] and
signal = s(E) = (E^(1/8) − 1) · 8. The shares make each feature's term 1 / A on average over the
training rows (A features that vary), so that E = 1, signal = 0 is the usual payment: the base.
Along the straight way from there to the row's terms the signal is shared out by

    contribution[f] = (share[f] · e[f] − 1/A) · (s(E) − s(1)) / (E − 1)

(integrated gradients: M. Sundararajan et al., "Axiomatic Attribution for Deep Networks", 2017;
the gradient is the same in every term, so the integral is that quotient). They add up to s(E):
features that are met worse than usual raise it, those met better lower it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from alcyon.domain.errors import ModelError

LIMIT = 5.0
"""How many standard deviations from the median a scaled feature can be."""
POWER = 8.0
"""s(E) = (E^(1/8) − 1) · 8, by three square roots: nearly the logarithm, which ONNX Runtime does
not compute alike at every place in a batch (767 of 14,007 rows); a square root is exact."""
MEDIANS, SCALE = "{}.medians", "{}.scale"
COEFFICIENTS, NULL_COEFFICIENTS, INTERCEPT = (
    "{}.coefficients", "{}.null_coefficients", "{}.intercept",
)  # fmt: skip
LAYER, OFFSET, SHARES = "{}.layer_{}", "{}.offset_{}", "{}.shares"
"""Names, by member, of the constants in the fused graph."""

Constants = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, eq=False)
class Scale:
    """float32[F] each: what is taken off, and what the rest is multiplied by."""

    medians: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def read(cls, constants: Constants, member: str, n_features: int) -> Scale:
        """From the graph's constants; ModelError where one is missing or of another shape."""
        names = MEDIANS.format(member), SCALE.format(member)
        return cls(*(_vector(constants, name, n_features) for name in names))


@dataclass(frozen=True, eq=False)
class LinearParts:
    """The linear member. coefficients, null_coefficients: float32[F]."""

    scale: Scale
    coefficients: NDArray[np.float32]
    null_coefficients: NDArray[np.float32]
    base: float
    """The signal of a payment of medians: the intercept."""
    weight: float

    @classmethod
    def read(cls, constants: Constants, member: str, n_features: int, weight: float) -> LinearParts:
        """From the graph's constants; ModelError where one is missing or of another shape."""
        return cls(
            Scale.read(constants, member, n_features),
            _vector(constants, COEFFICIENTS.format(member), n_features),
            _vector(constants, NULL_COEFFICIENTS.format(member), n_features),
            float(_vector(constants, INTERCEPT.format(member), 1)[0]),
            weight,
        )

    def add_to(
        self, parts: NDArray[np.float64], features: NDArray[np.float32], weight: float
    ) -> None:
        """Add weight · its contributions for features float32[n, F] to parts float64[n, F]."""
        s = self.scale
        linear = self.coefficients, self.null_coefficients
        _add_linear(features, (s.medians, s.scale), linear, weight, parts)


@dataclass(frozen=True, eq=False)
class ReconstructionParts:
    """The autoencoder. layers, offsets: all matrices in their order, flat; widths: int64[L + 1],
    features to features; shares: float32[F]."""

    scale: Scale
    layers: NDArray[np.float32]
    offsets: NDArray[np.float32]
    widths: NDArray[np.int64]
    shares: NDArray[np.float32]
    weight: float
    base: float = 0.0

    @classmethod
    def read(
        cls, constants: Constants, member: str, n_features: int, weight: float
    ) -> ReconstructionParts:
        """From the graph's constants; ModelError where one is missing or of another shape."""
        layers, offsets = list[NDArray[np.float32]](), list[NDArray[np.float32]]()
        widths = list[int]()
        while (name := LAYER.format(member, len(layers))) in constants:
            layer = constants[name]
            before = widths[-1] if widths else n_features
            if layer.ndim != 2 or layer.shape[0] != before or layer.shape[1] == 0:
                raise ModelError(f"the model's constant {name} has a wrong shape; export it again")
            offsets.append(_vector(constants, OFFSET.format(member, len(layers)), layer.shape[1]))
            layers.append(np.asarray(layer, np.float32))
            widths.append(layer.shape[1])
        if not widths or widths[-1] != n_features:
            raise ModelError(f"the network of member {member} does not end where it began")
        return cls(
            Scale.read(constants, member, n_features),
            np.concatenate([layer.ravel() for layer in layers]),
            np.concatenate(offsets),
            np.array([n_features, *widths], np.int64),
            _vector(constants, SHARES.format(member), n_features),
            weight,
        )

    def add_to(
        self, parts: NDArray[np.float64], features: NDArray[np.float32], weight: float
    ) -> None:
        """Add weight · its contributions for features float32[n, F] to parts float64[n, F]."""
        s, network = self.scale, (self.layers, self.offsets, self.widths)
        _add_errors(features, (s.medians, s.scale), network, (self.shares, weight), parts)


def _vector(constants: Constants, name: str, size: int) -> NDArray[np.float32]:
    if name not in constants or constants[name].size != size:
        raise ModelError(f"the model has no constant {name} of {size} values; export it again")
    return np.ascontiguousarray(constants[name].ravel(), np.float32)


@njit(cache=True, nogil=True)
def _scaled(x: float, median: float, scale: float) -> float:
    """As the graph does, in float32: the clip is part of the meaning, rounding is not."""
    if np.isnan(x):
        return 0.0
    return min(max((x - median) * scale, -LIMIT), LIMIT)


@njit(cache=True, nogil=True)
def _add_linear(
    features: NDArray[np.float32],
    scaling: tuple[NDArray[np.float32], NDArray[np.float32]],
    linear: tuple[NDArray[np.float32], NDArray[np.float32]],
    weight: float,
    parts: NDArray[np.float64],
) -> None:
    medians, scale = scaling
    coefficients, null_coefficients = linear
    for row in range(features.shape[0]):
        for f in range(features.shape[1]):
            x = features[row, f]
            if np.isnan(x):
                parts[row, f] += weight * null_coefficients[f]
            else:
                parts[row, f] += weight * coefficients[f] * _scaled(x, medians[f], scale[f])


@njit(cache=True, nogil=True)
def _add_errors(
    features: NDArray[np.float32],
    scaling: tuple[NDArray[np.float32], NDArray[np.float32]],
    network: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]],
    blend: tuple[NDArray[np.float32], float],
    parts: NDArray[np.float64],
) -> None:
    medians, scale = scaling
    layers, offsets, widths = network
    shares, weight = blend
    n_features = features.shape[1]
    usual = 1.0 / np.maximum(np.count_nonzero(shares), 1)
    now, after = np.empty(widths.max()), np.empty(widths.max())
    terms = np.empty(n_features)
    for row in range(features.shape[0]):
        for f in range(n_features):
            now[f] = _scaled(features[row, f], medians[f], scale[f])
        matrix_at = offset_at = 0
        for layer in range(len(widths) - 1):
            wide, narrow = widths[layer], widths[layer + 1]
            for j in range(narrow):
                total = float(offsets[offset_at + j])
                for i in range(wide):
                    total += now[i] * layers[matrix_at + i * narrow + j]
                after[j] = total if layer == len(widths) - 2 else max(total, 0.0)
            matrix_at += wide * narrow
            offset_at += narrow
            now, after = after, now
        error = 0.0
        for f in range(n_features):
            z = _scaled(features[row, f], medians[f], scale[f])
            terms[f] = shares[f] * (z - now[f]) ** 2
            error += terms[f]
        # At E = 1 the quotient is s'(1) = 1.
        slope = 1.0
        if abs(error - 1.0) > 1e-9:
            slope = (error ** (1.0 / POWER) - 1.0) * POWER / (error - 1.0)
        for f in range(n_features):
            if shares[f] > 0:
                parts[row, f] += weight * slope * (terms[f] - usual)
