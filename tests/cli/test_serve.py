"""`alcyon serve` over the embedded log: asked by HTTP, decided by a worker in another process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from alcyon.domain.record import Topic
from tests.api.standing import VIEWER
from tests.cli.run_process import Start, decided, until
from tests.cli.running import refused
from tests.cli.served import served, worker
from tests.kafka import Broker

PATIENT_MS = 60_000
NUMBERS = CARD, OF_SHOP, BROKEN = "4111111111111111", "5555555555554444", "378282246310005"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALCYON_STATUS__PORT", "0")


def transaction(name: str, **given: Any) -> dict[str, Any]:
    """A payment of now."""
    return {
        "transaction_id": name, "event_time": round(time.time() * 1000), "amount_minor": 1234,
        "currency": "EUR", "card_id": f"c-{name}", "merchant_id": "m1", "country": "FR",
    } | given  # fmt: skip


def test_it_is_decided_repeated_refused_and_batched(home: Path) -> None:
    with served(home, decision_timeout_ms=PATIENT_MS) as api:
        plain = transaction("a")
        first = api.ask(plain).json()
        assert (first["transaction_id"], first["is_provisional"]) == ("a", False)
        again = api.ask(plain).json()
        assert (again["sequence"], again["is_repeat"]) == (first["sequence"], True)
        conflict = api.ask(plain | {"amount_minor": 1})
        assert (conflict.status_code, conflict.json()["type"][-9:]) == (409, "/conflict")
        batch = [transaction(f"b{i}") for i in range(100)]
        answers = api.ask(*batch).json()
        assert [one["transaction_id"] for one in answers] == [
            one["transaction_id"] for one in batch
        ]
        wrong = api.ask(*batch[:1], transaction("x"), transaction("y", currency="EURO"))
        assert wrong.status_code == 422
        assert "transaction 3 of 3: unknown_currency" in wrong.json()["detail"]
        assert api.client.post("/v1/decisions", content=b"{").status_code == 422
        assert api.client.post("/v1/decisions", content=b"[{},").status_code == 422
        decided = api.decided()
    assert sorted(decided) == sorted(["a", *(one["transaction_id"] for one in batch)])


def test_while_no_worker_decides_answers_are_provisional_and_the_decisions_follow(
    home: Path,
) -> None:
    with served(home, with_worker=False, decision_timeout_ms=20) as api:
        told = api.ask(transaction("a"), transaction("b", card_id=CARD)).json()
        assert [one["is_provisional"] for one in told] == [True, True]
        assert told[0]["sequence"] is None
        with worker(home):
            until(lambda: api.decided() == ["a", "b"])
        shown = api.client.get("/v1/decisions/a", headers={"X-API-Key": VIEWER}).json()
        assert shown["answered"] == told[0]
        other = api.client.get("/v1/decisions/z", headers={"X-API-Key": VIEWER}).json()
        assert other["answered"] is None
        metrics = api.client.get("/metrics").text
        assert "alcyon_api_provisional_answers_total 2.0" in metrics
        assert (
            'alcyon_api_requests_total{method="GET",route="/v1/decisions/{transaction_id}",'
            'status="2xx"} 2.0' in metrics
        )
    assert CARD.encode() not in b"".join(
        path.read_bytes() for path in home.rglob("*") if path.is_file()
    )


def test_a_worker_that_is_killed_loses_and_doubles_nothing(home: Path) -> None:
    with served(home, decision_timeout_ms=50) as api:
        warm, after = transaction("warm"), transaction("after")
        until(lambda: not api.ask(warm).json()["is_provisional"])
        api.kill_worker()
        names = [f"t{i}" for i in range(50)]
        told = [api.ask(transaction(name)).json() for name in names]
        assert all(one["is_provisional"] for one in told)
        with worker(home):
            until(lambda: len(api.decided()) == 51)
            until(lambda: not api.ask(after).json()["is_provisional"])
            assert api.decided() == ["warm", *names, "after"]


@pytest.mark.parametrize("command", ["serve", "demo", "analytics"])
def test_a_port_that_there_cannot_be_is_one_line(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "99999" in refused(capsys, command, "--port", 99_999)


def test_a_taken_port_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    from contextlib import closing

    from alcyon.cli.opening.serving import bound

    with closing(bound("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        line = refused(capsys, "serve", "--port", port)
    assert f"127.0.0.1:{port} cannot be listened on: Address already in use" in line


def test_where_another_alcyon_has_the_status_ports_it_is_one_line_and_nothing_is_started(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import closing

    from alcyon.cli.opening.duties import PORT_OFFSET
    from alcyon.cli.opening.serving import bound
    from services.server import free_ports

    first = free_ports(range(21_000, 22_000), None)[0]
    monkeypatch.setenv("ALCYON_STATUS__PORT", str(first))
    with closing(bound("127.0.0.1", first + PORT_OFFSET)):
        line = refused(capsys, "serve", "--port", 0, "--no-browser")
    assert f"127.0.0.1:{first + PORT_OFFSET} cannot be listened on: Address already in use" in line
    assert "set ALCYON_STATUS__PORT to another" in line
    assert not (home / "decisions").exists()


def test_over_kafka_it_is_decided_repeated_and_refused(
    home: Path, broker: Broker, of_broker: dict[str, object], start: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run = start(of_broker)
    run.line("worker started")
    for name, value in of_broker.items():
        monkeypatch.setenv(f"ALCYON_{name}", str(value))
    with served(home, with_worker=False, decision_timeout_ms=PATIENT_MS) as api:
        plain = transaction("a", card_id=CARD)
        first = api.ask(plain).json()
        assert (first["transaction_id"], first["is_provisional"]) == ("a", False)
        again = api.ask(plain).json()
        assert (again["sequence"], again["is_repeat"]) == (first["sequence"], True)
        assert api.ask(plain | {"amount_minor": 1}).status_code == 409
        batch = [transaction(f"b{i}") for i in range(100)]
        answers = api.ask(*batch).json()
        assert [one["is_provisional"] for one in answers] == [False] * 100
        assert api.ask(transaction("x"), transaction("y", currency="EURO")).status_code == 422
    assert decided(broker) == ["a", *(one["transaction_id"] for one in batch)]


def test_of_card_numbers_in_any_place_no_topic_of_ours_has_one(
    home: Path, broker: Broker, of_broker: dict[str, object], start: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    start(of_broker).line("worker started")
    for name, value in of_broker.items():
        monkeypatch.setenv(f"ALCYON_{name}", str(value))
    named, names = f"Shop {OF_SHOP} of Lyon", broker.names
    with served(home, with_worker=False, decision_timeout_ms=PATIENT_MS) as api:
        assert api.ask(transaction("a", card_id=CARD, merchant_id=named)).status_code == 200
    by_another = f'{{"transaction_id": "b", "card_id": "{BROKEN}", "note": '
    with broker.intake() as intake:
        intake.append(Topic.TRANSACTIONS, [by_another.encode()])
    until(lambda: broker.kept()[names.dead_letters] != b"")
    kept = broker.kept()
    where = {x: {name for name, raw in kept.items() if x.encode() in raw} for x in NUMBERS}
    # What another program writes into the topic of transactions stays as that program wrote it.
    assert where == {CARD: set(), OF_SHOP: set(), BROKEN: {names.transactions}}
    assert b'"a"' in kept[names.decisions]
