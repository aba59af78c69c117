"""By a control record the worker forgets a card; recovery and replay do so in the same place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alcyon.domain.control import ForgetEntity, encode_control
from alcyon.domain.record import Topic
from alcyon.features.transfer import id_key
from alcyon.io.snapshots import snapshot_names
from alcyon.runners.stream.worker import Pace
from tests.runners.test_recovery import with_snapshots
from tests.runners.working import START, Generator, Home, Traffic, expected

FORGOTTEN, FRESH, OTHER = "card-one", "card-new", "card-two"
C, T = Topic.CONTROL, Topic.TRANSACTIONS


def forget(card: str) -> tuple[Topic, bytes]:
    return C, encode_control(ForgetEntity(*id_key(card)))


def payment(number: int, card: str) -> tuple[Topic, bytes]:
    """Every fifth is late by some minutes; no card has anything but its id in common."""
    fields = {
        "transaction_id": f"t{number}",
        "event_time": START + number * 7_000 - (number % 5 == 0) * 240_000,
        "amount_minor": 1000 + number * 37 % 400, "currency": "EUR", "card_id": card,
        "merchant_id": f"m{number}", "country": ("FR", "DE", "IT")[number % 3],
    }  # fmt: skip
    return T, json.dumps(fields).encode()


def traffic(later: str, forgotten: str | None) -> Traffic:
    """Two cards in turn; in the middle one of them is forgotten, and goes on under `later`."""
    before = [payment(i, FORGOTTEN if i % 2 else OTHER) for i in range(60)]
    after = [payment(i, later if i % 2 else OTHER) for i in range(60, 120)]
    return [*before, forget(forgotten or "nobody"), *after]


@pytest.mark.parametrize("batch_max", [1, 7, 4096])
def test_a_forgotten_card_is_as_one_never_seen(batch_max: int, tmp_path: Path) -> None:
    """What is decided on it afterwards is, to the byte, what is decided on another, new card; and
    for every other card nothing changes."""
    made = []
    for name, later, forgotten in (("a", FORGOTTEN, FORGOTTEN), ("b", FRESH, None)):
        home = Home(tmp_path / name)
        home.append(traffic(later, forgotten))
        home.drained(Pace(batch_max=batch_max, snapshot_every=10**9))
        assert home.dead_letters() == []
        made.append(home.decisions())
    assert made[0] == made[1]
    untouched = Home(tmp_path / "c")
    untouched.append(traffic(FORGOTTEN, None))
    untouched.drained()
    assert untouched.decisions() != made[0], "the history had a say"


@pytest.mark.parametrize("seed", [1, 2])
def test_recovery_forgets_at_the_same_place(seed: int, tmp_path: Path) -> None:
    records = Generator(seed).traffic(600)
    for place in range(550, 0, -50):
        records.insert(place, forget(f"c{place % 4}"))
    wanted = expected(records, tmp_path)
    for kept in (120, 333):
        home = Home(tmp_path / str(kept))
        with_snapshots(home, records[: kept + 70], kept)
        _, recovered = home.start()
        assert (recovered.snapshot, recovered.replayed) == (snapshot_names(home.snapshots)[0], 70)
        home.append(records[kept + 70 :])
        home.drained(Pace(batch_max=64))
        assert (home.decisions(), home.dead_letters()) == wanted


def test_an_id_is_hashed_as_the_kernel_hashes_it() -> None:
    """The record does not hold the id; two ids are two."""
    _, record = forget("k1_0123456789abcdef0123456789abcdef")
    assert b"0123456789abcdef" not in record
    assert id_key("a") != id_key("b")


def test_no_snapshot_holds_an_id(tmp_path: Path) -> None:
    """They hold hashes: what is erased need not be looked for in them."""
    home = Home(tmp_path / "home")
    home.append(traffic(FORGOTTEN, FORGOTTEN))
    home.drained(Pace(batch_max=7, snapshot_every=20))
    files = [file.read_bytes() for file in home.snapshots.rglob("*") if file.is_file()]
    assert files
    assert not any(card.encode() in data for card in (FORGOTTEN, OTHER) for data in files)
