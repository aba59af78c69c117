"""The app: routes, errors, headers, and the console's files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from prometheus_client import generate_latest
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from alcyon.api import accounts, alerts, controls, decisions, entities, feeds
from alcyon.api.callers import Callers
from alcyon.api.deciding import Deciding
from alcyon.api.desk import Desk
from alcyon.api.docs import add_docs
from alcyon.api.guarding import USUAL, Guarding, Limits
from alcyon.api.problems import REFUSALS, add_problems, describe_problems

STATIC = Path(__file__).parent / "static"
"""The built console; not there in a checkout that has not built it."""


_TITLE: dict[str, Any] = {
    "title": "Alcyon",
    "version": version("alcyon"),
    "summary": "Decides, for every payment, approve, review or decline while the payment waits.",
}
PARTS = (decisions, alerts, entities, controls, accounts, feeds)


class App(FastAPI):
    """With a guard before all layers that FastAPI has itself: asking for a decision goes no further
    than that, and would pay as much again for them.

    guard: given the app behind it.
    """

    def __init__(self, guard: Callable[[ASGIApp], ASGIApp]) -> None:
        super().__init__(docs_url=None, redoc_url=None, **_TITLE)
        self._guarded = guard(super().__call__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or one WebSocket."""
        await self._guarded(scope, receive, send)


def create_app(desk: Desk, limits: Limits = USUAL) -> FastAPI:
    """The API and the console over this desk."""
    callers = Callers(desk.office)
    app = App(
        lambda inner: Guarding(
            Deciding(inner, desk.asking, callers), limits, callers, desk.telemetry.api
        )
    )
    app.state.desk = desk
    app.state.callers = callers
    add_problems(app)
    add_docs(app)
    _add_routes(app)

    _add_probes(app, desk)
    _add_console(app)
    desk.telemetry.api.requests.know(_routes(app))
    return app


def description() -> str:
    """The API as OpenAPI in JSON, always the same for the same routes; `docs/openapi.json`."""
    described = FastAPI(**_TITLE)
    _add_routes(described)
    return json.dumps(described.openapi(), indent=1, ensure_ascii=False) + "\n"


def _add_routes(app: FastAPI) -> None:
    for part in PARTS:
        app.include_router(part.router, responses=dict(REFUSALS))
    describe_problems(app)


def _add_probes(app: FastAPI, desk: Desk) -> None:
    """Answered while the threads of all other routes wait for a store: by asyncio's own."""

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "up"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
        state = await asyncio.to_thread(desk.system)
        return JSONResponse(
            {"ready": state.get("ready"), "reasons": state.get("reasons", [])},
            200 if state.get("ready") else 503,
        )

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        text = await asyncio.to_thread(generate_latest, desk.telemetry.registry)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """(path template, method) of all that is answered."""
    for route in [*app.routes, *(route for part in PARTS for route in part.router.routes)]:
        for method in getattr(route, "methods", None) or ():
            yield route.path_format, method


def _add_console(app: FastAPI) -> None:
    if not (STATIC / "index.html").is_file():
        return
    app.mount("/assets", StaticFiles(directory=STATIC / "assets"), name="assets")

    @app.get("/{path:path}", include_in_schema=False)
    def console(path: str, request: Request) -> Response:
        if path.startswith("v1/"):
            from alcyon.api.problems import problem

            return problem(404, "not-found", f"there is no {request.method} /{path[:200]}")
        return FileResponse(STATIC / "index.html")
