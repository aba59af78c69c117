"""The blend: one calibrated log-odds from the members' signals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression


@dataclass(frozen=True, eq=False)
class Blend:
    """log-odds = bias + Σ weight · signal; smooth, and monotone in every member.

    weights: float64[M], 0 for a member that adds nothing.
    """

    weights: NDArray[np.float64]
    bias: float

    def log_odds(self, signals: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64[n] from signals float64[n, M]."""
        return signals @ self.weights + self.bias


def fit_blend(
    signals: NDArray[np.float64], is_fraud: NDArray[np.bool_], rises: NDArray[np.bool_]
) -> Blend:
    """Logistic regression of is_fraud bool[n] on signals float64[n, M] of rows that no member
    was fitted on: so imbalance and overconfidence are taken out (J. Platt, "Probabilistic
    outputs for support vector machines", 1999, for one signal).

    rises bool[M]: whether risk rises with the signal. A member whose weight comes out with the
    other sign contradicts itself; it is left out (weight 0) and the rest is fitted again.
    """
    centre = signals.mean(axis=0)
    spread = np.where(signals.std(axis=0) > 0, signals.std(axis=0), 1.0)
    scaled, sign = (signals - centre) / spread, np.where(rises, 1.0, -1.0)
    weights, used = np.zeros(signals.shape[1]), np.ones(signals.shape[1], np.bool_)
    bias = _log_odds(is_fraud.mean())
    while used.any():
        # C: hardly any shrinkage, enough to stay finite where the classes part without error.
        fit = LogisticRegression(C=100.0, max_iter=1000).fit(scaled[:, used], is_fraud)
        weights[used], bias = fit.coef_[0], float(fit.intercept_[0])
        wrong = used & (weights * sign <= 0)
        if not wrong.any():
            break
        worst = np.flatnonzero(wrong)[np.argmin((weights * sign)[wrong])]
        used[worst], weights[worst], bias = False, 0.0, _log_odds(is_fraud.mean())
    return Blend(weights / spread, float(bias - (weights / spread * centre).sum()))


def leave_one_out(
    signals: NDArray[np.float64], is_fraud: NDArray[np.bool_], rises: NDArray[np.bool_]
) -> tuple[Blend, ...]:
    """By member, the blend of all others fitted anew; none for a single member."""
    found = []
    for k in range(signals.shape[1] if signals.shape[1] > 1 else 0):
        rest = fit_blend(np.delete(signals, k, axis=1), is_fraud, np.delete(rises, k))
        found.append(Blend(np.insert(rest.weights, k, 0.0), rest.bias))
    return tuple(found)


def _log_odds(rate: float) -> float:
    return float(np.log(rate / (1 - rate)))
