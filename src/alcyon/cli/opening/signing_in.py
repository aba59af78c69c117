"""Signing in to a running `alcyon serve`, for a command that asks it something."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from alcyon.domain.errors import (
    AccessError,
    AlcyonError,
    ConflictError,
    InputError,
    SettingsError,
    UnreachableError,
)

if TYPE_CHECKING:
    import httpx2

URL = "http://127.0.0.1:8080"
TIMEOUT_S = 30.0
User = Annotated[str, Parameter(help="Who signs in; the password is asked for, or read on stdin.")]
Url = Annotated[str, Parameter(help="Where alcyon serve listens.")]
_PASSWORD_BYTES_MAX = 4096
_ERRORS: dict[int, type[AlcyonError]] = {
    401: AccessError, 403: AccessError, 409: ConflictError, 422: InputError,
}  # fmt: skip


@contextmanager
def signed_in(url: str, user: str) -> Iterator[httpx2.Client]:
    """A session of its own, ended with the command. AccessError: name or password is wrong."""
    try:
        import httpx2
    except ImportError as error:
        raise SettingsError("that needs an extra: install alcyon[api]") from error

    password = typed_password(f"password of {user}: ")
    with httpx2.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as client:
        asked(client, "POST", "/v1/session", {"name": user, "password": password})
        try:
            yield client
        finally:
            client.delete("/v1/session")


def asked(client: httpx2.Client, method: str, path: str, body: Any = None) -> Any:
    """What it answers, as JSON. AccessError, ConflictError, InputError: what it says is wrong.
    UnreachableError: it does not answer."""
    import httpx2

    try:
        answer = client.request(method, path, json=body)
    except httpx2.HTTPError as error:
        raise UnreachableError(
            f"{client.base_url} does not answer: start alcyon serve, or give --url"
        ) from error
    try:
        said = answer.json()
    except ValueError:
        said = {}
    if answer.is_success:
        return said
    detail = said.get("detail") if isinstance(said, dict) else None
    failed = _ERRORS.get(answer.status_code, UnreachableError)
    raise failed(str(detail or f"{client.base_url} answers {answer.status_code}"))


def typed_password(prompt: str) -> str:
    """Typed without an echo, or the first line of stdin; never an argument, which others see.
    InputError: none was given."""
    if sys.stdin.isatty():
        return getpass.getpass(prompt)
    password = sys.stdin.readline(_PASSWORD_BYTES_MAX).rstrip("\r\n")
    if not password:
        raise InputError("give the password on stdin, or type it at a terminal")
    return password
