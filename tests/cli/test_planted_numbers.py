"""Card numbers that were planted everywhere, over `alcyon serve`, are found nowhere afterwards."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from alcyon.cli.opening.servers import STORE_FILE
from alcyon.domain.office.access import Role
from tests.card_models import card_models
from tests.cli.run_process import until
from tests.whole import Whole, burst, decided, payment, stored, whole

# Numbers that payment networks give for tests, one for each place, so that a finding tells where.
NUMBERS = {
    "card": "4111111111111111",
    "grouped card": "5555 5555 5555 4444",
    "dashed card": "3782-822463-10005",
    "merchant": "6011111111111117",
    "merchant name": "3566002020360505",
    "device": "30569309025904",
    "category": "5105105105105100",
    "note": "4012 8888 8888 1881",
    "closing note": "6011000990139424",
    "label": "4222222222222",
    "label in CSV": "371449635398431",
    "list": "3530111333300000",
    "grouped list": "3852 0000 0232 37",
    "rule": "4917610000000000",
    "why": "4000056655665556",
    "note of a key": "6759649826438453",
    "malformed": "2223003122003222",
    "unreadable": "5200828282828210",
    "refused": "4242424242424242",
    "query": "5019717010103742",
    "path": "4917300800000000",
    "search": "6304000000000000",
    "dead letter": "2720992593319364",
}
_SEPARATED = re.compile(rb"(?<=[0-9])[ -](?=[0-9])")


@pytest.fixture
def served(home: Path) -> Iterator[Whole]:
    with whole(home, card_models()[0]) as made:
        yield made


def found_in(raw: bytes) -> list[str]:
    """Whose numbers are there, however they are grouped."""
    bare = _SEPARATED.sub(b"", raw)
    digits = {name: re.sub(r"\D", "", number).encode() for name, number in NUMBERS.items()}
    return [name for name, number in digits.items() if number in raw or number in bare]


def test_what_is_planted_would_be_found() -> None:
    for name, number in NUMBERS.items():
        assert found_in(f"x{number}y".encode()) == [name]


def test_planted_numbers_are_found_nowhere(served: Whole) -> None:
    shop = served.program(Role.INGEST)
    admin = served.person("ada", Role.ADMIN)
    heard: list[httpx2.Response] = []
    for client in (shop, admin):
        client.event_hooks = {"response": [heard.append]}
    plant_payments(shop)
    plant_labels(shop, admin)
    plant_in_the_office(admin)
    plant_in_questions(admin)
    until(lambda: bool(admin.get("/v1/decisions/device").status_code == 200))
    read_everything(admin)
    served.stop()
    answers = [(answer.request, answer.read() + str(answer.headers).encode()) for answer in heard]
    assert [
        (asked.method, str(asked.url), found) for asked, raw in answers if (found := found_in(raw))
    ] == []
    assert found_in("".join(served.told).encode()) == []
    files = [path for path in served.home.rglob("*") if path.is_file()]
    assert {"office.sqlite", STORE_FILE} <= {path.name for path in files}
    assert [(str(path), found) for path in files if (found := found_in(path.read_bytes()))] == []


def plant_payments(shop: httpx2.Client) -> None:
    """Where they are replaced, and where they are refused."""
    decided(
        shop,
        payment("card", card_id=NUMBERS["card"]),
        payment("grouped", card_id=NUMBERS["grouped card"]),
        payment("dashed", card_id=NUMBERS["dashed card"]),
        payment("merchant", merchant_id=NUMBERS["merchant"]),
        payment("name", merchant_id=f"Shop {NUMBERS['merchant name']} of Lyon"),
        payment("device", device_id=NUMBERS["device"]),
        payment("category", category=f"misc {NUMBERS['category']}"),
    )
    for refused in (
        payment("malformed", currency=f"EUR {NUMBERS['malformed']}"),
        payment("refused", amount_minor=NUMBERS["refused"]),
        {"transaction_id": NUMBERS["dead letter"], "card_id": NUMBERS["dead letter"]},
    ):
        answered = shop.post("/v1/decisions", content=msgspec.json.encode(refused))
        assert answered.status_code == 422, answered.text
    broken = '{"card_id": "' + NUMBERS["unreadable"] + '", "x": '
    for body in (broken, f"[{broken}", f"[1, {broken}"):
        assert shop.post("/v1/decisions", content=body).status_code == 422


def plant_labels(shop: httpx2.Client, admin: httpx2.Client) -> None:
    number = NUMBERS["label"]
    for label in (
        {"transaction_id": number, "is_fraud": True},
        {"transaction_id": "card", "is_fraud": True, "fraud_type": f"of {number}"},
        {"transaction_id": "card", "is_fraud": True, "label_id": f"l {number}"},
    ):
        assert admin.post("/v1/labels", json=label).status_code == 202
    assert admin.post("/v1/labels", json={"is_fraud": number}).status_code == 422
    program = {"transaction_id": "card", "is_fraud": True, "source": number}
    assert shop.post("/v1/labels", json=program).status_code == 422
    of_csv = NUMBERS["label in CSV"]
    head = "transaction_id,is_fraud,fraud_type,source,label_id\n"
    csv = {"content-type": "text/csv"}
    for line, status in (
        (f"{of_csv},true,of {of_csv},analyst,l {of_csv}\n", 202),
        (f"card,{of_csv},,,\n", 422),
        (f"card,true,,{of_csv},\n", 422),
    ):
        answered = admin.post("/v1/labels/csv", content=head + line, headers=csv)
        assert (line, answered.status_code) == (line, status)
    wrong = admin.post("/v1/labels/csv", content=f"{of_csv},is_fraud\n1,true\n", headers=csv)
    assert wrong.status_code == 422


def plant_in_the_office(admin: httpx2.Client) -> None:
    decided(admin, *burst("c-cased"))
    until(lambda: bool(admin.get("/v1/cases").json()["items"]))
    case = admin.get("/v1/cases").json()["items"][0]["case_id"]
    noted = admin.post(f"/v1/cases/{case}/notes", json={"text": f"paid with {NUMBERS['note']}"})
    assert noted.status_code == 200
    closing = {"finding": "undetermined", "note": f"was {NUMBERS['closing note']}"}
    assert admin.post(f"/v1/cases/{case}/close", json=closing).status_code == 200
    for number in (NUMBERS["list"], NUMBERS["grouped list"]):
        for column in ("card_id", "merchant_id"):
            change = {"name": "block", "column": column, "value": number}
            assert proposed(admin, "list", change, f"for {NUMBERS['why']}").status_code == 201
    rules = admin.get("/v1/rules").json()["rules_text"]
    for when in (f"card_id = '{NUMBERS['rule']}'", f"card_id == '{NUMBERS['rule']}"):
        text = rules + rule(when)
        proposed(admin, "rules", {"text": text}, "x")
        admin.post("/v1/rules/validate", json={"text": text})
    proposed(admin, "promotion", {"model": NUMBERS["rule"]}, "x")
    key = {"role": "ingest", "note": f"of {NUMBERS['note of a key']}"}
    assert admin.post("/v1/keys", json=key).status_code == 201


def rule(when: str) -> str:
    return (
        f'\n[[rule]]\nid = "planted"\nname = "Planted"\nwhen = """{when}"""\naction = "REVIEW"\n'
        'reason_code = "planted"\npriority = 10\nstatus = "live"\n'
    )


def proposed(client: httpx2.Client, kind: str, change: dict[str, Any], why: str) -> httpx2.Response:
    return client.post("/v1/proposals", json={"kind": kind, "change": change, "why": why})


def plant_in_questions(admin: httpx2.Client) -> None:
    """Who asks for a number is answered, though not with it."""
    query, path, search = NUMBERS["query"], NUMBERS["path"], NUMBERS["search"]
    for asked in (
        f"/v1/decisions?entity_kind=card&entity_id={query}", f"/v1/decisions?cursor={query}",
        f"/v1/decisions?text={search}", f"/v1/decisions.csv?text={search}",
        f"/v1/alerts?text={search}", f"/v1/decisions?limit={query}",
    ):  # fmt: skip
        assert admin.get(asked).status_code in (200, 422)
    for asked in (
        f"/predict?user_id={query}", f"/explain?user_id={query}", f"/v1/entities/card/{path}",
        f"/v1/decisions/{path}", f"/v1/decisions/{path}/explanation", f"/v1/cases/{path}",
        f"/v1/nothing/{path}",
    ):  # fmt: skip
        assert admin.get(asked).status_code == 404
    assert admin.post(f"/v1/proposals/{path}/decide", json={"is_approved": True}).status_code in (
        404, 409, 422,
    )  # fmt: skip
    login = {"name": f"u {path}", "password": f"pw {path}"}
    assert admin.post("/v1/session", json=login).status_code == 401


def read_everything(admin: httpx2.Client) -> None:
    """Every answer is kept by the caller."""
    token = stored(admin, "/v1/decisions/card")["line"]["card_id"]
    assert token.startswith("k1_")
    for path in (
        "/v1/decisions", "/v1/decisions.csv", "/v1/alerts", "/v1/cases", "/v1/proposals",
        "/v1/audit", "/v1/keys", "/v1/users", "/v1/rules", "/v1/models", "/v1/statistics",
        "/v1/live", "/v1/system", "/v1/dead-letters", "/metrics", "/readyz",
        "/v1/decisions/card/labels", f"/v1/entities/card/{token}", "/v1/decisions/name",
        "/v1/decisions/category", "/v1/decisions/merchant/explanation",
        f"/v1/cases/{admin.get('/v1/cases').json()['items'][0]['case_id']}",
    ):  # fmt: skip
        assert admin.get(path).status_code in (200, 503), path
    assert json.loads(admin.get("/v1/decisions/card").text)["labels"]
