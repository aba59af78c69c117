"""Scaled features: what the members look at that are not made of trees."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from alcyon.learning.member import Fragment
from alcyon.scoring.scaled import LIMIT, MEDIANS, SCALE

TAIL = 0.001
"""Share of rows at either end that do not count for a feature's spread."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """(x − median) · scale, cut off at ± `LIMIT`; a null is taken as the median, so 0.

    medians, scale: float32[F]; the scale is one over the standard deviation without the tails,
    0 for a feature that was constant in training: it then says nothing.
    """

    medians: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def fit(cls, features: NDArray[np.float32]) -> Self:
        """Take medians and spreads of features float32[n, F], NaN where null."""
        medians = medians_of(features)
        whole = filled(features, medians)
        low, high = np.quantile(whole, [TAIL, 1 - TAIL], axis=0)
        spread = np.clip(whole, low, high).std(axis=0, dtype=np.float64)
        # Seen in fewer rows than the tails hold: its whole spread is better than none.
        spread = np.where(spread > 0, spread, whole.std(axis=0, dtype=np.float64))
        known = spread > np.finfo(np.float32).tiny
        scale = np.where(known, 1 / np.where(known, spread, 1.0), 0.0)
        return cls(medians, scale.astype(np.float32))

    def apply(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32[n, F]: the scaled features, by the graph's own steps."""
        centred = filled(features, self.medians) - self.medians
        scaled: NDArray[np.float32] = np.clip(centred * self.scale, -LIMIT, LIMIT)
        return scaled

    def graph(self, member: str) -> Fragment:
        """Nodes that give `{member}.nulls` and `{member}.scaled` of `features`."""
        own, node = f"{member}.{{}}".format, helper.make_node
        medians = numpy_helper.from_array(self.medians[None, :], MEDIANS.format(member))
        scale = numpy_helper.from_array(self.scale[None, :], SCALE.format(member))
        limits = [
            numpy_helper.from_array(np.float32(at), own(name))
            for name, at in (("lowest", -LIMIT), ("highest", LIMIT))
        ]
        nodes = (
            node("IsNaN", ["features"], [own("nulls")]),
            node("Where", [own("nulls"), medians.name, "features"], [own("filled")]),
            node("Sub", [own("filled"), medians.name], [own("centred")]),
            node("Mul", [own("centred"), scale.name], [own("unbounded")]),
            node("Clip", [own("unbounded"), own("lowest"), own("highest")], [own("scaled")]),
        )
        return Fragment(nodes, (medians, scale, *limits))


def medians_of(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32[F]: medians of what is not null; 0 where all of a feature is null."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice encountered", RuntimeWarning)
        medians = np.nanmedian(features, axis=0)
    return np.nan_to_num(medians, nan=0.0).astype(np.float32)


def filled(features: NDArray[np.float32], medians: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32[n, F]: features with `medians` float32[F] for nulls."""
    return np.where(np.isnan(features), medians, features)
