"""Rules, lists and models: proposed by one, approved by another."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, Field

from alcyon.api.access import Analyst, Learner, TheDesk, Viewer
from alcyon.api.proposing import check_again, checked
from alcyon.domain.office.proposals import Proposal, ProposalKind

router = APIRouter(prefix="/v1", tags=["rules, lists, models"])
_WANTED: dict[str, Any] = {
    "list": {
        "summary": "Put a card on the block list until a day",
        "value": {
            "kind": "list",
            "change": {
                "name": "block", "column": "card_id", "value": "k1_9f3a77c01b",
                "expires_at": 1798761600000, "is_removal": False,
            },
            "why": "three chargebacks in a week",
        },
    },
    "rules": {
        "summary": "Change the rules: all of them, as rules_text of GET /v1/rules has them",
        "value": {"kind": "rules", "change": {"text": "[[rule]]\n…"}, "why": "too many reviews"},
    },
    "challenger": {
        "summary": "Let a model of the registry score beside the champion",
        "value": {"kind": "challenger", "change": {"model": "blend-0008"}, "why": "newer"},
    },
    "promotion": {
        "summary": "Let a model decide",
        "value": {"kind": "promotion", "change": {"model": "blend-0008"}, "why": "ranks better"},
    },
    "roll_back": {
        "summary": "Let the champion before decide again",
        "value": {"kind": "roll_back", "change": {}, "why": "it declines too many"},
    },
}  # fmt: skip
DAY_MS = 86_400_000
RULES_BYTES_MAX = 500_000


class RulesText(BaseModel):
    """All rules, as TOML."""

    text: Annotated[str, Field(max_length=RULES_BYTES_MAX)]


class Backtest(RulesText):
    """A rule of these, over stored decisions."""

    rule_id: Annotated[str, Field(max_length=64)]
    days: Annotated[int, Field(ge=1, le=90)] = 7


class Moved(BaseModel):
    """An alias that the learner moves to a model of the registry."""

    alias: Literal["champion", "challenger"]
    model: Annotated[str, Field(min_length=1, max_length=200)]


class Wanted(BaseModel):
    """A change that somebody wants."""

    kind: ProposalKind
    change: dict[str, Any]
    why: Annotated[str, Field(min_length=1, max_length=2000)]


class Judgement(BaseModel):
    """Approve or reject."""

    is_approved: bool


class Judged(BaseModel):
    """What became of it."""

    proposal: Proposal
    outcome: dict[str, Any] | None


@router.get("/rules")
def rules(desk: TheDesk, _: Viewer, days: Annotated[int, Query(ge=1, le=90)] = 7) -> dict[str, Any]:
    """What is in force, with each rule's hits, precision so far and money, of these days."""
    since = round(time.time() * 1000) - days * DAY_MS
    return desk.controlling.in_force() | {"counts": desk.searcher.rule_counts(since)}


@router.post("/rules/validate")
def validate(body: RulesText, desk: TheDesk, _: Analyst) -> list[dict[str, Any]]:
    """What is wrong with these rules; empty: nothing."""
    return desk.controlling.validate(body.text)


@router.post("/rules/backtest")
def backtest(body: Backtest, desk: TheDesk, _: Analyst) -> dict[str, Any]:
    """What a rule would have hit in the stored decisions."""
    return desk.controlling.backtest(body.text, body.rule_id, body.days)


@router.get("/models")
def models(desk: TheDesk, _: Viewer) -> dict[str, Any]:
    """Champion and challenger, all models, moves, their comparison, drift."""
    return desk.controlling.models()


@router.post("/models/moves", status_code=204)
def moved(body: Moved, desk: TheDesk, _: Learner) -> None:
    """Let the worker know of a move that `alcyon learn` began in the registry.

    A champion comes by a standing approval, or by a roll-back, only: 409 where neither is there.
    """
    desk.controlling.learnt(body.alias, body.model)


@router.get("/proposals")
def proposals(
    desk: TheDesk, _: Viewer, status: Annotated[str | None, Query(max_length=20)] = None
) -> list[Proposal]:
    """Changes that were proposed, the newest first."""
    return desk.office.proposals(status)


@router.post("/proposals", status_code=201)
def propose(
    body: Annotated[Wanted, Body(openapi_examples=_WANTED)], desk: TheDesk, caller: Analyst
) -> Proposal:
    """Propose a change; it is checked now, and again when it is approved."""
    change, version, diff = checked(desk.controlling, body.kind, body.change)
    evidence = desk.controlling.evidence(body.kind, change)
    return desk.office.propose(
        caller, body.kind, change, body.why, base_version=version, diff=diff,
        evidence=evidence,
    )  # fmt: skip


@router.post("/proposals/{proposal_id}/decide")
def judge(proposal_id: str, body: Judgement, desk: TheDesk, caller: Analyst) -> Judged:
    """A lead approves what somebody else proposed, and it takes effect at once, or rejects it.

    Who proposed it withdraws it by `is_approved: false`, and cannot approve it.
    """
    if not body.is_approved:
        return Judged(proposal=desk.office.reject(caller, proposal_id), outcome=None)

    def apply(wanted: Proposal) -> dict[str, Any]:
        check_again(desk.controlling, wanted)
        return desk.controlling.apply(wanted.kind, wanted.change, caller, wanted.why)

    proposal, outcome = desk.office.approve(caller, proposal_id, apply)
    return Judged(proposal=proposal, outcome=outcome)
