"""Problems: errors as RFC 9457 problem+json, one line each with a remedy."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException

from alcyon.domain.errors import (
    AccessError,
    AlcyonError,
    ConflictError,
    InputError,
    ModelError,
    UnreachableError,
)
from alcyon.domain.tokens import mask

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str


REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "A problem, which says what to do",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}
"""What every route may answer beside what it is for, as OpenAPI."""


def describe_problems(app: FastAPI) -> None:
    """Let the app's description say what a problem is."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        described = describe()
        described["components"]["schemas"]["Problem"] = Problem.model_json_schema()
        return described

    app.openapi = openapi  # type: ignore[method-assign]


_STATUS: tuple[tuple[type[AlcyonError], int, str], ...] = (
    (InputError, 422, "invalid-input"),
    (AccessError, 403, "forbidden"),
    (ConflictError, 409, "conflict"),
    (ModelError, 409, "model-refused"),
    (UnreachableError, 503, "unavailable"),
    (AlcyonError, 500, "internal"),
)
TITLES = {
    400: "Bad request", 401: "Not signed in", 403: "Not allowed", 404: "Not found",
    405: "Method not allowed", 409: "Conflict", 413: "Too large", 422: "Cannot be used as it is",
    429: "Too many requests", 500: "Something failed here", 501: "Not there yet",
    503: "Not available now",
}  # fmt: skip


def problem(
    status: int, kind: str, detail: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """An error as the API answers it."""
    body: dict[str, Any] = {
        "type": f"https://alcyon.dev/problems/{kind}",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": mask(detail),  # it may quote what was asked
    }
    return JSONResponse(body, status, headers, MEDIA_TYPE)


def add_problems(app: FastAPI) -> None:
    """Let every error of the app be told so."""

    @app.exception_handler(AlcyonError)
    async def _ours(_: Request, error: AlcyonError) -> JSONResponse:
        return of_error(error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return problem(422, "invalid-input", f"{place}: {first['msg']}")

    @app.exception_handler(StarletteHTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        return of_error(error)


_KINDS = {
    401: "not-signed-in", 403: "forbidden", 404: "not-found", 413: "too-large", 429: "rate-limited",
}  # fmt: skip


def of_error(error: AlcyonError | StarletteHTTPException) -> JSONResponse:
    """An error of ours as it is answered."""
    if isinstance(error, AlcyonError):
        status, kind = next((s, k) for of, s, k in _STATUS if isinstance(error, of))
        return problem(status, kind, str(error))
    headers = dict(error.headers) if error.headers else None
    kind = _KINDS.get(error.status_code, "http")
    return problem(error.status_code, kind, str(error.detail), headers)
