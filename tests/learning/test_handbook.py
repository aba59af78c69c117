from __future__ import annotations

import numpy as np
import pytest

from alcyon.domain.errors import InputError
from alcyon.learning import handbook
from alcyon.learning.dataset import DAY_MS
from alcyon.learning.handbook import HandbookRows, evaluate_handbook, evaluate_unsupervised
from alcyon.learning.training import TrainingSettings

START = "2018-07-25"
S = 1_532_476_800_000
ONLY_TREES = TrainingSettings(members=("xgboost",))


def book(n: int = 6000, seed: int = 4) -> HandbookRows:
    """n payments over the ten days before s to day s + 21."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(n, 15)).astype(np.float32)
    is_fraud = random.random(n) < 1 / (1 + np.exp(5 - 3 * features[:, 4]))
    at = S + random.integers(-10 * DAY_MS, 21 * DAY_MS, n)
    return HandbookRows(features, at, random.integers(0, 2000, n), is_fraud)


def test_the_first_published_fold_starts_on_its_day() -> None:
    assert handbook.FOLDS[0] == START
    assert handbook._ms(START) == S


def test_known_cards_are_dropped_day_by_day() -> None:
    rows = book()
    day = (rows.event_time - S) // DAY_MS
    expected = []
    for j in range(7):
        known = {
            int(c)
            for c, d, f in zip(rows.card, day, rows.is_fraud, strict=True)
            if f and (0 <= d < 7 or 6 <= d <= 6 + j)
        }
        today = np.flatnonzero(day == 14 + j).tolist()
        expected += [i for i in today if int(rows.card[i]) not in known]
    found = handbook._tested(rows, S)
    assert found.tolist() == expected
    assert len(found) < np.isin(day, np.arange(14, 21)).sum()


def test_book_history_is_one_week_and_all_is_everything_before_its_end() -> None:
    rows = book()
    day = (rows.event_time - S) // DAY_MS
    one = evaluate_handbook(rows, "book", ONLY_TREES, (START,))
    every = evaluate_handbook(rows, "all", ONLY_TREES, (START,))
    assert one.folds[0].train_rows == ((day >= 0) & (day < 7)).sum()
    assert every.folds[0].train_rows == (day < 7).sum()
    assert one.folds[0].test_rows == every.folds[0].test_rows


def test_figures_are_means_over_folds_and_find_the_planted_fraud() -> None:
    rows = book()
    shifted = "2018-07-24"
    found = evaluate_handbook(rows, "book", ONLY_TREES, (START, shifted))
    assert (found.protocol, found.history) == ("handbook", "book")
    blend = found.mean
    aucs = [f.ranking["blend"].roc_auc for f in found.folds]
    assert blend.roc_auc == pytest.approx(np.mean(aucs))
    assert blend.roc_auc > 0.8
    assert found.members.keys() == {"xgboost"}
    assert found.without == {}
    assert set(blend.recall_at_fpr) == {"0.001", "0.005", "0.021"}


def test_what_lies_after_a_week_does_not_change_its_model() -> None:
    """Labels of the test span flipped: the scores stay, so training has not seen them."""
    rows = book()
    later = rows.event_time >= S + 7 * DAY_MS
    blind = HandbookRows(
        np.where(later[:, None], 0, rows.features).astype(np.float32),
        rows.event_time,
        rows.card,
        rows.is_fraud & ~later,
    )
    spans = [
        (r.examples(S, S + 5 * DAY_MS), r.examples(S + 5 * DAY_MS, S + 7 * DAY_MS))
        for r in (rows, blind)
    ]
    for one, other in zip(*spans, strict=True):
        assert np.array_equal(one.features, other.features)
        assert np.array_equal(one.is_fraud, other.is_fraud)


def test_without_labels_the_books_other_split_is_assessed() -> None:
    rows = book()
    found = evaluate_unsupervised(rows, start=START)
    assert found.keys() == {"autoencoder", "isolation_forest"}
    assert found["isolation_forest"].roc_auc > 0.53
    with pytest.raises(InputError, match="do not cover the fold 2019-01-01"):
        evaluate_unsupervised(rows, start="2019-01-01")


def test_rows_that_do_not_cover_a_fold_are_refused() -> None:
    with pytest.raises(InputError, match="do not cover the fold 2019-01-01"):
        evaluate_handbook(book(), "book", ONLY_TREES, ("2019-01-01",))
