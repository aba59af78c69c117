"""What the console is shown, from memory: a searcher over simulated work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import alcyon.detectors.card as detector
from alcyon.domain.errors import AlcyonError
from alcyon.domain.office.access import Role
from alcyon.domain.office.searching import (
    AlertPage,
    DeadLetterShown,
    DecisionShown,
    EntityKind,
    EntityShown,
    Filter,
    LabelShown,
    Line,
    Page,
    Statistics,
)
from alcyon.scoring.rules import from_text
from tests.console.simulated import HOSTILE, World, habit_of, linked_of, reasons_of

T = TypeVar("T")
RULES = Path(detector.__file__).with_name("card_rules.toml")


class BrokenError(AlcyonError):
    """The store is said to be away."""


@dataclass
class Scene:
    """What a test may change while the console looks."""

    world: World
    role: Role = Role.LEAD
    is_signed_in: bool = True
    is_broken: bool = False
    messages_per_s: int = 20

    def check(self) -> None:
        if self.is_broken:
            raise BrokenError("the store does not answer")


class MemorySearcher:
    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def _found(self, found_by: Filter) -> list[Line]:
        self.scene.check()
        return [line for line in self.scene.world.lines if _matches(line, found_by)]

    def search(self, found_by: Filter, cursor: str | None, limit: int) -> Page:
        items, following = _paged(self._found(found_by), cursor, limit)
        return Page(items, following)

    def decision(self, transaction_id: str) -> DecisionShown | None:
        self.scene.check()
        line = self._line(transaction_id)
        return None if line is None else _decision(line, self.labels(transaction_id))

    def _line(self, transaction_id: str) -> Line | None:
        lines = self.scene.world.lines
        return next((x for x in lines if x.transaction_id == transaction_id), None)

    def newest_of(self, entity_kind: EntityKind, entity_id: str) -> DecisionShown | None:
        found = self._found(Filter(entity_kind=entity_kind, entity_id=entity_id))
        return _decision(found[0], []) if found else None

    def entity(self, kind: EntityKind, entity_id: str) -> EntityShown | None:
        found = self._found(Filter(entity_kind=kind, entity_id=entity_id))
        if not found:
            return None
        stopped = sum(line.action != "APPROVE" for line in found)
        frauds = sum(bool(line.is_fraud) for line in found)
        return EntityShown(
            kind=kind, id=entity_id, risk="high" if stopped else "low",
            score_max=max(line.score or 0 for line in found), transaction_count=len(found),
            not_approved_count=stopped, fraud_count=frauds,
            habit=habit_of([x for x in found if x.action == "APPROVE"]), today=habit_of(found[:4]),
            features={"card_count_1h": 7.0, "amount_to_mean_30d": 21.4, "card_elapsed_ms": None},
            history=found[:200], linked=linked_of(found, entity_id),
            labels=[x for x in self.scene.world.labels if x.transaction_id in _ids(found)],
            features_at=found[0].event_time,
        )  # fmt: skip

    def alerts(
        self, found_by: Filter, status: str | None, cursor: str | None, limit: int
    ) -> AlertPage:
        self.scene.check()
        found = [one for one in self.scene.world.alerts if _matches(one.line, found_by)]
        items, following = _paged([x for x in found if x.status == status], cursor, limit)
        amounts = [x.line.amount_base_minor or 0 for x in found if x.status == "open"]
        return AlertPage(items, following, len(amounts), sum(amounts))

    def statistics(self, first_ms: int, last_ms: int) -> Statistics:
        return Statistics(first_ms, last_ms, [], [], [], [], [])

    def labels(self, transaction_id: str) -> list[LabelShown]:
        return [x for x in self.scene.world.labels if x.transaction_id == transaction_id]

    def rule_counts(self, first_ms: int) -> dict[str, dict[str, int]]:
        self.scene.check()
        ids = [rule.id for rule in from_text(RULES.read_text())]
        return {
            rule: {
                "hits": 1400 // (n + 1), "shadow_hits": 90 * n, "labelled": 40,
                "frauds": 36 - 3 * n,
                "stopped_base_minor": 4_120_000 // (n + 1),
            }
            for n, rule in enumerate(ids)
        }  # fmt: skip

    def dead_letters(
        self, reason: str | None, cursor: str | None, limit: int
    ) -> tuple[list[DeadLetterShown], str | None]:
        self.scene.check()
        if not self.scene.world.lines:
            return [], None
        letters = [
            DeadLetterShown(
                9_000 - n, "transactions", ("not_json", "amount_invalid")[n % 2],
                ("line 1, column 17: no value", "amount_minor is -5: write 0 or more")[n % 2],
                f'{{"transaction_id": "x-{n}", "merchant_id": "{HOSTILE}"}}',
            )
            for n in range(7)
        ]  # fmt: skip
        return [one for one in letters if reason in (None, one.reason)], None


def _ids(lines: list[Line]) -> set[str]:
    return {line.transaction_id for line in lines}


def _matches(line: Line, by: Filter) -> bool:
    named = {"card": line.card_id, "merchant": line.merchant_id, "device": line.device_id}
    begins = (line.transaction_id, *named.values())
    return (
        (by.entity_kind is None or named.get(by.entity_kind) == by.entity_id)
        and (not by.actions or line.action in by.actions)
        and by.reason in (None, line.reason)
        and by.country in (None, line.country)
        and (by.text is None or any(x and x.startswith(by.text) for x in begins))
    )


def _paged(found: list[T], cursor: str | None, limit: int) -> tuple[list[T], str | None]:
    first = int(cursor or 0)
    return found[first : first + limit], str(first + limit) if first + limit < len(found) else None


def _decision(line: Line, labels: list[LabelShown]) -> DecisionShown:
    return DecisionShown(
        line=line, probability_ppm=(line.score or 0) * 990,
        members={"boosting": 2.9, "linear": 1.7},
        codes=[line.reason], rule_hits=["card_velocity"] if line.action != "APPROVE" else [],
        shadow_hits=[], reasons=reasons_of(line), features={"card_count_1h": 7.0, "hour": None},
        versions={"model": "blend-0007", "rules": "3f0a11c29d7be410"}, challenger=None,
        propensity_ppm=1_000_000,
        transaction={"transaction_id": line.transaction_id, "merchant_id": line.merchant_id},
        labels=labels,
    )  # fmt: skip
