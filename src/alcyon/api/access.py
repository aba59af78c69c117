"""Access: who asks, and whether they may. Keys for programs, sessions for people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Cookie, Depends, Header, HTTPException, Request
from fastapi.security import APIKeyHeader

from alcyon.api.callers import Callers
from alcyon.api.desk import Desk
from alcyon.domain.office.access import Caller, Role

COOKIE = "alcyon_session"
KEY_HEADER = "X-API-Key"
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_key = APIKeyHeader(name=KEY_HEADER, auto_error=False, description="alcyon keys create --role …")


async def desk_of(request: Request) -> Desk:
    """What the app was made with."""
    desk: Desk = request.app.state.desk
    return desk


TheDesk = Annotated[Desk, Depends(desk_of)]


async def caller_of(
    request: Request,
    key: Annotated[str | None, Depends(_key)] = None,
    session: Annotated[str | None, Cookie(alias=COOKIE, include_in_schema=False)] = None,
    origin: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Caller:
    """Who asks; 401 where nobody is known by that key or session."""
    caller, callers = None, callers_of(request)
    if key is not None:
        caller = await callers.of_key(key)
    elif session is not None:
        if request.method not in _SAFE and not is_ours(request, origin):
            raise HTTPException(403, "this page's origin may not act for you: open our console")
        caller = await callers.of_session(session)
    if caller is None:
        raise HTTPException(
            401, f"give a valid key in {KEY_HEADER} (alcyon keys create), or sign in"
        )
    return caller


def callers_of(request: Any) -> Callers:
    """Who is known lately."""
    callers: Callers = request.app.state.callers
    return callers


def is_ours(request: Any, origin: str | None) -> bool:
    """Whether a browser's page may act with its user's session."""
    desk: Desk = request.app.state.desk
    own = f"{request.url.scheme.replace('ws', 'http')}://{request.url.netloc}"
    return origin is None or origin == own or origin in desk.origins


def needs(*roles: Role) -> Callable[[Caller], Awaitable[Caller]]:
    """A dependency: the caller, whose role is enough for one of these; 403 else."""

    async def allowed(caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
        if not any(caller.role.may(role) for role in roles):
            wanted = " or ".join(role.value for role in roles)
            raise HTTPException(403, f"this needs the role {wanted}, yours is {caller.role.value}")
        return caller

    return allowed


Ingest = Annotated[Caller, Depends(needs(Role.INGEST))]
Learner = Annotated[Caller, Depends(needs(Role.LEARNER))]
Viewer = Annotated[Caller, Depends(needs(Role.VIEWER))]
Analyst = Annotated[Caller, Depends(needs(Role.ANALYST))]
Labeller = Annotated[Caller, Depends(needs(Role.INGEST, Role.ANALYST))]
Lead = Annotated[Caller, Depends(needs(Role.LEAD))]
Admin = Annotated[Caller, Depends(needs(Role.ADMIN))]
