import hashlib
import re
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alcyon.domain.columns import NULL_INT, Batch, Strings, concatenate
from alcyon.domain.errors import InputError
from alcyon.domain.transaction import COLUMNS, REQUIRED
from alcyon.simulation import AttackMix, Population, Scenario, simulate
from alcyon.simulation.traffic import SLICE_ROWS_MAX
from tests.simulation.whole_run import DAY_MS, Run, run_of

NOW = 1_760_000_000_000


def _digest(batch: Batch) -> str:
    digest = hashlib.sha256()
    for name, column in batch.columns.items():
        digest.update(name.encode())
        if isinstance(column, Strings):
            for array in (column.offsets, column.data, column.is_valid):
                digest.update(np.ascontiguousarray(array).tobytes())
        else:
            digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 9_000), st.integers(1, 4_000), st.sampled_from([0.0, 0.1]))
def test_bytes_do_not_depend_on_how_slices_are_cut(n: int, rows: int, disorder: float) -> None:
    scenario = Scenario(transactions=n, seed=n, disorder=disorder, drift=0.5)
    slices = list(simulate(scenario, slice_rows=rows))
    whole = run_of(scenario)
    assert max(map(len, slices)) <= rows
    assert sum(map(len, slices)) == n
    assert _digest(concatenate([s.transactions for s in slices])) == _digest(whole.transactions)
    assert _digest(concatenate([s.truth for s in slices])) == _digest(whole.truth)


def test_another_seed_is_other_traffic() -> None:
    one, two = (run_of(Scenario(transactions=2_000, seed=seed)) for seed in (1, 2))
    assert _digest(one.transactions) != _digest(two.transactions)
    ids = [set(r.transactions.strings("transaction_id").to_list()) for r in (one, two)]
    assert not ids[0] & ids[1]


def test_columns_are_canonical_and_the_truth_is_apart(run: Run) -> None:
    assert set(REQUIRED) | {"card_id"} <= set(run.transactions.columns) <= set(COLUMNS)
    assert set(run.truth.columns) == {"transaction_id", "is_fraud", "attack"}
    for name, column in run.transactions.columns.items():
        kind = COLUMNS[name].value
        if isinstance(column, Strings):
            assert kind == "string"
            assert column.offsets[-1] == len(column.data)
        else:
            assert {"int": "i", "float": "f"}[kind] == column.dtype.kind
            assert kind == "float" or (column != NULL_INT).all()


def test_order_span_and_ids(run: Run) -> None:
    time = run.transactions.numbers("event_time")
    ids = run.transactions.strings("transaction_id").to_list()
    assert (np.diff(time) >= 0).all()
    assert time[0] >= run.scenario.start
    assert time[-1] < run.scenario.start + 40 * DAY_MS
    assert len(set(ids)) == len(ids) == 150_000
    assert len({len(text) for text in ids if text}) == 1
    assert ids == run.truth.strings("transaction_id").to_list()
    assert not any(re.search(r"\d{12}", text or "") for text in ids[:1000])


def test_nulls_follow_the_channel(run: Run) -> None:
    online = run.words("channel") == "ecommerce"
    for name, least, most in (("device_id", 1.0, 1.0), ("ip", 1.0, 1.0), ("email_hash", 0.8, 0.97)):
        filled = run.words(name) != ""
        assert least <= filled[online].mean() <= most
        if name == "device_id":  # a wallet on the phone shows itself at the till
            assert 0.05 < filled[~online].mean() < 0.4
            assert not filled[run.words("channel") == "card_present"].any()
        else:
            assert not filled[~online].any()
    assert (np.isnan(run.transactions.numbers("merchant_latitude")) == online).all()
    latitude, longitude = (run.transactions.numbers(c) for c in ("latitude", "longitude"))
    assert (np.isnan(latitude) == np.isnan(longitude)).all()
    assert 0.005 < np.isnan(latitude).mean() < 0.06
    assert np.nanmax(np.abs(latitude)) <= 90


def test_the_till_is_where_the_merchant_is(run: Run) -> None:
    till = run.words("channel") != "ecommerce"
    assert (run.words("country") == run.words("merchant_country"))[till].all()
    distance = np.abs(
        run.transactions.numbers("latitude") - run.transactions.numbers("merchant_latitude")
    )
    assert np.nanmax(distance) < 0.02


def test_amounts_are_plausible_and_mostly_euros(run: Run) -> None:
    base, amount = (run.transactions.numbers(c) for c in ("amount_base_minor", "amount_minor"))
    euro = run.words("currency") == "EUR"
    assert 0.75 < euro.mean() < 0.98
    assert (base == amount)[euro].all()
    assert (base >= 0).all()
    assert 1_000 < np.median(base) < 4_000
    assert base.max() <= 20_000_000


@pytest.mark.parametrize("rate", [0.002, 0.007, 0.05])
def test_fraud_is_as_frequent_as_wished(rate: float) -> None:
    run = run_of(Scenario(transactions=120_000, seed=3, fraud_rate=rate))
    assert run.truth.numbers("is_fraud").mean() == pytest.approx(rate, rel=0.15)


