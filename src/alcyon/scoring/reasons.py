"""Reasons: a score's contributions under names that people know and may rely on."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from math import isnan
from types import MappingProxyType

import msgspec
import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from alcyon.domain.decision import Reason
from alcyon.scoring.model import Model

BASE_RATE, OTHER_FEATURES = "base_rate", "other_features"
"""Codes of what no feature adds: where every payment starts, and what is not named one by one."""
TEXTS = {
    BASE_RATE: "Where every payment starts from",
    OTHER_FEATURES: "Everything else together",
}
BESIDE = {
    "score": "Nothing stands out",
    "late_transaction": "It arrived too late for what is usual to be known",
    "future_transaction": "Its time lies ahead of the clock",
    "model_missing": "There was no model to score it",
    "model_failed": "The model could not score it",
    "explored": "Let through to learn from it",
}
"""Codes that are no part of a score, in words; a rule's are named by the rule."""
REASONS_MAX = 4
"""How many codes that raise the risk are named."""
UNITS = {"m": "minute", "h": "hour", "d": "day"}


class ReasonCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of reasons.toml."""

    code: str
    text: str
    since: str
    features: tuple[str, ...]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: tuple[ReasonCode, ...]


@cache
def reason_codes() -> tuple[ReasonCode, ...]:
    """All reason codes in the file's order; the first whose pattern fits takes a feature."""
    raw = (files("alcyon.scoring") / "reasons.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(raw), _File).reason


def code_of(feature: str) -> str:
    """The reason code of a feature.

    >>> code_of("card_count_10m"), code_of("merchant_mean_is_fraud_30d_delay_7d")
    ('velocity_card_1h', 'merchant_fraud_share')
    """
    fits = (r.code for r in reason_codes() if any(fnmatchcase(feature, p) for p in r.features))
    return next(fits, OTHER_FEATURES)


def text_of(reason: Reason) -> str:
    """What the reason says, in a colleague's words.

    >>> text_of(Reason("velocity_card_1h", "card_count_10m", 5.0, 1.2))
    '5 payments with this card in 10 minutes'
    """
    templates = {r.code: r.text for r in reason_codes()} | TEXTS
    value = "an unknown number" if reason.value is None else _number(reason.value)
    feature = reason.feature or ""
    return templates[reason.code].format(feature=feature, value=value, window=_window(feature))


def shown_text(
    code: str, reasons: Sequence[Reason], rule_names: Mapping[str, str] = MappingProxyType({})
) -> str:
    """What the one code that a list shows says; see `domain.alert.reason_shown`.

    rule_names: names of rules by reason code.

    >>> shown_text("score", ()), shown_text("card_testing", ())
    ('Nothing stands out', 'Card testing')
    """
    parts = [reason for reason in reasons if reason.code == code]
    if parts:
        return said(max(parts, key=lambda reason: reason.log_odds))
    return rule_names.get(code) or BESIDE.get(code) or _as_words(code)


def said(reason: Reason) -> str:
    """As `text_of`, of a reason that another version may have given."""
    known = reason.code in TEXTS or any(r.code == reason.code for r in reason_codes())
    return text_of(reason) if known else _as_words(reason.code)


def _as_words(code: str) -> str:
    return code.replace("_", " ").capitalize()


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _window(feature: str) -> str:
    found = re.search(r"_(\d+)([mhd])(?=_|$)", feature)
    if found is None:
        return "the time looked at"
    count, unit = found[1], UNITS[found[2]]
    return f"{count} {unit}" if count == "1" else f"{count} {unit}s"


@dataclass(frozen=True, eq=False)
class Explainer:
    """Contributions to reasons for one model.

    features[starts[c]:starts[c + 1]] of `order` (int64[F]) are the features of codes[c].
    """

    model: Model
    codes: tuple[str, ...]
    order: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, model: Model) -> Explainer:
        """Group the model's features by code."""
        by_feature = [code_of(name) for name in model.feature_names]
        codes = tuple(dict.fromkeys(by_feature))
        rank = np.array([codes.index(code) for code in by_feature])
        order = np.argsort(rank, kind="stable")
        return cls(model, codes, order, np.searchsorted(rank[order], np.arange(len(codes))))

    def reasons(
        self, features: NDArray[np.float32], log_odds: NDArray[np.float64]
    ) -> list[tuple[Reason, ...]]:
        """For features float32[n, F] scored as log_odds float64[n]: up to four codes that raise
        the risk, the largest first, then `other_features` and `base_rate`. Each tuple's
        log_odds add up to the row's (within 1e-9); `other_features` holds float32's rounding."""
        if len(features) == 0:
            return []
        parts = self.model.contributions(features, log_odds)
        ordered = parts.parts[:, self.order]
        by_code = np.add.reduceat(ordered, self.starts, axis=1)
        top = np.argsort(-by_code, axis=1, kind="stable")[:, :REASONS_MAX]
        leading = _leading(ordered, np.append(self.starts, len(self.order)), self.order, top)
        each = np.arange(len(features))[:, None]
        added, values = by_code[each, top], features[each, leading]
        rows = zip(
            top.tolist(), leading.tolist(), added.tolist(), values.tolist(), log_odds.tolist(),
            strict=True,
        )  # fmt: skip
        return [self._row(parts.base, *row) for row in rows]

    def _row(
        self,
        base: float,
        top: Sequence[int],
        leading: Sequence[int],
        added: Sequence[float],
        values: Sequence[float],
        log_odds: float,
    ) -> tuple[Reason, ...]:
        named, rest, names = [], log_odds - base, self.model.feature_names
        for code, feature, part, value in zip(top, leading, added, values, strict=True):
            if part <= 0:
                break
            known = None if isnan(value) else value
            named.append(Reason(self.codes[code], names[feature], known, part))
            rest -= part
        named.append(Reason(OTHER_FEATURES, None, None, rest))
        named.append(Reason(BASE_RATE, None, None, base))
        return tuple(named)


@njit(
    types.int64[:, ::1](types.float64[:, :], types.int64[::1], types.int64[::1], types.int64[:, :]),
    cache=True,
    nogil=True,
)
def _leading(
    ordered: NDArray[np.float64],
    bounds: NDArray[np.int64],
    order: NDArray[np.int64],
    top: NDArray[np.int64],
) -> NDArray[np.int64]:  # pragma: no cover
    """int64[n, top]: the feature with the largest part under each of the top codes, the first of
    equals."""
    leading = np.empty(top.shape, np.int64)
    for row in range(top.shape[0]):
        for k in range(top.shape[1]):
            best = bounds[top[row, k]]
            for at in range(best + 1, bounds[top[row, k] + 1]):
                if ordered[row, at] > ordered[row, best]:
                    best = at
            leading[row, k] = order[best]
    return leading
