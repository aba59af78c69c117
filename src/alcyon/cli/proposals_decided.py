"""`alcyon proposals list`, `approve` and `reject`"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from alcyon.cli.keys_kept import day
from alcyon.cli.options import Json
from alcyon.cli.talk import show_json, show_table, tell
from alcyon.cli.users_kept import asked_password
from alcyon.domain.errors import AccessError, ConflictError, InputError, UnreachableError

if TYPE_CHECKING:
    import httpx2

URL = "http://127.0.0.1:8080"
TIMEOUT_S = 30.0
User = Annotated[str, Parameter(help="Who signs in; the password is asked for, or read on stdin.")]
Url = Annotated[str, Parameter(help="Where alcyon serve listens.")]
_ERRORS = {401: AccessError, 403: AccessError, 409: ConflictError, 422: InputError}


def list_proposals(
    *, user: User, url: Url = URL, status: str | None = "open", as_json: Json = False
) -> None:
    """List proposals, the newest first.

    An example:
        alcyon proposals list --user ada

    Parameters
    ----------
    status
        open, approved, rejected or withdrawn.
    as_json
        Print them as JSON.
    """
    with _signed_in(url, user) as client:
        found = _asked(client, "GET", f"/v1/proposals?status={status}")
    if as_json:
        show_json(found)
    elif found:
        header = ["proposal", "kind", "by", "on", "status", "why"]
        show_table(None, header, [_row(each) for each in found], figures=False)
    tell(f"{len(found)} proposals")


def approve(proposal_id: str, /, *, user: User, url: Url = URL, as_json: Json = False) -> None:
    """Approve what another one proposed: it takes effect at once.

    An example:
        alcyon proposals approve 5f0c2a9e41d7b368 --user ada

    Parameters
    ----------
    proposal_id
        As alcyon proposals list shows it.
    as_json
        Print what became of it as JSON.
    """
    _decide(proposal_id, (url, user), as_json, is_approved=True)


def reject(proposal_id: str, /, *, user: User, url: Url = URL, as_json: Json = False) -> None:
    """Reject a proposal, or withdraw one's own.

    An example:
        alcyon proposals reject 5f0c2a9e41d7b368 --user ada

    Parameters
    ----------
    proposal_id
        As alcyon proposals list shows it.
    as_json
        Print what became of it as JSON.
    """
    _decide(proposal_id, (url, user), as_json, is_approved=False)


def _decide(proposal_id: str, at: tuple[str, str], as_json: bool, *, is_approved: bool) -> None:
    if not proposal_id.isalnum():
        raise InputError("that is no proposal: alcyon proposals list names them")
    with _signed_in(*at) as client:
        body = {"is_approved": is_approved}
        judged = _asked(client, "POST", f"/v1/proposals/{proposal_id}/decide", body)
    if as_json:
        show_json(judged)
    tell(f"proposal {proposal_id} is {judged['proposal']['status']}")


@contextmanager
def _signed_in(url: str, user: str) -> Iterator[httpx2.Client]:
    """A session of its own, ended with the command."""
    import httpx2

    password = asked_password(f"password of {user}: ")
    with httpx2.Client(base_url=url, timeout=TIMEOUT_S) as client:
        _asked(client, "POST", "/v1/session", {"name": user, "password": password})
        try:
            yield client
        finally:
            client.delete("/v1/session")


def _asked(client: httpx2.Client, method: str, path: str, body: Any = None) -> Any:
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


def _row(proposal: dict[str, Any]) -> list[str]:
    names = ("proposal_id", "kind", "by")
    named = [str(proposal[name]) for name in names]
    return [*named, day(proposal["at"]), str(proposal["status"]), str(proposal["why"])]
