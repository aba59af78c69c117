from typing import Any

import numpy as np
import pytest

from alcyon.domain.columns import NULL_INT
from alcyon.domain.errors import InputError
from alcyon.domain.label import LABEL_COLUMNS, SOURCES
from alcyon.simulation import Reporting, Scenario, labels_of, simulate
from tests.simulation.whole_run import DAY_MS, Run


def test_columns_are_canonical_ids_unique_and_times_sorted(run: Run) -> None:
    labels = labels_of(run.slices)
    assert set(labels.columns) == set(LABEL_COLUMNS)
    ids = labels.strings("label_id").to_list()
    assert len(set(ids)) == len(ids)
    assert (np.diff(labels.numbers("labelled_at")) >= 0).all()
    assert set(labels.strings("source").to_list()) <= set(SOURCES)
    assert set(labels.strings("transaction_id").to_list()) <= set(
        run.truth.strings("transaction_id").to_list()
    )


def test_analysts_take_hours_issuers_days_chargebacks_weeks(run: Run) -> None:
    labels = labels_of(run.slices)
    ids = run.truth.strings("transaction_id").to_list()
    time = dict(zip(ids, run.transactions.numbers("event_time").tolist(), strict=True))
    happened = np.array([time[i] for i in labels.strings("transaction_id").to_list()])
    days = (labels.numbers("labelled_at") - happened) / DAY_MS
    source = np.array(labels.strings("source").to_list())
    says_fraud = labels.numbers("is_fraud") == 1
    median = {s: np.median(days[(source == s) & says_fraud]) for s in np.unique(source)}
    assert days.min() > 0
    assert median["analyst"] < 0.5
    assert 1.5 < median["issuer"] < 6
    assert 15 < median["chargeback"] < 27
    assert (source[says_fraud] == "chargeback").mean() > 0.5


def test_last_words_are_true_but_for_what_never_comes_to_light(run: Run) -> None:
    labels = labels_of(run.slices, Reporting(mistaken=0.3))
    last = dict(
        zip(
            labels.strings("transaction_id").to_list(),
            labels.numbers("is_fraud").tolist(),
            strict=True,
        )
    )
    truth = dict(
        zip(
            run.truth.strings("transaction_id").to_list(),
            run.truth.numbers("is_fraud").tolist(),
            strict=True,
        )
    )
    assert all(truth[i] == said for i, said in last.items())
    frauds = [i for i, fraud in truth.items() if fraud]
    assert 0.9 < np.mean([i in last for i in frauds]) < 0.99
    assert 0.001 < (len(last) - sum(last.values())) / (len(truth) - len(frauds)) < 0.003


def test_some_labels_are_wrong_first_and_corrected_later(run: Run) -> None:
    labels = labels_of(run.slices, Reporting(mistaken=0.3))
    said: dict[str | None, list[int]] = {}
    for name, is_fraud in zip(
        labels.strings("transaction_id").to_list(), labels.numbers("is_fraud").tolist(), strict=True
    ):
        said.setdefault(name, []).append(int(is_fraud))
    flipped = [words for words in said.values() if len(words) == 2]
    assert len(flipped) > 50
    assert all(first != second for first, second in flipped)


def test_losses_and_types_go_with_fraud(run: Run) -> None:
    labels = labels_of(run.slices)
    fraud = labels.numbers("is_fraud") == 1
    loss = labels.numbers("loss_minor")
    kind = np.array([v or "" for v in labels.strings("fraud_type").to_list()])
    assert (loss[~fraud] == NULL_INT).all()
    assert (loss[fraud] >= 0).all()
    assert set(kind[fraud]) == {"first_party", "third_party"}
    assert set(kind[~fraud]) == {""}


def test_labels_do_not_depend_on_slices(run: Run) -> None:
    one = labels_of(run.slices)
    two = labels_of(simulate(run.scenario, run.population, slice_rows=777))
    for name in ("label_id", "source"):
        assert one.strings(name).to_list() == two.strings(name).to_list()
    assert (one.numbers("labelled_at") == two.numbers("labelled_at")).all()


def test_delays_can_be_scaled_for_a_short_demonstration(run: Run) -> None:
    few = run.slices[:1]
    slow, fast = labels_of(few), labels_of(few, Reporting(delay_scale=0.001))
    assert np.median(fast.numbers("labelled_at")) < np.median(slow.numbers("labelled_at"))


def test_where_nobody_says_anything_there_are_no_labels() -> None:
    calm = simulate(Scenario(transactions=200, fraud_rate=0.0), slice_rows=50)
    labels = labels_of(calm, Reporting(cleared=0.0))
    assert len(labels) == 0
    assert set(labels.columns) == set(LABEL_COLUMNS)


@pytest.mark.parametrize(
    "wrong", [{"analyst": 0.9, "issuer": 0.2}, {"mistaken": -0.1}, {"delay_scale": 0.0}]
)
def test_impossible_shares_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Reporting(**wrong)
