"""Who may not is refused by the real `alcyon serve`: roles, foreign pages, WebSockets, a port."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from alcyon.domain.office.access import Role
from tests.card_models import card_models
from tests.cli.run_process import until
from tests.whole import Whole, burst, decided, payment, whole

EVIL = {"Origin": "https://evil.example"}
READ = (
    "/v1/decisions", "/v1/decisions.csv", "/v1/alerts", "/v1/cases", "/v1/rules", "/v1/proposals",
    "/v1/statistics", "/v1/live", "/v1/system", "/v1/dead-letters", "/v1/entities/card/c1",
    "/predict?user_id=c1", "/explain?user_id=c1", "/v1/audit", "/v1/keys", "/v1/users",
)  # fmt: skip


@pytest.fixture
def served(home: Path) -> Iterator[Whole]:
    with whole(home, card_models()[0]) as made:
        yield made


def case_of(client: httpx2.Client) -> str:
    """A case that was opened meanwhile."""
    until(lambda: bool(client.get("/v1/cases").json()["items"]))
    return str(client.get("/v1/cases").json()["items"][0]["case_id"])


def watched(served: Whole, **headers: str) -> int:
    """The status that the handshake of a feed is refused with, or 101."""
    url = served.address.replace("http", "ws") + "/v1/feeds/statistics"
    try:
        with connect(url, additional_headers=headers, open_timeout=30) as feed:
            feed.recv(timeout=30)
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def test_each_role_is_refused_what_is_not_its_own(served: Whole) -> None:
    shop, viewer = served.program(Role.INGEST), served.person("vic", Role.VIEWER)
    decided(shop, *burst("c1"))
    case = case_of(viewer)
    assert [shop.get(path).status_code for path in READ] == [403] * len(READ)
    assert [served.client({}).get(path).status_code for path in READ] == [401] * len(READ)
    closing = {"finding": "fraud", "resolution": "cancel"}
    asked = [
        viewer.post(f"/v1/cases/{case}/close", json=closing),
        viewer.post(f"/v1/cases/{case}/claim"),
        viewer.post("/v1/labels", json={"transaction_id": "c1-5", "is_fraud": True}),
        viewer.post("/v1/decisions", json=payment("by a viewer")),
        viewer.get("/v1/decisions/c1-5/explanation"),
    ]
    assert [answer.status_code for answer in asked] == [403] * len(asked)
    assert viewer.get(f"/v1/cases/{case}").json()["case"]["status"] == "open"


def test_a_foreign_page_cannot_use_somebodys_session(served: Whole) -> None:
    shop, ann = served.program(Role.INGEST), served.person("ann", Role.ANALYST)
    decided(shop, *burst("c1"))
    path = f"/v1/cases/{case_of(ann)}/claim"
    assert ann.post(path, headers=EVIL).status_code == 403
    assert ann.post(path, headers={"Origin": "null"}).status_code == 403
    assert ann.post(path, headers={"Origin": served.address}).status_code == 200
    cookie = "; ".join(f"{name}={value}" for name, value in ann.cookies.items())
    assert watched(served, Cookie=cookie, **EVIL) == 403
    assert watched(served, Cookie=cookie, Origin=served.address) == 101
    assert watched(served, **EVIL) == 403
    assert watched(served) == 403
    assert watched(served, **{"X-API-Key": served.key(Role.INGEST)}) == 403
    assert watched(served, **{"X-API-Key": served.key(Role.VIEWER)}) == 101


def test_a_taken_port_is_one_clear_line(served: Whole, home: Path) -> None:
    port = served.address.rpartition(":")[2]
    command = [sys.executable, "-m", "alcyon.cli", "serve", "--no-browser", "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"alcyon: 127.0.0.1:{port} cannot be listened on: Address already in use; end what does, "
        "or give another --port\n"
    )
    decided(served.program(Role.INGEST), payment("still served"))
