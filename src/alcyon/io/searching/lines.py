"""Lines: rows as they are shown, with reasons in words and what labels say."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import select

from alcyon.domain.alert import reason_shown
from alcyon.domain.decision import Reason
from alcyon.domain.office.searching import LabelShown, Line, ReasonShown
from alcyon.io.searching.engines import Database
from alcyon.io.searching.tables import DECISIONS, LABELS, TRANSACTIONS, as_text
from alcyon.scoring.reasons import said, shown_text

_words = msgspec.json.Decoder(tuple[str, ...])
_reasons = msgspec.json.Decoder(tuple[Reason, ...])
_IDS_MAX = 500
"""In one question; SQLite takes 32,766 values."""
_FROM_TRANSACTION = (
    "transaction_id", "event_time", "amount_minor", "currency", "amount_base_minor", "card_id",
    "merchant_id", "device_id", "country", "merchant_country", "category", "channel",
)  # fmt: skip
LINE_COLUMNS: tuple[Any, ...] = (
    DECISIONS.c.sequence, DECISIONS.c.action, DECISIONS.c.score,
    as_text(DECISIONS.c.codes).label("codes"), as_text(DECISIONS.c.reasons).label("reasons"),
    *(TRANSACTIONS.c[name] for name in _FROM_TRANSACTION),
)  # fmt: skip
"""What a line is made of."""


def lines_of(rows: Iterable[Any], database: Database) -> list[Line]:
    """Rows of `LINE_COLUMNS` as lines, in their order."""
    kept = list(rows)
    frauds = verdicts([row.transaction_id for row in kept], database)
    return [line_of(row, frauds) for row in kept]


def lines_at(sequences: Sequence[int], database: Database) -> list[Line]:
    """The lines of these decisions, in their order."""
    query = select(*LINE_COLUMNS).select_from(database.layout.decided)
    rows = database.rows(query.where(DECISIONS.c.sequence.in_(sequences))) if sequences else []
    of = {row.sequence: row for row in rows}
    return lines_of((of[sequence] for sequence in sequences), database)


def line_of(row: Any, frauds: Mapping[str, bool]) -> Line:
    """A row of `LINE_COLUMNS` as a line. frauds: newest labels, by transaction id."""
    codes, reasons = _words.decode(row.codes), _reasons.decode(row.reasons)
    shown = reason_shown(codes, reasons)
    return Line(
        sequence=row.sequence, action=row.action, score=row.score, reason=shown,
        reason_text=shown_text(shown, reasons), is_fraud=frauds.get(row.transaction_id),
        **{name: getattr(row, name) for name in _FROM_TRANSACTION},
    )  # fmt: skip


def reason_of(reason: Reason) -> ReasonShown:
    """A part of the score in words."""
    return ReasonShown(reason.code, said(reason), reason.feature, reason.value, reason.log_odds)


def verdicts(transaction_ids: Sequence[str], database: Database) -> dict[str, bool]:
    """What the newest label says, by transaction id."""
    return newest_verdicts(labels_of(transaction_ids, database))


def labels_of(transaction_ids: Sequence[str], database: Database) -> list[Any]:
    """Rows of labels, the newest last."""
    rows: list[Any] = []
    for start in range(0, len(transaction_ids), _IDS_MAX):
        some = transaction_ids[start : start + _IDS_MAX]
        rows += database.rows(select(LABELS).where(LABELS.c.transaction_id.in_(some)))
    return sorted(rows, key=lambda row: int(row.sequence))


def newest_verdicts(labels: Iterable[Any]) -> dict[str, bool]:
    """By transaction id, of rows in order."""
    return {row.transaction_id: bool(row.is_fraud) for row in labels}


def label_of(row: Any) -> LabelShown:
    """A row of labels."""
    values = {name: getattr(row, name) for name in LabelShown.__dataclass_fields__}
    return LabelShown(**values | {"is_fraud": bool(row.is_fraud)})


def features_of(packed: bytes, names: Sequence[str] | None) -> dict[str, float | None]:
    """Features as scored, by name; empty where the names are not at hand or do not fit."""
    if names is None or len(names) * 4 != len(packed):
        return {}
    values = struct.unpack(f"<{len(names)}f", packed)
    return {n: None if math.isnan(v) else v for n, v in zip(names, values, strict=True)}
