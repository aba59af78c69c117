"""Alerts, cases and labels: the analyst's work."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, HTTPException, Request
from pydantic import BaseModel, Field, ValidationError

from alcyon.api.access import Analyst, Labeller, TheDesk, Viewer
from alcyon.api.decisions import Cursor, Limit, filter_of
from alcyon.domain.errors import InputError
from alcyon.domain.office.cases import (
    CaseLine,
    CasePage,
    CaseShown,
    CaseStatus,
    Finding,
    Resolution,
)
from alcyon.domain.office.searching import AlertPage, Filter

router = APIRouter(prefix="/v1", tags=["alerts and cases"])
Text = Annotated[str, Field(max_length=2000)]
_LABEL: dict[str, Any] = {
    "transaction_id": "t-1001", "is_fraud": True, "source": "chargeback", "label_id": "cb-5",
}  # fmt: skip
_LABELS: dict[str, Any] = {
    "one": {"value": _LABEL},
    "several": {"value": [_LABEL, _LABEL | {"transaction_id": "t-1002", "label_id": "cb-6"}]},
}
_CLOSING: dict[str, Any] = {
    "fraud": {"value": {"finding": "fraud", "resolution": "cancel", "note": "rang the holder"}},
    "genuine": {"value": {"finding": "genuine", "resolution": "release"}},
}
_CSV: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": "transaction_id,is_fraud,source\nt-1001,true,chargeback\n",
            }
        },
    }
}


class Note(BaseModel):
    """What somebody noted."""

    text: Annotated[str, Field(min_length=1, max_length=2000)]


class Closing(BaseModel):
    """How a case ends."""

    finding: Finding
    resolution: Resolution | None = None
    """Of its reviews: released, or cancelled."""
    note: Text = ""


class NewLabel(BaseModel):
    """Ground truth on a transaction."""

    transaction_id: Annotated[str, Field(min_length=1, max_length=200)]
    is_fraud: bool
    fraud_type: Annotated[str | None, Field(max_length=64)] = None
    loss_minor: Annotated[int | None, Field(ge=0)] = None
    source: Literal["chargeback", "issuer", "analyst", "rule"] = "analyst"
    label_id: Annotated[str | None, Field(max_length=200)] = None
    """Made where there is none; a repeat of one changes nothing."""
    labelled_at: int | None = None


class Accepted(BaseModel):
    """How many were written to the log."""

    accepted: int


@router.get("/alerts")
def alerts(
    desk: TheDesk,
    _: Viewer,
    found_by: Annotated[Filter, Depends(filter_of)],
    status: Literal["open", "claimed", "closed"] | None = "open",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> AlertPage:
    """The queue, ordered by expected loss."""
    return desk.searcher.alerts(found_by, status, cursor, limit)


@router.get("/cases")
def cases(
    desk: TheDesk,
    _: Viewer,
    status: CaseStatus | None = None,
    claimed_by: str | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> CasePage:
    """Cases by expected loss; one open case per card groups its alerts."""
    return desk.office.cases(status, claimed_by, cursor, limit)


@router.get("/cases/{case_id}")
def case(case_id: str, desk: TheDesk, _: Viewer) -> CaseShown:
    """A case with its alerts and its history."""
    found = desk.office.case(case_id)
    if found is None:
        raise HTTPException(404, f"no case {case_id[:100]}")
    return found


@router.post("/cases/{case_id}/claim")
def claim(case_id: str, desk: TheDesk, caller: Analyst) -> CaseLine:
    """Take it; others cannot until it is released."""
    return desk.office.claim(caller, case_id)


@router.post("/cases/{case_id}/release")
def release(case_id: str, desk: TheDesk, caller: Analyst) -> CaseLine:
    """Give it back to the queue."""
    return desk.office.release(caller, case_id)


@router.post("/cases/{case_id}/notes")
def note(case_id: str, body: Note, desk: TheDesk, caller: Analyst) -> CaseLine:
    """Note something."""
    return desk.office.note(caller, case_id, body.text)


@router.post("/cases/{case_id}/close")
def close(
    case_id: str,
    body: Annotated[Closing, Body(openapi_examples=_CLOSING)],
    desk: TheDesk,
    caller: Analyst,
) -> CaseLine:
    """End it with a finding, which writes labels and resolutions."""
    return desk.office.close_case(caller, case_id, body.finding, body.resolution, body.note)


@router.post("/labels", status_code=202)
def label(
    body: Annotated[NewLabel | list[NewLabel], Body(openapi_examples=_LABELS)],
    desk: TheDesk,
    caller: Labeller,
) -> Accepted:
    """Write labels to the log. Analysts may say `analyst` only; the other sources are programs'."""
    given = body if isinstance(body, list) else [body]
    return Accepted(accepted=desk.controlling.label([g.model_dump() for g in given], caller))


@router.post("/labels/csv", status_code=202, openapi_extra=_CSV)
async def label_csv(request: Request, desk: TheDesk, caller: Labeller) -> Accepted:
    """Write labels from CSV with the columns of a label; all of them or none."""
    from starlette.concurrency import run_in_threadpool

    from alcyon.api.csv_labels import read_labels

    rows = [_checked(n, row) for n, row in enumerate(read_labels(await request.body()), 2)]
    return Accepted(accepted=await run_in_threadpool(desk.controlling.label, rows, caller))


def _checked(line: int, row: dict[str, object]) -> dict[str, Any]:
    try:
        return NewLabel.model_validate(row).model_dump()
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        column = ".".join(str(part) for part in first["loc"])
        raise InputError(f"line {line}: {column}: {first['msg']}") from error
