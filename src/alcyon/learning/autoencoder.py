"""The autoencoder of the ensemble (scikit-learn): what a narrow network cannot say again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

from alcyon.learning.member import FitSettings, Fragment, Member
from alcyon.learning.scaling import Scaling
from alcyon.scoring.scaled import LAYER, OFFSET, POWER, SHARES

EPOCHS = 15
ROWS_MAX = 20_000
"""Rows learnt from, drawn by the seed."""
FEATURES_PER_UNIT, UNITS_MIN = 5, 3
"""The hidden layer has a unit for every five features. Chosen on weeks of the Handbook's data
before any published split (s = 2018-05-09, 05-30, 06-20): average precision alone 0.358 with 3
units, 0.306 with 5, 0.109 with three layers of 24, 6 and 24, which say frauds again too."""
ERROR_MIN = 0.01
"""A feature's mean squared error, in variances, counts as at least this: what the network says
again almost exactly would otherwise drown the rest, and float32 with it."""


@dataclass(frozen=True, eq=False)
class Autoencoder(Member):
    """A network that says again the scaled features of most payments, frauds hardly among them.

    With E the squared error, each feature's in units of its mean over the training rows, then
    averaged over the features: its signal is (E^(1/8) − 1) · 8, nearly log E (see
    `scoring.scaled`), its score E / (E + 1), so that a usual payment has 0 and 0.5.
    """

    scaling: Scaling
    network: MLPRegressor
    shares: NDArray[np.float32]
    """float32[F]: what a feature's squared error counts for; 0 where it never varied."""

    name: ClassVar[str] = "autoencoder"
    rises_with_risk: ClassVar[bool] = True
    reads_labels: ClassVar[bool] = False

    @classmethod
    def fit(
        cls, features: NDArray[np.float32], is_fraud: NDArray[np.bool_], settings: FitSettings
    ) -> Self:
        """Fit `EPOCHS` times through at most `ROWS_MAX` rows; the labels are not looked at."""
        random = np.random.default_rng(settings.seed)
        drawn = random.permutation(len(features))[:ROWS_MAX]
        scaling = Scaling.fit(features)
        scaled = scaling.apply(features[drawn])
        network = MLPRegressor(
            hidden_layer_sizes=(max(scaled.shape[1] // FEATURES_PER_UNIT, UNITS_MIN),),
            batch_size=min(256, len(scaled)),
            learning_rate_init=3e-3,
            random_state=settings.seed,
        )
        # Matrices this small are slower in several threads, and much slower beside other work.
        with threadpool_limits(settings.threads, "blas"):
            for epoch in range(EPOCHS):
                # A single feature is a vector to scikit-learn.
                network.partial_fit(scaled, scaled if scaled.shape[1] > 1 else scaled[:, 0])
                settings.progress(cls.name, epoch + 1, EPOCHS)
        usual = np.maximum(_squared_errors(network, scaled).mean(axis=0), ERROR_MIN)
        varies = scaling.scale > 0
        shares = np.where(varies, 1 / (max(int(varies.sum()), 1) * usual), 0.0)
        return cls(scaling, network, shares.astype(np.float32))

    def signal(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """The error's eighth root, so scaled that it is near its logarithm."""
        errors = _squared_errors(self.network, self.scaling.apply(features))
        found: NDArray[np.float64] = errors @ self.shares.astype(np.float64)
        return (found ** (1 / POWER) - 1) * POWER

    def score(self, signal: NDArray[np.float64]) -> NDArray[np.float64]:
        """E / (E + 1)."""
        error = np.maximum(signal / POWER + 1, 0) ** POWER
        return error / (error + 1)

    def graph(self, n_features: int) -> Fragment:
        """Scaling, the layers, the error as a product with the shares, three square roots."""
        own, node = "autoencoder.{}".format, helper.make_node
        scaled, (layers, constants) = self.scaling.graph(self.name), self._layers()
        shares = numpy_helper.from_array(self.shares[:, None], SHARES.format(self.name))
        one = numpy_helper.from_array(np.ones((1, 1), np.float32), own("one"))
        power = numpy_helper.from_array(np.full((1, 1), POWER, np.float32), own("power"))
        nodes = (
            *scaled.nodes,
            *layers,
            node("Sub", [own("scaled"), own("said")], [own("missed")]),
            node("Mul", [own("missed"), own("missed")], [own("squared")]),
            # A mean as a product: ReduceMean's bits depend on a row's place in its batch.
            node("MatMul", [own("squared"), shares.name], [own("error")]),
            node("Sqrt", [own("error")], [own("root_2")]),
            node("Sqrt", [own("root_2")], [own("root_4")]),
            node("Sqrt", [own("root_4")], [own("root_8")]),
            node("Sub", [own("root_8"), own("one")], [own("above_one")]),
            node("Mul", [own("above_one"), own("power")], [own("signal")]),
            node("Add", [own("error"), own("one")], [own("error_and_one")]),
            node("Div", [own("error"), own("error_and_one")], [own("score")]),
        )
        return Fragment(nodes, (*scaled.constants, *constants, shares, one, power))

    def _layers(self) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """Nodes from `scaled` to `said`, and their constants."""
        own, node = "autoencoder.{}".format, helper.make_node
        nodes, constants, source = list[onnx.NodeProto](), list[onnx.TensorProto](), own("scaled")
        last = len(self.network.coefs_) - 1
        for k, matrix in enumerate(self.network.coefs_):
            names = LAYER.format(self.name, k), OFFSET.format(self.name, k)
            values = matrix, self.network.intercepts_[k][None, :]
            constants += [
                numpy_helper.from_array(value.astype(np.float32), name)
                for value, name in zip(values, names, strict=True)
            ]
            product, total = own(f"product_{k}"), own("said" if k == last else f"total_{k}")
            nodes.append(node("MatMul", [source, names[0]], [product]))
            nodes.append(node("Add", [product, names[1]], [total]))
            if k < last:
                source = own(f"hidden_{k}")
                nodes.append(node("Relu", [total], [source]))
        return nodes, constants


def _squared_errors(network: MLPRegressor, scaled: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64[n, F]."""
    with threadpool_limits(1, "blas"):
        said = np.asarray(network.predict(scaled), np.float64).reshape(scaled.shape)
    return np.square(scaled - said)