def test_no_fraud_when_none_is_wished() -> None:
    assert run_of(Scenario(transactions=5_000, fraud_rate=0.0)).truth.numbers("is_fraud").sum() == 0


def test_cards_pay_once_or_twice_a_day_by_day_more_than_by_night(run: Run) -> None:
    natural = Scenario(duration_ms=20 * DAY_MS, seed=2)
    people = Population.create(2, cards=3_000)
    assert len(run_of(natural, people).transactions) == 3_000 * 20 * 1.5
    minutes = run.transactions.numbers("event_time") // 60_000
    hour = (minutes + run.transactions.numbers("utc_offset_minutes")) // 60 % 24
    count = np.bincount(hour.astype(np.int64), minlength=24)
    assert count[10:20].mean() > 2.5 * count[1:6].mean()


def test_history_and_live_are_the_same_people_with_the_same_habits() -> None:
    people = Population.create(9, cards=2_000)
    history = run_of(Scenario(duration_ms=40 * DAY_MS, start=NOW - 40 * DAY_MS, seed=1), people)
    scenario = Scenario(rate_per_s=2.0, start=NOW, seed=2, fraud_rate=0.02)
    live = concatenate([s.transactions for s in islice(simulate(scenario, people, 500), 20)])
    assert len(live) == 10_000
    assert live.numbers("event_time")[0] >= NOW > history.transactions.numbers("event_time")[-1]
    for column, least in (("card_id", 0.99), ("merchant_id", 0.85), ("device_id", 0.7)):
        known = set(history.transactions.strings(column).to_list())
        seen = [value in known for value in live.strings(column).to_list() if value]
        assert np.mean(seen) > least, column
    old, new = (
        np.log1p(b.numbers("amount_base_minor").astype(np.float64))
        for b in (history.transactions, live)
    )
    assert abs(old.mean() - new.mean()) < 0.06
    ids = set(history.transactions.strings("transaction_id").to_list())
    assert not ids & set(live.strings("transaction_id").to_list())


def test_a_forced_rate_is_even_from_the_first_minute_and_cards_take_turns() -> None:
    people = Population.create(9, cards=20_000)
    scenario = Scenario(rate_per_s=100.0, start=NOW, seed=2, fraud_rate=0.01)
    slices = list(islice(simulate(scenario, people, 6_000), 25))
    time = np.concatenate([s.transactions.numbers("event_time") for s in slices]) - NOW
    count = np.bincount(time.astype(np.int64) // 60_000)[:-1]
    assert np.abs(count / 6_000 - 1).max() < 0.08
    fraud = np.concatenate([s.truth.numbers("is_fraud") for s in slices])
    assert 0.005 < fraud[:30_000].mean() < 0.015
    cards = slices[0].transactions.strings("card_id").to_list()
    assert len(set(cards)) > 0.7 * len(cards)


def test_disorder_delays_the_wished_share_and_nothing_else() -> None:
    calm, late = (
        run_of(Scenario(transactions=60_000, seed=4, disorder=share)) for share in (0.0, 0.1)
    )
    time = late.transactions.numbers("event_time")
    behind = np.maximum.accumulate(time) - time
    assert len(time) == len(calm.transactions)
    assert 0.02 < (behind > 0).mean() < 0.12
    assert behind.max() <= 30 * 60_000


def test_drift_raises_amounts_and_shifts_to_the_web_over_the_span() -> None:
    runs = [run_of(Scenario(transactions=80_000, seed=4, drift=d)) for d in (0.0, 1.0)]
    half = 40_000
    for name, least in (("amount", 0.08), ("online", 0.03)):
        change = []
        for run in runs:
            values = (
                np.log1p(run.transactions.numbers("amount_base_minor").astype(np.float64))
                if name == "amount"
                else (run.words("channel") == "ecommerce").astype(np.float64)
            )
            change.append(values[half:].mean() - values[:half].mean())
        assert change[1] - change[0] > least, name


def test_pace_makes_attacks_unfold_faster() -> None:
    people = Population.create(9, cards=20_000)
    median = []
    for pace in (1.0, 10.0):
        mix = AttackMix({"stolen_card": 1.0}, pace=pace)
        run = run_of(Scenario(transactions=60_000, seed=4, fraud_rate=0.05, mix=mix), people)
        rows = np.flatnonzero(run.truth.numbers("is_fraud") == 1)
        card, time = run.codes("card_id")[rows], run.transactions.numbers("event_time")[rows]
        order = np.lexsort((time, card))
        median.append(np.median(np.diff(time[order])[np.diff(card[order]) == 0]))
    assert 5 < median[0] / median[1] < 20


def test_slices_are_bounded() -> None:
    for rows in (0, SLICE_ROWS_MAX + 1):
        with pytest.raises(InputError):
            simulate(Scenario(transactions=10), slice_rows=rows)


def test_a_span_beyond_the_century_is_refused() -> None:
    with pytest.raises(InputError, match="2099"):
        simulate(Scenario(transactions=10**9, start=4_102_000_000_000), Population.create(1, 100))
