"""Who may what: each operation of the API's own description, asked by everybody.

Nothing is behind the door here, so whoever is let in gets whatever error follows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient

from alcyon.api.app import create_app, description
from alcyon.api.desk import Desk
from alcyon.api.guarding import Limits
from alcyon.domain.office.access import Role
from alcyon.io.office import Place, SqlOffice
from alcyon.telemetry.metrics import Telemetry
from tests.contracts.officing import SHELL, START, Clock

SEE = {Role.VIEWER, Role.ANALYST, Role.LEAD, Role.ADMIN}
WORK = SEE - {Role.VIEWER}
RUN = {Role.ADMIN}
MAY: dict[str, set[Role]] = {
    "POST /v1/decisions": {Role.INGEST, Role.ADMIN},
    "GET /v1/decisions": SEE,
    "GET /v1/decisions.csv": SEE,
    "GET /v1/decisions/{transaction_id}": SEE,
    "GET /v1/decisions/{transaction_id}/explanation": WORK,
    "GET /v1/decisions/{transaction_id}/labels": SEE,
    "GET /v1/alerts": SEE,
    "GET /v1/cases": SEE,
    "GET /v1/cases/{case_id}": SEE,
    "POST /v1/cases/{case_id}/claim": WORK,
    "POST /v1/cases/{case_id}/release": WORK,
    "POST /v1/cases/{case_id}/notes": WORK,
    "POST /v1/cases/{case_id}/close": WORK,
    "POST /v1/labels": WORK | {Role.INGEST},
    "POST /v1/labels/csv": WORK | {Role.INGEST},
    "GET /v1/entities/{kind}/{entity_id}": SEE,
    "GET /v1/statistics": SEE,
    "GET /predict": SEE,
    "GET /explain": WORK,
    "GET /v1/rules": SEE,
    "POST /v1/rules/validate": WORK,
    "POST /v1/rules/backtest": WORK,
    "GET /v1/models": SEE,
    "POST /v1/models/moves": {Role.LEARNER},
    "GET /v1/proposals": SEE,
    "POST /v1/proposals": WORK,
    "POST /v1/proposals/{proposal_id}/decide": WORK,
    "GET /v1/users": RUN,
    "POST /v1/users": RUN,
    "PATCH /v1/users/{name}": RUN,
    "GET /v1/keys": RUN,
    "POST /v1/keys": RUN,
    "DELETE /v1/keys/{key_id}": RUN,
    "GET /v1/audit": WORK - {Role.ANALYST},
    "GET /v1/live": SEE,
    "GET /v1/live/past": SEE,
    "GET /v1/system": SEE,
    "GET /v1/dead-letters": SEE,
}
SESSION = {"GET /v1/session": 401, "POST /v1/session": 422, "DELETE /v1/session": 204}
"""What it says to nobody in particular: who is signed in, and signing in and out."""
DESCRIBED = [
    f"{method.upper()} {path}"
    for path, methods in json.loads(description())["paths"].items()
    for method in methods
]
PATIENT = Limits(strangers_per_s=1e9)


@dataclass
class Door:
    """The app over an office, and keys to it."""

    client: TestClient
    keys: dict[Role, str]
    expired: str
    revoked: str

    def asked(self, operation: str, key: str | None) -> int:
        """The status; 500 where somebody was let in, and there is nothing."""
        method, path = operation.split(" ")
        place = re.sub(r"\{\w+\}", "card", path)
        headers = {} if key is None else {"X-API-Key": key}
        return self.client.request(method, place, headers=headers, json={}).status_code


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    clock = Clock()
    place = Place(tmp_path_factory.mktemp("office") / "office.sqlite")
    with closing(SqlOffice(place, None, clock)) as office:
        keys = {role: office.create_key(SHELL, role, "", None)[0] for role in Role}
        expired, _ = office.create_key(SHELL, Role.ADMIN, "", START + 1)
        revoked, key = office.create_key(SHELL, Role.ADMIN, "", None)
        office.revoke_key(SHELL, key.key_id)
        clock.now += 2
        ports = dict.fromkeys(Desk.__dataclass_fields__, cast(Any, None))
        own = {"office": office, "telemetry": Telemetry(), "origins": ()}
        app = create_app(Desk(**ports | own), PATIENT)
        with TestClient(app, raise_server_exceptions=False) as client:
            yield Door(client, keys, expired, revoked)


def test_each_operation_that_is_described_is_asked_here() -> None:
    assert sorted(DESCRIBED) == sorted([*MAY, *SESSION])


@pytest.mark.parametrize("operation", MAY)
def test_a_key_opens_what_its_role_may_and_nothing_else(operation: str, door: Door) -> None:
    told = {role: door.asked(operation, key) for role, key in door.keys.items()}
    assert {role for role, status in told.items() if status not in (401, 403)} == MAY[operation]
    assert {told[role] for role in set(Role) - MAY[operation]} == {403}


@pytest.mark.parametrize("operation", MAY)
def test_no_key_and_one_that_is_nobodys_any_more_open_nothing(operation: str, door: Door) -> None:
    of_nobody = door.keys[Role.ADMIN][:-1]
    for key in (None, "", of_nobody, door.expired, door.revoked):
        assert door.asked(operation, key) == 401, key


def test_who_is_not_known_learns_nothing_and_may_sign_out(door: Door) -> None:
    assert {one: door.asked(one, None) for one in SESSION} == SESSION
    for key in (door.expired, door.revoked):
        assert door.asked("GET /v1/session", key) == 401
