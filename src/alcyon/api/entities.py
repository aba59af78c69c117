"""Entities, statistics, and the two questions of simpler services."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel

from alcyon.api.access import Analyst, TheDesk, Viewer
from alcyon.domain.office.explanation import Explanation
from alcyon.domain.office.searching import DecisionShown, EntityKind, EntityShown, Statistics

router = APIRouter(tags=["entities and statistics"])
DAY_MS = 86_400_000
UserId = Annotated[str, Query(min_length=1, max_length=200)]


class Predicted(BaseModel):
    """The latest decision of a customer or card."""

    user_id: str
    anomaly_score: float | None
    """The calibrated probability of fraud, 0 … 1; null where no model scored."""
    is_fraud: bool
    """Whether it was not approved."""


@router.get("/v1/entities/{kind}/{entity_id:path}")  # an id may have a slash
def entity(kind: EntityKind, entity_id: str, desk: TheDesk, _: Viewer) -> EntityShown:
    """How risky now, what is usual, what it did, and with whom."""
    found = desk.searcher.entity(kind, entity_id)
    if found is None:
        raise HTTPException(404, f"the {kind} {entity_id[:100]} was never seen")
    return found


@router.get("/v1/statistics")
def statistics(
    desk: TheDesk, _: Viewer, first_ms: int | None = None, last_ms: int | None = None
) -> Statistics:
    """Trend, countries, categories, reasons, models and top entities, from the roll-ups."""
    until = round(time.time() * 1000) if last_ms is None else last_ms
    return desk.searcher.statistics(until - DAY_MS if first_ms is None else first_ms, until)


@router.get("/predict")
def predict(user_id: UserId, desk: TheDesk, _: Viewer) -> Predicted:
    """The latest decision of this customer or card, as simpler services tell it."""
    found = _newest(desk, user_id)
    return Predicted(
        user_id=user_id,
        anomaly_score=None if found.probability_ppm is None else found.probability_ppm / 1e6,
        is_fraud=found.line.action != "APPROVE",
    )


@router.get("/explain")
def explain(user_id: UserId, desk: TheDesk, _: Analyst) -> Explanation:
    """Why the latest decision of this customer or card is what it is."""
    found = _newest(desk, user_id)
    explained = desk.explaining.explain(found.line.transaction_id, with_counterfactual=False)
    if explained is None:
        raise HTTPException(404, f"{user_id[:100]} was never seen")
    return explained


def _newest(desk: TheDesk, user_id: str) -> DecisionShown:
    for kind in ("customer", "card"):
        if (found := desk.searcher.newest_of(kind, user_id)) is not None:
            return found
    raise HTTPException(404, f"{user_id[:100]} was never seen")
