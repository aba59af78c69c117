"""Making a proposal: what a command wants changed goes to a running `alcyon serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alcyon.cli.opening.signing_in import asked
from alcyon.cli.showing.talk import show_json, tell

if TYPE_CHECKING:
    import httpx2


def propose_by(
    client: httpx2.Client, kind: str, change: dict[str, Any], why: str, as_json: bool
) -> None:
    """Propose it as who is signed in. Errors as for `signing_in.asked`."""
    wanted = {"kind": kind, "change": change, "why": why}
    proposal = asked(client, "POST", "/v1/proposals", wanted)
    if as_json:
        show_json(proposal)
    tell(f"proposal {proposal['proposal_id']} waits for another person to approve it")
