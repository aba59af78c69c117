"""What a projection stores: commits of the decisions log, as rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.alert import NOT_SHOWN, Alert, expected_loss, reason_shown
from alcyon.domain.columns import NULL_INT, Batch, Column, Strings
from alcyon.domain.decision import CERTAIN_PPM, Action, Decision, Reason, Versions
from alcyon.domain.errors import AlcyonError, InputError
from alcyon.domain.record import DeadLetter


class StoreError(AlcyonError):
    """A projection's store cannot be reached or written; nothing of the last write is in it."""


class DecisionRow(msgspec.Struct, frozen=True, gc=False):
    """A `Decision` for tables: what they keep as JSON stays as it lies in the log.

    Its fields are those of `Decision`, in the same order. Decoding all of it would cost five times
    as much, and be undone.
    """

    sequence: int
    transaction_id: str
    event_time: int
    action: str
    score: int | None
    probability_ppm: int | None
    members: msgspec.Raw
    codes: msgspec.Raw
    rule_hits: msgspec.Raw
    shadow_hits: msgspec.Raw
    reasons: msgspec.Raw
    features: bytes
    versions: msgspec.Raw
    challenger: msgspec.Raw = msgspec.Raw(b"null")
    propensity_ppm: int = CERTAIN_PPM

    def versions_named(self) -> Versions:
        """What took part in this decision."""
        return _versions(bytes(self.versions))

    def reason_shown(self) -> str:
        """The one code that stands for it in a list."""
        if len(self.codes) == len(self.reasons) == len("[]"):
            return _NO_REASON
        return reason_shown(_codes.decode(self.codes), _reasons.decode(self.reasons))

    def words(self) -> Iterator[tuple[str, str]]:
        """What it is searched by, each once: (`reason`, a code), (`rule`, an id), (`shadow`, an
        id). A decision that is not APPROVE has its `reason_shown`; most others have nothing."""
        if self.action == _APPROVE and all(
            len(part) == len("[]")
            for part in (self.codes, self.reasons, self.rule_hits, self.shadow_hits)
        ):
            return
        reasons = {r.code for r in _reasons.decode(self.reasons)} - set(NOT_SHOWN)
        reasons.update(_codes.decode(self.codes))
        if self.action != _APPROVE:
            reasons.add(self.reason_shown())
        for kind, words in (
            ("reason", reasons),
            ("rule", set(_codes.decode(self.rule_hits))),
            ("shadow", set(_codes.decode(self.shadow_hits))),
        ):
            yield from ((kind, word) for word in sorted(words))


JSON_COLUMNS = ("members", "codes", "rule_hits", "shadow_hits", "reasons", "versions", "challenger")
"""The columns of a decision that tables keep as JSON."""

_NO_REASON = reason_shown((), ())
_APPROVE = Action.APPROVE.value
_codes = msgspec.json.Decoder(tuple[str, ...])
_reasons = msgspec.json.Decoder(tuple[Reason, ...])


@lru_cache(maxsize=1024)
def _versions(encoded: bytes) -> Versions:
    return msgspec.json.decode(encoded, type=Versions)


def decision_rows(payloads: Iterable[bytes]) -> list[DecisionRow]:
    """Rows of decisions as the log holds them. InputError naming the first that is none."""
    decoder, rows = msgspec.json.Decoder(DecisionRow), list[DecisionRow]()
    try:
        rows.extend(map(decoder.decode, payloads))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"payload {len(rows)} is no decision: {error}") from error
    return rows


def decision_of(values: Sequence[Any]) -> Decision:
    """The decision whose columns a table keeps as `values`, those of `JSON_COLUMNS` as text."""
    columns = dict(zip(Decision.__struct_fields__, values, strict=True))
    for name in JSON_COLUMNS:
        columns[name] = msgspec.json.decode(columns[name])
    return msgspec.convert(columns, Decision)


