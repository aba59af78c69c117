"""Accounts: people sign in, administrators keep users and keys; the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Cookie, HTTPException, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from alcyon.api.access import COOKIE, Admin, Lead, TheDesk, caller_of, callers_of, is_ours
from alcyon.api.decisions import Cursor, Limit
from alcyon.domain.office.access import Caller, Key, Role, User
from alcyon.domain.office.proposals import AuditPage

router = APIRouter(prefix="/v1", tags=["access"])
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class SignIn(BaseModel):
    """Name and password."""

    name: Annotated[str, Field(max_length=64)]
    password: Annotated[str, Field(max_length=200)]


class NewUser(BaseModel):
    """An account to be."""

    name: Name
    password: Annotated[str, Field(min_length=12, max_length=200)]
    role: Role


class ChangedUser(BaseModel):
    """What is to change; null: nothing."""

    role: Role | None = None
    is_disabled: bool | None = None


class NewKey(BaseModel):
    """A key to be."""

    role: Role
    note: Annotated[str, Field(max_length=200)] = ""
    expires_at: int | None = None


class MadeKey(BaseModel):
    """The secret is shown this once."""

    secret: str
    key: Key


@router.post("/session")
def sign_in(body: SignIn, request: Request, response: Response, desk: TheDesk) -> Caller:
    """Sign in; the session is a cookie that scripts cannot read."""
    if not is_ours(request, request.headers.get("origin")):
        raise HTTPException(403, "this page's origin may not sign you in: open our console")
    address = request.client.host if request.client else ""
    secret = desk.office.log_in(body.name, body.password, address)
    caller = None if secret is None else desk.office.caller_of_session(secret)
    if secret is None or caller is None:
        desk.telemetry.api.refused_sign_ins.inc()
        raise HTTPException(401, "name or password is wrong, or there were too many tries")
    _set_cookie(request, response, secret)
    return caller


@router.get("/session")
async def session(request: Request, response: Response, desk: TheDesk) -> Caller:
    """Who is signed in; 401 else. In a demo the local analyst is signed in by this."""
    try:
        return await caller_of(
            request, request.headers.get("x-api-key"), request.cookies.get(COOKIE), None
        )
    except HTTPException:
        address = request.client.host if request.client else ""
        signs_in = desk.signs_in
        secret = None if signs_in is None else await run_in_threadpool(signs_in, address)
        caller = None if secret is None else await callers_of(request).of_session(secret)
        if secret is None or caller is None or not is_ours(request, request.headers.get("origin")):
            raise
        _set_cookie(request, response, secret)
        return caller


@router.delete("/session", status_code=204)
def sign_out(
    request: Request,
    response: Response,
    desk: TheDesk,
    session: Annotated[str | None, Cookie(alias=COOKIE, include_in_schema=False)] = None,
) -> None:
    """Sign out."""
    if not is_ours(request, request.headers.get("origin")):
        raise HTTPException(403, "this page's origin may not sign you out")
    if session is not None:
        desk.office.log_out(session)
        callers_of(request).forget()
    response.delete_cookie(COOKIE)


@router.get("/users")
def users(desk: TheDesk, _: Admin) -> list[User]:
    """All accounts."""
    return desk.office.users()


@router.post("/users", status_code=201)
def add_user(body: NewUser, desk: TheDesk, caller: Admin) -> User:
    """Make an account."""
    return desk.office.add_user(caller, body.name, body.password, body.role)


@router.patch("/users/{name}")
def change_user(
    name: str, body: ChangedUser, request: Request, desk: TheDesk, caller: Admin
) -> User:
    """Change an account's role, or disable it."""
    changed = desk.office.change_user(caller, name, role=body.role, is_disabled=body.is_disabled)
    callers_of(request).forget()
    return changed


@router.get("/keys")
def keys(desk: TheDesk, _: Admin) -> list[Key]:
    """All keys, without their secrets."""
    return desk.office.keys()


@router.post("/keys", status_code=201)
def create_key(body: NewKey, desk: TheDesk, caller: Admin) -> MadeKey:
    """Make a key for a program."""
    secret, key = desk.office.create_key(caller, body.role, body.note, body.expires_at)
    return MadeKey(secret=secret, key=key)


@router.delete("/keys/{key_id}", status_code=204)
def revoke_key(key_id: str, request: Request, desk: TheDesk, caller: Admin) -> None:
    """End a key at once."""
    desk.office.revoke_key(caller, key_id)
    callers_of(request).forget()


@router.get("/audit")
def audit(desk: TheDesk, _: Lead, cursor: Cursor = None, limit: Limit = 50) -> AuditPage:
    """Who changed what, the newest first; each entry is chained to the one before."""
    return desk.office.audit(cursor, limit)


def _set_cookie(request: Request, response: Response, secret: str) -> None:
    response.set_cookie(
        COOKIE, secret, httponly=True, samesite="strict", secure=request.url.scheme == "https",
        path="/",
    )  # fmt: skip
