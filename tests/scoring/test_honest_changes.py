"""The grid: what is on it, in which order, and that nothing else is."""

from __future__ import annotations

from alcyon.scoring.honest_changes import PAIR_COST, PLACE, Candidate, Row, candidates

PAYMENT: Row = {
    "transaction_id": "t9", "event_time": 1_700_000_000_000, "amount_minor": 94_000,
    "currency": "EUR", "card_id": "c1", "merchant_id": "m17", "device_id": "d9", "country": "NG",
    "latitude": 6.5, "longitude": 3.4, "utc_offset_minutes": 60, "channel": "online",
}  # fmt: skip
HOME: Row = {
    "device_id": "d1", "country": "FR", "latitude": 45.7, "longitude": 4.8, "channel": "chip",
    "utc_offset_minutes": 60,
}  # fmt: skip


def changed(found: list[Candidate], *columns: str) -> list[Candidate]:
    return [c for c in found if set(c.values) == set(columns)]


def test_the_cheapest_come_first() -> None:
    costs = [round(c.cost, 6) for c in candidates(PAYMENT, [HOME])]
    assert costs == sorted(costs)


def test_amounts_go_down_to_a_hundredth_in_round_numbers() -> None:
    amounts = [c.values["amount_minor"] for c in changed(candidates(PAYMENT, []), "amount_minor")]
    assert amounts == [
        84_000, 75_000, 65_000, 56_000, 47_000, 37_000, 28_000, 18_000, 9_400, 4_700, 1_800, 940,
    ]  # fmt: skip
    assert changed(candidates({**PAYMENT, "amount_minor": 0}, []), "amount_minor") == []
    few = changed(candidates({**PAYMENT, "amount_minor": 3}, []), "amount_minor")
    assert [c.values["amount_minor"] for c in few] == [2, 1]


def test_the_device_is_one_the_card_has_used_the_most_used_first() -> None:
    earlier = [{**HOME, "device_id": d} for d in ("d1", "d2", "d2", "d9", "d9", "d9", None)]
    found = changed(candidates(PAYMENT, earlier), "device_id")
    assert [c.values["device_id"] for c in found] == ["d2", "d1"]
    assert found[0].words == {"device_id": "from a device this card has used before"}
    assert changed(candidates(PAYMENT, []), "device_id") == []


def test_a_place_changes_as_a_whole() -> None:
    found = candidates(PAYMENT, [HOME, {**HOME, "latitude": 1.0}])
    (place,) = changed(found, "country", "latitude", "longitude")
    assert place.values == {"country": "FR", "latitude": 45.7, "longitude": 4.8}
    assert place.words["country"] == "in FR, where this card has paid before"
    for one in found:
        there = {name: one.values.get(name, PAYMENT.get(name)) for name in PLACE}
        assert there in (
            {name: PAYMENT.get(name) for name in PLACE}, {name: HOME.get(name) for name in PLACE},
        )  # fmt: skip


def test_where_only_the_merchants_country_is_known_it_is_the_place() -> None:
    payment = {k: v for k, v in PAYMENT.items() if k not in PLACE} | {"merchant_country": "NG"}
    (place,) = changed(candidates(payment, [{"merchant_country": "FR"}]), "merchant_country")
    assert place.words == {"merchant_country": "in FR, where this card has paid before"}


def test_two_things_cost_more_than_both() -> None:
    found = candidates(PAYMENT, [HOME])
    single = {next(iter(c.values)): c for c in changed(found, "device_id")}
    (pair,) = changed(found, "device_id", "channel")
    (channel,) = changed(found, "channel")
    assert pair.cost == single["device_id"].cost + channel.cost + PAIR_COST
    assert max(len({n for n in c.values if n not in PLACE}) for c in found) == 2


def test_nothing_but_what_a_payer_can_change_is_changed() -> None:
    may = {"amount_minor", "event_time", "device_id", "channel", *PLACE}
    assert {name for c in candidates(PAYMENT, [HOME]) for name in c.values} <= may
