"""The online linear model of the ensemble (scikit-learn): cheap to teach, example by example."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from sklearn.linear_model import SGDClassifier

from alcyon.learning.member import FitSettings, Fragment, Member
from alcyon.learning.scaling import Scaling
from alcyon.scoring.scaled import COEFFICIENTS, INTERCEPT, NULL_COEFFICIENTS

EPOCHS = 3
ROWS_AT_ONCE = 50_000
PENALTY = 1e-5
ONLINE_RATE = 0.005
"""The step per example once it is in service, where the rate must not die away."""
STEP_MAX = 0.5
"""How far `learn_more` may move the coefficients (Euclidean, intercept among them), whatever the
examples and their weights: half a log-odds for a payment one deviation from the median in the
direction of the step."""


@dataclass(frozen=True, eq=False)
class OnlineLinear(Member):
    """Logistic regression by stochastic gradient over scaled features and whether each is null.

    Its signal is the margin (log-odds), its score the probability. The coefficients are kept as
    they are served (float32), so learning goes on from exactly what decides.
    """

    scaling: Scaling
    coefficients: NDArray[np.float32]
    """float32[2 F]: of the scaled features, then of their nulls."""
    intercept: np.float32
    seed: int

    name: ClassVar[str] = "online_linear"
    rises_with_risk: ClassVar[bool] = True
    reads_labels: ClassVar[bool] = True

    @classmethod
    def fit(
        cls, features: NDArray[np.float32], is_fraud: NDArray[np.bool_], settings: FitSettings
    ) -> Self:
        """Go `EPOCHS` times through the rows, each time in another order."""
        scaling, random = Scaling.fit(features), np.random.default_rng(settings.seed)
        # A feature that is always null would be a second intercept, gone once it has a value.
        says = np.asarray(~np.isnan(features).all(axis=0))
        model = SGDClassifier(
            loss="log_loss", alpha=PENALTY, learning_rate="invscaling", eta0=0.05, power_t=0.25,
            random_state=settings.seed,
        )  # fmt: skip
        for epoch in range(EPOCHS):
            order = random.permutation(len(features))
            for start in range(0, len(order), ROWS_AT_ONCE):
                rows = order[start : start + ROWS_AT_ONCE]
                inputs = _inputs(scaling, features[rows], says)
                model.partial_fit(inputs, is_fraud[rows], classes=[False, True])
            settings.progress(cls.name, epoch + 1, EPOCHS)
        found = model.coef_[0].astype(np.float32)
        return cls(scaling, found, np.float32(model.intercept_[0]), settings.seed)

    def learn_more(
        self,
        features: NDArray[np.float32],
        is_fraud: NDArray[np.bool_],
        weights: NDArray[np.float64],
    ) -> Self:
        """A new member that has also learnt these examples once, in their order; this one stays.

        features float32[n, F], is_fraud bool[n] (one class is enough), weights float64[n], how
        often each counts. The coefficients move by at most `STEP_MAX`; the scaling is kept.
        """
        counts = weights > 0
        if not counts.any():
            return self
        inputs, is_fraud = self._inputs(features[counts]), is_fraud[counts]
        model = SGDClassifier(
            loss="log_loss", alpha=PENALTY, learning_rate="constant", eta0=ONLINE_RATE,
            shuffle=False, random_state=self.seed,
        )  # fmt: skip
        # So scikit-learn is told the classes and the width; what this teaches is overwritten.
        model.partial_fit(inputs[:1], is_fraud[:1], [False, True])
        before = np.append(self.coefficients, self.intercept).astype(np.float64)
        model.coef_, model.intercept_ = before[None, :-1].copy(), before[-1:].copy()
        model.partial_fit(inputs, is_fraud, sample_weight=weights[counts])
        step = np.append(model.coef_[0], model.intercept_[0]) - before
        length = float(np.linalg.norm(step))
        after = before + step * min(1.0, STEP_MAX / max(length, STEP_MAX))
        coefficients = after[:-1].astype(np.float32)
        return replace(self, coefficients=coefficients, intercept=np.float32(after[-1]))

    def signal(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """The margins."""
        inputs = self._inputs(features)
        return inputs @ self.coefficients.astype(np.float64) + float(self.intercept)

    def score(self, signal: NDArray[np.float64]) -> NDArray[np.float64]:
        """The probabilities."""
        return 1 / (1 + np.exp(-signal))

    def _inputs(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of nulls those that were sometimes there in training, and so have a coefficient."""
        return _inputs(self.scaling, features, self.coefficients[features.shape[1] :] != 0)

    def graph(self, n_features: int) -> Fragment:
        """Two products with a column each, then a Sigmoid."""
        own, node, name = "online_linear.{}".format, helper.make_node, self.name
        scaled = self.scaling.graph(name)
        columns = self.coefficients[:n_features, None], self.coefficients[n_features:, None]
        constants = [
            numpy_helper.from_array(value, named)
            for value, named in (
                (columns[0], COEFFICIENTS.format(name)),
                (columns[1], NULL_COEFFICIENTS.format(name)),
                (np.array([[self.intercept]], np.float32), INTERCEPT.format(name)),
                (np.ones((1, 1), np.float32), own("one")),
                (np.zeros((1, 1), np.float32), own("zero")),
            )
        ]
        of_values, of_nulls, intercept = (c.name for c in constants[:3])
        nodes = (
            *scaled.nodes,
            node("Where", [own("nulls"), own("one"), own("zero")], [own("is_null")]),
            node("MatMul", [own("scaled"), of_values], [own("of_values")]),
            node("MatMul", [own("is_null"), of_nulls], [own("of_nulls")]),
            node("Add", [own("of_values"), own("of_nulls")], [own("both")]),
            node("Add", [own("both"), intercept], [own("signal")]),
            node("Sigmoid", [own("signal")], [own("score")]),
        )
        return Fragment(nodes, (*scaled.constants, *constants))


def _inputs(
    scaling: Scaling, features: NDArray[np.float32], null_says: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """float64[n, 2 F]: the scaled features, then 1 where null, of the nulls in bool[F]."""
    nulls = np.isnan(features) & null_says
    return np.concatenate([scaling.apply(features), nulls], axis=1, dtype=np.float64)
