"""Each attack's signature, recomputed from the transactions alone."""

import numpy as np
from numpy.typing import NDArray

from alcyon.simulation import ATTACKS
from alcyon.simulation.geography import distance_km
from tests.simulation.whole_run import DAY_MS, Run

HOUR_MS = 3_600_000


def _rows(run: Run, attack: str) -> NDArray[np.int64]:
    rows = np.flatnonzero(run.attack == attack)
    assert len(rows) > 100
    return rows


def test_every_attack_has_its_share(run: Run) -> None:
    count = {name: int((run.attack == name).sum()) for name in ATTACKS}
    assert min(count.values()) > 0.5 * max(count.values())
    assert ((run.attack != "") == (run.truth.numbers("is_fraud") == 1)).all()


def test_card_testing_tries_many_cards_with_small_amounts_at_one_merchant(run: Run) -> None:
    rows = _rows(run, "card_testing")
    amount = run.transactions.numbers("amount_base_minor")[rows]
    assert np.median(amount) < 800
    rows = rows[amount < 3_000]
    merchant, card = run.codes("merchant_id")[rows], run.codes("card_id")[rows]
    names, count = np.unique(merchant, return_counts=True)
    top = names[np.argmax(count)]
    assert len(np.unique(card[merchant == top])) >= 10
    time = run.transactions.numbers("event_time")[rows][merchant == top]
    assert np.percentile(time, 75) - np.percentile(time, 25) < 12 * HOUR_MS


def test_a_stolen_card_goes_on_a_spree(run: Run) -> None:
    rows = _rows(run, "stolen_card")
    card, time = run.words("card_id"), run.transactions.numbers("event_time")
    everyone = np.flatnonzero(run.attack == "")[::50]

    def within_three_hours(some: NDArray[np.int64]) -> float:
        near = [np.abs(time[run.rows_of_card[card[r]]] - time[r]) < 3 * HOUR_MS for r in some]
        return float(np.mean([n.sum() for n in near]))

    assert within_three_hours(rows) > 2 * within_three_hours(everyone)


def test_an_account_is_taken_over_from_a_device_it_has_not_seen(run: Run) -> None:
    device = run.words("device_id")
    genuine = np.flatnonzero((run.attack == "") & (device != ""))[1_000::40]

    def unseen(rows: NDArray[np.int64]) -> float:
        first = []
        for row in rows:
            before = run.before(row)
            known = {d for d in device[before] if d}
            attack = run.attack[before]
            if known and not (attack == "account_takeover").any():
                first.append(device[row] not in known)
        return float(np.mean(first))

    assert unseen(_rows(run, "account_takeover")) > 0.8
    assert 0.03 < unseen(genuine) < 0.4


def test_impossible_travel_is_faster_than_flight(run: Run) -> None:
    time = run.transactions.numbers("event_time")
    latitude, longitude = (run.transactions.numbers(c) for c in ("latitude", "longitude"))

    def fast(rows: NDArray[np.int64]) -> float:
        speeds = []
        for row in rows:
            before = run.before(row, days=1)
            before = before[~np.isnan(latitude[before])]
            if len(before) and not np.isnan(latitude[row]):
                ends = [np.array([c[r]]) for r in (before, row) for c in (latitude, longitude)]
                ends[0], ends[1] = latitude[before].astype(float), longitude[before].astype(float)
                km = distance_km(ends[0], ends[1], ends[2], ends[3])
                hours = (time[row] - time[before]) / HOUR_MS
                speeds.append(((km > 300) & (km / np.maximum(hours, 1e-3) > 900)).any())
        return float(np.mean(speeds))

    assert fast(_rows(run, "impossible_travel")) > 0.5
    assert 0.0 < fast(np.flatnonzero(run.attack == "")[1_000::60]) < 0.1


def test_cards_of_a_compromised_merchant_were_seen_there_days_before(run: Run) -> None:
    card, merchant = run.codes("card_id"), run.codes("merchant_id")
    time = run.transactions.numbers("event_time")
    abused: dict[int, int] = {}
    for row in _rows(run, "compromised_merchant"):
        abused.setdefault(card[row], int(time[row]))
    seen: dict[int, set[int]] = {}
    for row in np.flatnonzero(np.isin(card, list(abused)) & (run.attack == "")):
        days = (abused[card[row]] - time[row]) / DAY_MS
        if 1.5 <= days <= 16.1:
            seen.setdefault(merchant[row], set()).add(card[row])
    everyone = len(np.unique(card))
    lift = max(
        (len(cards) / len(abused)) / (len(np.unique(card[merchant == name])) / everyone)
        for name, cards in seen.items()
        if len(cards) >= 6
    )
    assert lift > 3


def test_a_device_farm_pays_with_many_cards(run: Run) -> None:
    device, card = run.codes("device_id"), run.codes("card_id")
    pairs = np.unique(np.stack([device, card]), axis=1)
    cards = np.bincount(pairs[0][pairs[0] >= 0])  # per device
    farm = np.unique(device[_rows(run, "device_farm")])
    honest = np.unique(device[(run.attack == "") & (device >= 0)])
    assert cards[farm].mean() >= 4
    assert cards[honest].mean() < 2.5


def test_a_bust_out_spends_far_above_a_long_history(run: Run) -> None:
    amount = run.transactions.numbers("amount_base_minor")
    ratio, history = [], []
    for row in _rows(run, "bust_out"):
        before = run.before(row)
        before = before[run.attack[before] == ""]
        history.append(len(before))
        if len(before):
            ratio.append(amount[row] / amount[before].mean())
    assert np.median(history) >= 12
    assert np.median(ratio) > 2.5


def test_what_is_merely_disputed_looks_like_everything_else(run: Run) -> None:
    amount = run.transactions.numbers("amount_base_minor")
    disputed, genuine = amount[_rows(run, "disputed")], amount[run.attack == ""]
    assert 0.7 < np.median(disputed) / np.median(genuine) < 1.4


def test_no_amount_or_channel_gives_fraud_away(run: Run) -> None:
    fraud = run.attack != ""
    amount = run.transactions.numbers("amount_base_minor").astype(np.float64)
    order = np.argsort(np.argsort(amount))
    auc = (order[fraud].mean() - order[~fraud].mean()) / len(order) + 0.5
    assert 0.4 < auc < 0.75
    channels = run.words("channel")
    assert all((fraud & (channels == name)).sum() > 50 for name in np.unique(channels))
