"""`alcyon proposals list`, `approve` and `reject`"""

from __future__ import annotations

from typing import Any, Literal

from alcyon.cli.opening.signing_in import URL, Url, User, asked, signed_in
from alcyon.cli.showing.options import Json
from alcyon.cli.showing.talk import show_json, show_table, tell
from alcyon.cli.subcommands.keys_kept import day
from alcyon.domain.errors import InputError

Status = Literal["open", "approved", "rejected", "withdrawn"]
"""Those about to take effect are among the open ones."""


def list_proposals(
    *, user: User, url: Url = URL, status: Status = "open", as_json: Json = False
) -> None:
    """List proposals, the newest first.

    An example:
        alcyon proposals list --user ada

    Parameters
    ----------
    as_json
        Print them as JSON.
    """
    with signed_in(url, user) as client:
        found = asked(client, "GET", f"/v1/proposals?status={status}")
    if as_json:
        show_json(found)
    elif found:
        header = ["proposal", "kind", "by", "on", "status", "why"]
        show_table(None, header, [_row(each) for each in found], figures=False)
    tell(f"{len(found)} proposals")


def approve(proposal_id: str, /, *, user: User, url: Url = URL, as_json: Json = False) -> None:
    """Approve what another one proposed: it takes effect at once, or stays open.

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
    with signed_in(*at) as client:
        body = {"is_approved": is_approved}
        judged = asked(client, "POST", f"/v1/proposals/{proposal_id}/decide", body)
    if as_json:
        show_json(judged)
    tell(f"proposal {proposal_id} is {judged['proposal']['status']}")


def _row(proposal: dict[str, Any]) -> list[str]:
    names = ("proposal_id", "kind", "by")
    named = [str(proposal[name]) for name in names]
    return [*named, day(proposal["at"]), str(proposal["status"]), str(proposal["why"])]
