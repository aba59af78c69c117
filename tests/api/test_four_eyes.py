"""Over HTTP nobody approves what he proposed, by whatever way; and who may not, may not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient

from alcyon.api.app import create_app
from alcyon.api.desk import Controlling, Desk
from alcyon.domain.errors import ModelError
from alcyon.domain.office.access import Caller, Role
from alcyon.io.office import Place, SqlOffice
from alcyon.telemetry.metrics import Telemetry
from tests.contracts.officing import PASSWORD, SHELL, open_cases, person, raised

URL = "http://testserver"


class Rules:
    """Rules in memory."""

    def __init__(self) -> None:
        self.text = "# none\n"
        self.applied: list[tuple[str, dict[str, Any], str]] = []
        self.challenger = "c"
        self.is_refused = False

    def in_force(self) -> dict[str, Any]:
        versions = {"rules": self.text, "lists": "l", "model": "m", "challenger": self.challenger}
        return {"rules_text": self.text, "versions": versions}

    def look_again(self) -> None: ...

    def learnt(self, alias: str, model: str) -> None: ...

    def validate(self, rules_text: str) -> list[dict[str, Any]]:
        return []

    def evidence(self, kind: str, change: dict[str, Any]) -> dict[str, Any] | None:
        return None

    def prepared(self, kind: str, change: dict[str, Any]) -> dict[str, Any]:
        if self.is_refused:
            raise ModelError("the model is gone")
        return change

    def apply(self, kind: str, change: dict[str, Any], by: Caller, why: str) -> dict[str, Any]:
        self.applied.append((kind, change, by.person))
        self.text = change["text"]
        return {"version": self.text}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[SqlOffice]:
    with closing(SqlOffice(Place(tmp_path / "office.sqlite"))) as made:
        for name, role in (
            ("ada", Role.ADMIN),
            ("bob", Role.LEAD),
            ("vic", Role.ANALYST),
            ("eve", Role.ANALYST),
        ):
            made.add_user(SHELL, name, PASSWORD, role)
        yield made


@pytest.fixture
def rules() -> Rules:
    return Rules()


class Callers:
    """Clients, each somebody."""

    def __init__(self, office: SqlOffice, rules: Rules, files: ExitStack) -> None:
        nothing = cast("Any", None)
        self._app = create_app(
            Desk(
                asking=nothing, searcher=nothing, office=office, explaining=nothing,
                feeds=nothing, controlling=cast("Controlling", rules), system=dict,
                telemetry=Telemetry(), origins=(),
            )
        )  # fmt: skip
        self._office, self._files = office, files

    def signed_in(self, name: str) -> TestClient:
        """A person."""
        client = self._files.enter_context(TestClient(self._app))
        body = {"name": name, "password": PASSWORD}
        assert client.post("/v1/session", json=body).status_code == 200
        return client

    def key_of(self, maker: Caller, role: Role) -> TestClient:
        """A program, with a key that somebody made."""
        secret, _ = self._office.create_key(maker, role, "", None)
        return self._files.enter_context(TestClient(self._app, headers={"X-API-Key": secret}))


@pytest.fixture
def callers(office: SqlOffice, rules: Rules) -> Iterator[Callers]:
    with ExitStack() as files:
        yield Callers(office, rules, files)


def proposed(client: TestClient, text: str = "# mine\n") -> str:
    body = {"kind": "rules", "change": {"text": text}, "why": "too many"}
    answer = client.post("/v1/proposals", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["proposal_id"])


def decided(client: TestClient, proposal_id: str) -> int:
    body = {"is_approved": True}
    return client.post(f"/v1/proposals/{proposal_id}/decide", json=body).status_code


def test_the_proposer_approves_by_no_session_and_no_key(callers: Callers, rules: Rules) -> None:
    ada = person("ada", Role.ADMIN)
    console = callers.signed_in("ada")
    ways = [
        console, callers.signed_in("ada"), callers.key_of(ada, Role.ADMIN),
        callers.key_of(ada, Role.LEAD), callers.key_of(SHELL, Role.ADMIN),
    ]  # fmt: skip
    for proposer in (console, ways[2]):
        proposal_id = proposed(proposer)
        assert [decided(way, proposal_id) for way in ways] == [403] * 5
        assert rules.applied == []
        rejected = console.post(f"/v1/proposals/{proposal_id}/decide", json={"is_approved": False})
        assert rejected.json()["proposal"]["status"] == "withdrawn"


def test_another_lead_approves_and_it_takes_effect_once(callers: Callers, rules: Rules) -> None:
    proposal_id = proposed(callers.signed_in("vic"))
    assert decided(callers.signed_in("vic"), proposal_id) == 403
    bob = callers.signed_in("bob")
    assert (decided(bob, proposal_id), decided(bob, proposal_id)) == (200, 409)
    assert rules.applied == [("rules", {"text": "# mine\n"}, "bob")]


def test_an_analyst_withdraws_his_own_and_nobody_elses(callers: Callers, rules: Rules) -> None:
    vic, eve = callers.signed_in("vic"), callers.signed_in("eve")
    place = f"/v1/proposals/{proposed(vic)}/decide"
    assert eve.post(place, json={"is_approved": False}).status_code == 403
    withdrawn = vic.post(place, json={"is_approved": False})
    assert withdrawn.json()["proposal"]["status"] == "withdrawn"
    assert callers.signed_in("bob").post(place, json={"is_approved": True}).status_code == 409
    assert rules.applied == []


def test_what_was_based_on_other_rules_is_not_approved(callers: Callers, rules: Rules) -> None:
    vic, bob = callers.signed_in("vic"), callers.signed_in("bob")
    first, second = proposed(vic), proposed(vic, "# other\n")
    assert (decided(bob, first), decided(bob, second)) == (200, 409)
    assert len(rules.applied) == 1


def test_what_would_be_refused_now_is_not_approved(
    callers: Callers, rules: Rules, office: SqlOffice
) -> None:
    proposal_id, bob = proposed(callers.signed_in("vic")), callers.signed_in("bob")
    rules.is_refused = True
    assert decided(bob, proposal_id) == 409
    assert [p.proposal_id for p in office.proposals("open")] == [proposal_id]
    assert office.audit(None, 1).items[0].detail == {"why": "the model is gone"}
    rules.is_refused = False
    assert decided(bob, proposal_id) == 200


def test_a_challenger_is_based_on_the_challenger_before_it(callers: Callers, rules: Rules) -> None:
    vic, bob = callers.signed_in("vic"), callers.signed_in("bob")
    wanted = {"kind": "challenger", "change": {"model": "m2"}, "why": "newer"}
    proposal_id = vic.post("/v1/proposals", json=wanted).json()["proposal_id"]
    rules.challenger = "another"
    assert decided(bob, proposal_id) == 409


def test_a_case_is_worked_on_and_closed(callers: Callers, office: SqlOffice) -> None:
    (case,) = open_cases(office, raised("t1"))
    vic, bob = callers.signed_in("vic"), callers.signed_in("bob")
    path = f"/v1/cases/{case.case_id}"
    assert vic.post(f"{path}/claim").json()["claimed_by"] == "vic"
    assert bob.post(f"{path}/claim").status_code == 409
    eve = callers.signed_in("eve")
    closing = {"finding": "genuine", "resolution": "release"}
    assert eve.post(f"{path}/release").status_code == 409
    assert eve.post(f"{path}/close", json=closing).status_code == 409
    assert vic.post(f"{path}/notes", json={"text": "rang"}).status_code == 200
    assert vic.post(f"{path}/close", json={"finding": "fraud"}).status_code == 422
    closed = vic.post(f"{path}/close", json={"finding": "fraud", "resolution": "cancel"})
    assert closed.json()["status"] == "closed"
    shown = bob.get(path).json()
    assert [e["what"] for e in shown["history"]] == [
        "opened", "claimed", "note", "labelled", "closed",
    ]  # fmt: skip
    assert bob.get("/v1/cases/nonesuch").status_code == 404
    assert bob.get("/v1/cases", params={"cursor": "x"}).status_code == 422
    assert bob.get("/v1/cases/%00").status_code in (404, 422)


def test_roles_and_strangers(callers: Callers, office: SqlOffice) -> None:
    vic, ada = callers.signed_in("vic"), callers.signed_in("ada")
    assert [vic.get(path).status_code for path in ("/v1/users", "/v1/keys", "/v1/audit")] == [
        403
    ] * 3
    body = {"name": "eve", "password": "short", "role": "admin"}
    assert ada.post("/v1/users", json=body).status_code == 422
    made = ada.post("/v1/keys", json={"role": "ingest"}).json()
    program = {"X-API-Key": made["secret"]}
    assert vic.get("/v1/cases", headers=program).status_code == 403
    assert ada.delete(f"/v1/keys/{made['key']['key_id']}").status_code == 204
    assert vic.get("/v1/cases", headers=program).status_code == 401
    foreign = {"origin": "https://evil.example"}
    assert ada.post("/v1/keys", json={"role": "admin"}, headers=foreign).status_code == 403
    assert ada.patch("/v1/users/vic", json={"is_disabled": True}).status_code == 200
    assert vic.get("/v1/cases").status_code == 401
    assert [e.what for e in office.audit(None, 3).items] == [
        "user_disabled", "key_revoked", "key_created",
    ]  # fmt: skip
