"""Decisions as CSV, over a filled store and the app itself."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.testclient import TestClient

from alcyon.api.app import create_app
from alcyon.api.csv_export import COLUMNS, safe
from alcyon.api.desk import Desk
from alcyon.domain.office.access import Caller, Role
from alcyon.domain.office.searching import Filter
from alcyon.io.searching import StoreSearcher, sqlite
from alcyon.io.sqlite import SqliteStore
from alcyon.telemetry.metrics import Telemetry
from tests.contracts.searched import World

WORLD = World(seed=4, n=500)
ODD = ("=HYPERLINK(1)", "+1", "-1", "@sum", "\tx", "\rx", "\nx", 'a"b', "a,b", "a\nb", "'=1")


class Office:
    """Knows one key of each role."""

    def caller_of_key(self, secret: str) -> Caller | None:
        return Caller(secret, Role(secret), secret) if secret in ("viewer", "ingest") else None


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    path: Path = tmp_path_factory.mktemp("store") / "alcyon.sqlite"
    for paid, odd in zip(WORLD.paid, ODD, strict=False):
        paid.columns["merchant_id"] = odd
    with closing(SqliteStore(path)) as store:
        for projected in WORLD.commits():
            store.write(projected)
    with closing(StoreSearcher(sqlite(path))) as searcher:
        ports = dict.fromkeys(Desk.__dataclass_fields__, cast(Any, None))
        own = {"searcher": searcher, "office": Office(), "telemetry": Telemetry(), "origins": ()}
        desk = Desk(**ports | own)
        yield TestClient(create_app(desk), headers={"X-API-Key": "viewer"})


def rows(client: TestClient, **asked: Any) -> list[dict[str, str]]:
    answer = client.get("/v1/decisions.csv", params=asked)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def test_all_that_the_filter_finds_is_there_in_order(client: TestClient) -> None:
    for asked, found_by in (({}, Filter()), ({"country": "FR"}, Filter(country="FR"))):
        found = rows(client, **asked)
        assert tuple(found[0]) == COLUMNS
        expected = [p.decision.transaction_id for p in WORLD.found(found_by)]
        assert [row["transaction_id"] for row in found] == expected
        assert len(expected) > 150


def test_no_cell_is_a_formula_and_every_text_comes_back(client: TestClient) -> None:
    found = rows(client)
    texts = [value for row in found for value in row.values()]
    assert not [t for t in texts if t.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))]
    assert {str(safe(odd)) for odd in ODD} <= {row["merchant_id"] for row in found}


def test_it_is_bounded(client: TestClient) -> None:
    assert len(rows(client, limit=250)) == 250
    assert client.get("/v1/decisions.csv", params={"limit": 50_001}).status_code == 422


def test_what_cannot_be_asked_is_a_problem_and_no_half_file(client: TestClient) -> None:
    answer = client.get("/v1/decisions.csv", params={"entity_kind": "card"})
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (422, "invalid-input")


@pytest.mark.parametrize(("key", "status"), [("ingest", 403), ("nobody", 401)])
def test_who_may_not_look_may_not_export(client: TestClient, key: str, status: int) -> None:
    answer = client.get("/v1/decisions.csv", headers={"X-API-Key": key})
    assert answer.status_code == status
