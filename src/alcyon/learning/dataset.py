"""The training set: which rows, with which truth, known when.

    |------ train ------|- validation -|...... label delay ......|------ test ------|
    first event                                               cut-off         last event

A model trained at the cut-off can know only the labels given by then, and may not use a payment
so young that its fraud would not have been reported yet: it would be learnt as genuine. So rows
of the last `label_delay_ms` before the cut-off are left out, as in life.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import NULL_INT, Batch, Strings
from alcyon.domain.errors import InputError
from alcyon.learning.truth import Truth, truth_of

DAY_MS = 86_400_000
LABEL_AFTER_DAYS_MAX = 730
"""How long after the last transaction a label can be dated. Disputes end long before; one label of
the year 2099 would make every payment look old enough for its fraud to be known."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Transactions with their features, in any order.

    features: float32[n, F], NaN where null; event_time: int64[n] UTC ms; amount_minor: int64[n],
    base currency; card: int64[n] of any numbering, where Card Precision is wanted.
    """

    features: NDArray[np.float32]
    feature_names: tuple[str, ...]
    transaction_id: Strings
    event_time: NDArray[np.int64]
    amount_minor: NDArray[np.int64]
    card: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class SplitRules:
    """How rows become train, validation and test spans; shares are of the time spanned."""

    label_delay_ms: int = 7 * DAY_MS
    """How long after a payment its fraud is usually known."""
    validation_share: float = 0.25
    """Of the time before the cut-off less the delay: where blend and thresholds are chosen."""
    test_share: float = 0.2
    """Of the whole time: behind the cut-off, seen by no choice. 0: no test span."""
    with_first_party: bool = False
    """Whether first-party fraud (the holder's own) is learnt as fraud or left out."""
    frauds_min: int = 10
    """Fewest frauds for the train and for the validation span."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Rows with truth: features float32[n, F], is_fraud bool[n], the others int64[n]."""

    features: NDArray[np.float32]
    is_fraud: NDArray[np.bool_]
    event_time: NDArray[np.int64]
    amount_minor: NDArray[np.int64]
    card: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.is_fraud)

    @property
    def days(self) -> float:
        """The time from first to last event in days, at least one."""
        if len(self) == 0:
            return 1.0
        return max(float(self.event_time.max() - self.event_time.min()) / DAY_MS, 1.0)


@dataclass(frozen=True, eq=False)
class Dataset:
    """The three spans of one training, each in order of event time."""

    feature_names: tuple[str, ...]
    train: Examples
    validation: Examples
    test: Examples
    cut_off: int
    """UTC ms: when the model is imagined to be trained."""


def build_dataset(rows: Rows, labels: Batch, rules: SplitRules | None = None) -> Dataset:
    """Split rows by time and give each the truth known at its moment.

    Train and validation take labels with labelled_at ≤ cut-off; test takes all labels, and rows
    old enough for them (label delay before the last label or event). InputError where no model
    can come of it: no rows, no labels, one class only, too few frauds, too short a time.
    """
    rules = rules or SplitRules()
    _check(rows, labels)
    first, last = int(rows.event_time.min()), int(rows.event_time.max())
    cut_off = last + 1 - int((last + 1 - first) * rules.test_share)
    if rules.test_share == 0:
        cut_off = last + 1 + rules.label_delay_ms
    known = cut_off - rules.label_delay_ms
    start = known - int((known - first) * rules.validation_share)
    if start <= first:
        raise InputError(
            f"the input spans {(last - first) / DAY_MS:.1f} days, too few for a label delay of "
            f"{rules.label_delay_ms / DAY_MS:g} days; give more days or a shorter delay"
        )
    at_cut_off, in_the_end = (
        truth_of(rows.transaction_id, labels, known_at) for known_at in (cut_off, None)
    )
    labelled_at = labels.numbers("labelled_at")
    mature = max(int(labelled_at.max()), last + 1) - rules.label_delay_ms
    train = _examples(rows, at_cut_off, (first, start), rules)
    validation = _examples(rows, at_cut_off, (start, known), rules)
    test = _examples(rows, in_the_end, (cut_off, max(cut_off, mature)), rules)
    for name, part in (("train", train), ("validation", validation)):
        _check_classes(part, name, rules.frauds_min)
    return Dataset(rows.feature_names, train, validation, test, cut_off)


def _examples(rows: Rows, truth: Truth, span: tuple[int, int], rules: SplitRules) -> Examples:
    """The rows with event_time in [span), in order of time."""
    inside = (rows.event_time >= span[0]) & (rows.event_time < span[1])
    if not rules.with_first_party:
        inside &= ~truth.is_first_party
    at = np.flatnonzero(inside)
    at = at[np.argsort(rows.event_time[at], kind="stable")]
    return Examples(
        rows.features[at],
        truth.is_fraud[at],
        rows.event_time[at],
        rows.amount_minor[at],
        None if rows.card is None else rows.card[at],
    )


def _check(rows: Rows, labels: Batch) -> None:
    if len(rows.event_time) == 0:
        raise InputError("the input has no transactions; give a file with some")
    if len(labels) == 0:
        raise InputError(
            "there are no labels, so there is nothing to learn from; give a labels file"
        )
    if np.isinf(rows.features).any():
        raise InputError("features hold infinite values; null is NaN, and nothing else is allowed")
    check_dates(rows, labels)


def check_dates(rows: Rows, labels: Batch) -> None:
    """InputError where a label is undated, or dated as if from the future."""
    labelled_at = labels.numbers("labelled_at")
    if (labelled_at == NULL_INT).any():
        raise InputError("a label has no labelled_at; when it was known decides who may learn it")
    days = int(labelled_at.max() - rows.event_time.max()) // DAY_MS
    if days > LABEL_AFTER_DAYS_MAX:
        at = np.array([np.argmax(labelled_at)])
        of = labels.strings("transaction_id").take(at).to_list()[0]
        raise InputError(
            f"a label of transaction {of} is dated {days:,} days after the last transaction, as if "
            f"from the future (at most {LABEL_AFTER_DAYS_MAX} are taken); correct or remove it"
        )


def _check_classes(part: Examples, name: str, frauds_min: int) -> None:
    frauds = int(part.is_fraud.sum())
    if frauds < frauds_min:
        raise InputError(
            f"the {name} span holds {frauds} known frauds in {len(part)} transactions, at least "
            f"{frauds_min} are needed; give more days, more labels or a shorter label delay"
        )
    if frauds == len(part):
        raise InputError(
            f"the {name} span holds frauds only; give all transactions, not a selection"
        )