def column_values(column: Column) -> Sequence[str | int | float | None]:
    """A column as Python values, null as None."""
    if isinstance(column, Strings):
        return column.to_list()
    null = np.isnan(column) if column.dtype == np.float64 else column == NULL_INT
    values: list[int | float | None] = column.tolist()
    for row in np.flatnonzero(null).tolist():
        values[row] = None
    return values


class Stored(msgspec.Struct, frozen=True):
    """A transaction and the decision on it, as a store keeps them."""

    decision: Decision
    transaction: dict[str, str | int | float]
    """Its canonical columns, without those that are null."""


@dataclass(frozen=True, eq=False)
class Projected:
    """The commits [first_index, next_index) as rows.

    A store that has some of them already keeps those and adds the others.
    """

    first_index: int
    next_index: int
    transactions: Sequence[Batch]
    """The transactions decided on, in parts, each with the columns that it has; together as many
    rows as `decisions`, in the same order."""
    positions: NDArray[np.int64]
    """Their places in the intake."""
    decisions: Sequence[DecisionRow]
    labels: Batch
    label_sequences: NDArray[np.int64]
    alerts: Sequence[Alert]
    dead_letters: Sequence[DeadLetter]

    def new(self, known_ids: Collection[str], known_sequences: Collection[int]) -> Projected:
        """What a store lacks of it: the rows to add, and to count.

        known_ids: those of the batch's transaction ids on which it holds a decision, of any
        sequence. known_sequences: those of the batch's labels and dead letters that it holds.
        Of several decisions here on one id the first stays, with its transaction and alert.
        """
        lacking = self._without_decisions(known_ids)
        if not known_sequences:
            return lacking
        is_new = ~np.isin(self.label_sequences, np.array(sorted(known_sequences), np.int64))
        return replace(
            lacking,
            labels=self.labels.take(np.flatnonzero(is_new)),
            label_sequences=self.label_sequences[is_new],
            dead_letters=[d for d in self.dead_letters if d.sequence not in known_sequences],
        )

    def _without_decisions(self, known_ids: Collection[str]) -> Projected:
        ids = [decision.transaction_id for decision in self.decisions]
        if len(set(ids)) == len(ids) and not any(i in known_ids for i in ids if known_ids):
            return self
        first = {name: row for row, name in reversed(list(enumerate(ids)))}
        rows = np.array(sorted(r for i, r in first.items() if i not in known_ids), np.int64)
        parts, start = [], 0
        for batch in self.transactions:
            within = rows[(rows >= start) & (rows < start + len(batch))] - start
            parts.append(batch.take(within))
            start += len(batch)
        decisions = [self.decisions[row] for row in rows.tolist()]
        sequences = {decision.sequence for decision in decisions}
        return replace(
            self,
            transactions=parts,
            positions=self.positions[rows],
            decisions=decisions,
            alerts=[alert for alert in self.alerts if alert.sequence in sequences],
        )


@dataclass(frozen=True)
class AtStake:
    """What an alert is about, in minor units of the base currency."""

    amount_base_minor: int | None
    expected_loss_base_minor: int
    """See `domain.alert.expected_loss`."""


def at_stake(projected: Projected) -> list[AtStake]:
    """Of each alert, in order; their decisions are among the rows."""
    wanted = {alert.sequence for alert in projected.alerts}
    found: dict[int, AtStake] = {}
    start = 0
    for batch in projected.transactions:
        decisions = projected.decisions[start : start + len(batch)]
        start += len(batch)
        rows = [row for row, d in enumerate(decisions) if d.sequence in wanted]
        if not rows:
            continue
        amounts: Sequence[Any] = [None] * len(rows)
        if "amount_base_minor" in batch:
            amounts = column_values(batch.numbers("amount_base_minor")[rows])
        for row, amount in zip(rows, amounts, strict=True):
            loss = expected_loss(amount, decisions[row].probability_ppm)
            found[decisions[row].sequence] = AtStake(amount, loss)
    return [found.get(alert.sequence, _NOTHING) for alert in projected.alerts]


_NOTHING = AtStake(None, 0)
