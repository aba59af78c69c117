"""Guarding: what every request passes: bounds of size and rate, headers, and being counted.

One ASGI layer, for asking for a decision is to cost little.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alcyon.api.access import COOKIE, KEY_HEADER
from alcyon.api.callers import Callers
from alcyon.api.problems import problem
from alcyon.telemetry.api import ApiMetrics
from alcyon.telemetry.words import UNMATCHED

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""Nothing but our own files and our own server, its WebSockets included."""
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
_NOT_KEPT = [*_HEADERS, (b"cache-control", b"no-store")]
_KEY = KEY_HEADER.lower().encode()
BUCKETS_MAX = 10_000


@dataclass(frozen=True)
class Limits:
    """Bounds on callers. A burst is of two seconds."""

    body_bytes_max: int = 2**20
    requests_per_s: float = 10_000.0
    """Of one key or person."""
    strangers_per_s: float = 100.0
    """Of one address without either."""


USUAL = Limits()


class Buckets:
    """Token buckets by caller: each holds `BURST_S` of what it is filled with."""

    BURST_S = 2.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, name: str, per_s: float) -> float:
        """0, or in how many seconds the next one may come."""
        now, full = self._clock(), max(1.0, per_s * self.BURST_S)
        tokens, at = self._buckets.get(name, (full, now))
        tokens = min(full, tokens + (now - at) * per_s)
        if len(self._buckets) >= BUCKETS_MAX and name not in self._buckets:
            self._buckets.pop(next(iter(self._buckets)))
        is_there = tokens >= 1
        self._buckets[name] = (tokens - is_there, now)
        return 0.0 if is_there else (1 - tokens) / per_s


class Guarding:
    """Around the app."""

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        callers: Callers,
        metrics: ApiMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._limits, self._callers, self._metrics = app, limits, callers, metrics
        self._buckets = Buckets(clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or one WebSocket."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket" and self._wait_s(scope, _headers(scope)) > 0:
            self._metrics.rate_limited.inc()
            await send({"type": "websocket.close", "code": 1013, "reason": "too many"})
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status = time.perf_counter(), 500
        added = _NOT_KEPT if scope["path"].startswith("/v1/") else _HEADERS

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        try:
            await self._allowed(scope, receive, sent)
        finally:
            taken_s = time.perf_counter() - started
            self._metrics.requests.add(_route(scope), scope["method"], status, taken_s)

    async def _allowed(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, most = _headers(scope), self._limits.body_bytes_max
        if (wait_s := self._wait_s(scope, headers)) > 0:
            self._metrics.rate_limited.inc()
            after = {"Retry-After": str(math.ceil(wait_s))}
            refused = problem(429, "rate-limited", f"ask again in {wait_s:.1f} s", after)
            await refused(scope, receive, send)
            return
        length = headers.get(b"content-length")
        if length is None and scope["method"] not in ("GET", "HEAD"):
            receive = self._bounded(receive)
        elif length is not None and (not length.isdigit() or int(length) > most):
            self._metrics.oversized.inc()
            refused = problem(413, "too-large", _too_large(most), {"Connection": "close"})
            await refused(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _bounded(self, receive: Receive) -> Receive:
        """Of a body whose length nobody said."""
        left = self._limits.body_bytes_max

        async def bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                self._metrics.oversized.inc()
                raise HTTPException(413, _too_large(self._limits.body_bytes_max))
            return message

        return bounded

    def _wait_s(self, scope: Scope, headers: dict[bytes, bytes]) -> float:
        """A caller who is known has a bucket of his own; who is not, shares that of his address."""
        limits, key = self._limits, headers.get(_KEY)
        session = None if key is not None else _session(headers)
        named = None if key is None else key.decode("latin-1")
        caller = self._callers.known(named, session)
        if caller is not None:
            return self._buckets.take(caller.name, limits.requests_per_s)
        client = scope.get("client")
        return self._buckets.take(f"@{client[0] if client else ''}", limits.strangers_per_s)


def _headers(scope: Scope) -> dict[bytes, bytes]:
    return dict(scope["headers"])


def _session(headers: dict[bytes, bytes]) -> str | None:
    cookies = headers.get(b"cookie")
    if cookies is None:
        return None
    try:
        found: Any = SimpleCookie(cookies.decode("latin-1")).get(COOKIE)
    except CookieError:
        return None
    return None if found is None else str(found.value)


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path_format", UNMATCHED))


def _too_large(most: int) -> str:
    return f"a body has at most {most} bytes: send less at once"
