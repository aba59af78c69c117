"""Docs: Swagger UI over our own OpenAPI, from files that come with a package: no other server."""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI, Response
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Alcyon API</title>
<link rel="icon" href="/docs/files/favicon.png">
<link rel="stylesheet" href="/docs/files/swagger-ui.css">
<div id="swagger-ui"></div>
<script src="/docs/files/swagger-ui-bundle.js"></script>
<script src="/docs/open.js"></script>
</html>
"""
_OPEN = """SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout",
});
"""


def add_docs(app: FastAPI) -> None:
    """The page is at /docs; its script is a file, for the policy allows none in the page."""
    app.mount("/docs/files", StaticFiles(directory=str(files("fastapi_offline") / "static")))

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(_PAGE)

    @app.get("/docs/open.js", include_in_schema=False)
    def opened() -> Response:
        return Response(_OPEN, media_type="text/javascript")
