"""Backtest: what a changed rule would have hit in the decisions that a store keeps.

It reads what was recorded: the transaction's columns, the model's features as scored (float32), the
scores of then. What is not recorded, features that are strings and a detector's own columns, is
null here, and the finding names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import Strings
from alcyon.domain.decision import Action
from alcyon.domain.errors import InputError
from alcyon.domain.office.searching import LabelShown
from alcyon.domain.projected import Stored
from alcyon.domain.transaction import COLUMNS
from alcyon.features.catalog import Catalog
from alcyon.features.tree import LISTED
from alcyon.scoring.conduct import MEMBERS, SCORES, rule_scope
from alcyon.scoring.lists import EntityLists
from alcyon.scoring.rules import RuleSet, Status, from_text

DAY_MS = 86_400_000
SCANNED_MAX = 50_000
"""Decisions looked at, the newest of the time asked for."""
LABELS_MAX = 1_000
"""Hits whose labels are looked up, the newest."""
SAMPLE = 20
_AT_ONCE = 5_000
_TIME_MAX = 2**62

DecisionsBetween = Callable[[int, int, int], Sequence[Stored]]
"""`Store.decisions_between`."""
LabelsOf = Callable[[str], Sequence[LabelShown]]
"""`Searcher.labels`."""


class Backtested(msgspec.Struct, frozen=True):
    """What was found; money in minor units of the base currency."""

    hits: int
    labelled: int
    """Of the newest hits, those with a label; see `labels_sought`."""
    frauds: int
    """Of these, those that a label calls fraud."""
    amount_base_minor: int
    stopped_already: int
    """Hits that were not approved then."""
    sample: list[str]
    """Ids of the newest hits."""
    scanned: int
    """Decisions looked at: all of the time asked for, or the newest `SCANNED_MAX` of it."""
    is_whole: bool
    """Whether that was all of the time asked for."""
    first_ms: int
    last_ms: int
    """Event times of the decisions looked at."""
    labels_sought: int
    other_catalog: int
    """Decisions of another catalog: their features are null here."""
    not_recorded: list[str]
    """Names in the condition that a store does not keep: null here, so a hit may be missing."""


@dataclass(frozen=True)
class Backtest:
    """One rule over stored decisions."""

    catalog: Catalog
    lists: EntityLists
    between: DecisionsBetween
    labels_of: LabelsOf

    def run(self, rules_text: str, rule_id: str, days: int) -> Backtested:
        """Of the last so many days of event time that the store has, whatever the rule's status.

        InputError: there is no such rule, or its condition is wrong.
        """
        rule = _Rule.of(self.catalog, rules_text, rule_id)
        newest = self.between(0, _TIME_MAX, 1)
        last = newest[0].decision.event_time if newest else 0
        first = last - days * DAY_MS
        stored = self.between(first, last, SCANNED_MAX + 1) if newest else []
        scanned = list(stored[:SCANNED_MAX])
        hits = [
            one
            for at in range(0, len(scanned), _AT_ONCE)
            for one in rule.hits(scanned[at : at + _AT_ONCE], self.lists)
        ]
        labelled, frauds = self._labelled(hits)
        return Backtested(
            hits=len(hits),
            labelled=labelled,
            frauds=frauds,
            amount_base_minor=sum(int(h.transaction.get("amount_base_minor") or 0) for h in hits),
            stopped_already=sum(h.decision.action != Action.APPROVE.value for h in hits),
            sample=[hit.decision.transaction_id for hit in hits[:SAMPLE]],
            scanned=len(scanned),
            is_whole=len(stored) <= SCANNED_MAX,
            first_ms=scanned[-1].decision.event_time if scanned else 0,
            last_ms=last,
            labels_sought=min(len(hits), LABELS_MAX),
            other_catalog=sum(s.decision.versions.catalog != self.catalog.hash for s in scanned),
            not_recorded=rule.not_recorded,
        )

    def _labelled(self, hits: Sequence[Stored]) -> tuple[int, int]:
        said = [self.labels_of(hit.decision.transaction_id) for hit in hits[:LABELS_MAX]]
        newest = [labels[0].is_fraud for labels in said if labels]
        return len(newest), sum(newest)


@dataclass(frozen=True)
class _Rule:
    """A condition, ready to run over what is recorded."""

    catalog: Catalog
    compiled: RuleSet

    @classmethod
    def of(cls, catalog: Catalog, text: str, rule_id: str) -> _Rule:
        chosen = [rule for rule in from_text(text) if rule.id == rule_id]
        if not chosen:
            raise InputError(f"there is no rule {rule_id[:64]} in this text")
        shadow = msgspec.structs.replace(chosen[0], status=Status.SHADOW)
        return cls(catalog, RuleSet.compile([shadow], rule_scope(catalog)))

    @property
    def not_recorded(self) -> list[str]:
        """Names that are null here."""
        kept = {*COLUMNS, *self.catalog.model_names, *SCORES, *MEMBERS}
        inputs = self.compiled.program.needs
        return [n for n in inputs if n not in kept and not n.startswith(f"{LISTED}:")]

    def hits(self, stored: Sequence[Stored], lists: EntityLists) -> list[Stored]:
        """Those on which the condition holds."""
        program, codes = self.compiled.program, _Codes({})
        recorded = _Recorded(self.catalog, stored, lists, codes)
        inputs = np.stack([recorded.named(name) for name in program.inputs] or [np.empty(0)])
        inputs = inputs.reshape(len(program.inputs), len(stored))
        literals = np.array([codes.of(text) for text in program.strings], np.float64)
        fired = self.compiled.hits(inputs, literals)[0]
        return [stored[row] for row in np.flatnonzero(fired).tolist()]


@dataclass(frozen=True)
class _Codes:
    """Strings as numbers, equal iff the strings are."""

    known: dict[str, int]

    def of(self, text: str) -> int:
        return self.known.setdefault(text, len(self.known))


@dataclass(frozen=True)
class _Recorded:
    """n stored decisions as the inputs of a condition: float64[n] by name, NaN is null."""

    catalog: Catalog
    stored: Sequence[Stored]
    lists: EntityLists
    codes: _Codes

    def named(self, name: str) -> NDArray[np.float64]:
        if name.startswith(f"{LISTED}:"):
            _, list_name, column = name.split(":", 2)
            return self._listed(list_name, column)
        if name in self.catalog.model_names:
            return self._feature(self.catalog.model_names.index(name))
        decisions = [one.decision for one in self.stored]
        if name == "score":
            return _numbers([d.score for d in decisions])
        if name == "probability_ppm":
            return _numbers([d.probability_ppm for d in decisions])
        if name in MEMBERS:
            return _numbers([d.members.get(name) for d in decisions])
        return _numbers([self._coded(one.transaction, name) for one in self.stored])

    def _coded(self, transaction: Mapping[str, str | int | float], name: str) -> float | None:
        value = transaction.get(name)
        return self.codes.of(value) if isinstance(value, str) else value

    def _feature(self, place: int) -> NDArray[np.float64]:
        own, size = self.catalog.hash, 4 * len(self.catalog.model_names)
        null = np.full(size // 4, np.nan, "<f4").tobytes()
        raw = [
            d.features if d.versions.catalog == own and len(d.features) == size else null
            for d in (one.decision for one in self.stored)
        ]
        packed = np.frombuffer(b"".join(raw), "<f4").reshape(len(raw), size // 4)
        return packed[:, place].astype(np.float64)

    def _listed(self, list_name: str, column: str) -> NDArray[np.float64]:
        values = [one.transaction.get(column) for one in self.stored]
        strings = Strings.from_list([None if v is None else str(v) for v in values])
        times = np.array([one.decision.event_time for one in self.stored], np.int64)
        return self.lists.listed(list_name, column, strings, times)


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if v is None else v for v in values], np.float64)
