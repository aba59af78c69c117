"""Decisions: asked for, looked up, searched, explained."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse

from alcyon.api.access import Analyst, Ingest, TheDesk, Viewer
from alcyon.api.csv_export import ROWS_MAX, decisions_csv
from alcyon.domain.office.asking import Answer
from alcyon.domain.office.explanation import Explanation
from alcyon.domain.office.ports import Asking
from alcyon.domain.office.searching import DecisionShown, EntityKind, Filter, LabelShown, Page

router = APIRouter(prefix="/v1", tags=["decisions"])
T = TypeVar("T")
BATCH_MAX = 1000
_batch = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.Encoder().encode
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=200)]
_EXAMPLE = {
    "transaction_id": "t-1001",
    "event_time": "2026-01-05T10:00:00Z",
    "amount_minor": 9400,
    "currency": "EUR",
    "card_id": "k1_9f…",
    "merchant_id": "m-17",
    "country": "FR",
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        {"type": "object", "title": "Transaction", "additionalProperties": True},
                        {"type": "array", "items": {"type": "object"}, "maxItems": BATCH_MAX},
                    ]
                },
                "examples": {
                    "one": {"value": _EXAMPLE},
                    "batch": {"value": [_EXAMPLE]},
                },
            }
        },
    }
}


def filter_of(
    entity_kind: EntityKind | None = None,
    entity_id: Annotated[str | None, Query(max_length=200)] = None,
    first_ms: int | None = None,
    last_ms: int | None = None,
    action: Annotated[list[str] | None, Query()] = None,
    score_min: Annotated[int | None, Query(ge=0, le=1000)] = None,
    score_max: Annotated[int | None, Query(ge=0, le=1000)] = None,
    reason: Annotated[str | None, Query(max_length=64)] = None,
    rule: Annotated[str | None, Query(max_length=64)] = None,
    country: Annotated[str | None, Query(max_length=8)] = None,
    text: Annotated[str | None, Query(max_length=200)] = None,
) -> Filter:
    """The query's filter."""
    return Filter(
        entity_kind, entity_id, first_ms, last_ms, tuple(action or ()), score_min, score_max,
        reason, rule, country, text,
    )  # fmt: skip


@router.post("/decisions", response_model=Answer | list[Answer], openapi_extra=_BODY)
async def decide(request: Request, desk: TheDesk, _: Ingest) -> Response:
    """Decide on one transaction, or on a batch of up to 1,000.

    Waits for the decision in the log; past `decision_timeout_ms` the answer is provisional.
    Idempotent by `transaction_id`.
    """
    body = await decided(desk.asking, await request.body())
    return Response(body, media_type="application/json")


async def decided(asking: Asking, body: bytes) -> bytes:
    """The answer to a body, as JSON. Raises as `Asking.ask`, and HTTPException."""
    if body.lstrip()[:1] != b"[":
        return _encode((await asking.ask([body]))[0])
    try:
        payloads = [bytes(one) for one in _batch.decode(body)]
    except msgspec.DecodeError as error:
        raise HTTPException(422, f"the batch is no JSON array: {error}") from error
    if len(payloads) > BATCH_MAX:
        raise HTTPException(413, f"{len(payloads)} transactions: send at most {BATCH_MAX} at once")
    return _encode(await asking.ask(payloads) if payloads else [])


@router.get("/decisions")
def search(
    desk: TheDesk,
    _: Viewer,
    found_by: Annotated[Filter, Depends(filter_of)],
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page:
    """Decisions by entity, time, action, score, reason and rule, the newest first."""
    return desk.searcher.search(found_by, cursor, limit)


@router.get(
    "/decisions.csv",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def search_csv(
    desk: TheDesk,
    _: Viewer,
    found_by: Annotated[Filter, Depends(filter_of)],
    limit: Annotated[int, Query(ge=1, le=ROWS_MAX)] = ROWS_MAX,
) -> StreamingResponse:
    """The same as CSV, at most 50,000; no cell can be taken for a formula."""
    return StreamingResponse(
        decisions_csv(desk.searcher, found_by, limit),
        media_type="text/csv",
        headers={"Content-Disposition": 'attachment; filename="decisions.csv"'},
    )


# An id may have a slash: what has more behind it is looked for first.
@router.get("/decisions/{transaction_id:path}/explanation")
def explanation(
    transaction_id: str, desk: TheDesk, _: Analyst, counterfactual: bool = False
) -> Explanation:
    """Why: contributions, rules, what is usual, and the smallest change that would have passed.

    `counterfactual=true` decides again on the state of that time, which may take seconds.
    """
    found = desk.explaining.explain(transaction_id, with_counterfactual=counterfactual)
    return _found(found, transaction_id)


@router.get("/decisions/{transaction_id:path}/labels")
def labels(transaction_id: str, desk: TheDesk, _: Viewer) -> list[LabelShown]:
    """All labels of a transaction, the newest first."""
    return desk.searcher.labels(transaction_id)


@router.get("/decisions/{transaction_id:path}")
def decision(transaction_id: str, desk: TheDesk, _: Viewer) -> DecisionShown:
    """One decision with all that is recorded of it."""
    found = _found(desk.searcher.decision(transaction_id), transaction_id)
    return replace(found, answered=found.answered or desk.answered(transaction_id))


def _found(found: T | None, transaction_id: str) -> T:
    if found is None:
        raise HTTPException(404, f"no decision on transaction {transaction_id[:100]}")
    return found
