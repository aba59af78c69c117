"""The projection's tables as SQLAlchemy knows them, and where the two stores differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    cast,
    func,
    literal,
    literal_column,
)

from alcyon.domain.columns import ColumnType
from alcyon.domain.decision import Decision
from alcyon.domain.hourly import Cell
from alcyon.domain.label import LABEL_COLUMNS
from alcyon.domain.projected import JSON_COLUMNS
from alcyon.domain.transaction import COLUMNS

_TYPES = {
    ColumnType.STRING: Text,
    ColumnType.INT: BigInteger,
    ColumnType.FLOAT: Float,
    ColumnType.BOOLEAN: Boolean,
}
_NUMBERS = ("event_time", "score", "probability_ppm", "propensity_ppm", "versions_id")
_metadata = MetaData()


def _table(name: str, columns: Mapping[str, Any]) -> Table:
    return Table(name, _metadata, *(Column(n, kind) for n, kind in columns.items()))


def _typed(columns: Mapping[str, ColumnType]) -> dict[str, Any]:
    return {name: _TYPES[kind] for name, kind in columns.items()}


def _decision_type(name: str) -> Any:
    if name == "features":
        return LargeBinary
    return BigInteger if name in _NUMBERS else Text


TRANSACTIONS = _table("transactions", {"sequence": BigInteger, **_typed(COLUMNS)})
DECISIONS = _table(
    "decisions",
    {
        "sequence": BigInteger,
        **{n: _decision_type(n) for n in Decision.__struct_fields__ if n != "sequence"},
        "versions_id": BigInteger,
    },
)
LABELS = _table("labels", {"sequence": BigInteger, **_typed(LABEL_COLUMNS)})
ALERTS = _table(
    "alerts",
    {
        "sequence": BigInteger,
        "transaction_id": Text,
        "event_time": BigInteger,
        "action": Text,
        "score": BigInteger,
        "status": Text,
        "amount_base_minor": BigInteger,
        "expected_loss_base_minor": BigInteger,
    },
)
WORDS = _table(
    "decision_words",
    {"kind": Text, "word": Text, "event_time": BigInteger, "sequence": BigInteger},
)
DEAD_LETTERS = _table(
    "dead_letters",
    {
        "sequence": BigInteger,
        "topic": Text,
        "reason": Text,
        "detail": Text,
        "payload": LargeBinary,
    },
)
_WORDS = {name: Text for name in Cell.__struct_fields__ if name != "hour_ms"}
_SUMS = {"decision_count": BigInteger, "amount_base_minor_sum": Numeric}
HOURLY = _table("hourly_decisions", {"hour_ms": BigInteger, **_WORDS, **_SUMS})
DAILY = _table("daily_decisions", {"day_ms": BigInteger, **_WORDS, **_SUMS})
VERSIONS = _table("versions", {"versions_id": BigInteger, "versions": Text})
_IDS = _table("transaction_ids", {"transaction_id": Text, "sequence": BigInteger})
_HALF = 2**32


def as_text(column: Any) -> Any:
    """JSON as text: it is decoded into what it is, not into what a driver would make of it."""
    return cast(column, Text) if column.name in JSON_COLUMNS else column


@dataclass(frozen=True)
class Layout:
    """How a store lays its tables out."""

    timeline: Table
    """The one with an index on `event_time`."""
    ids: Table
    """The one with an index on `transaction_id`."""
    has_versions_beside: bool
    """Whether a decision's versions are in a table of their own."""

    @property
    def decided(self) -> Any:
        """Decisions joined with their transactions and versions."""
        joined = DECISIONS.join(TRANSACTIONS, DECISIONS.c.sequence == TRANSACTIONS.c.sequence)
        if self.has_versions_beside:
            return joined.join(VERSIONS, VERSIONS.c.versions_id == DECISIONS.c.versions_id)
        return joined

    @property
    def versions(self) -> Any:
        """Where `decided` holds the versions."""
        return VERSIONS.c.versions if self.has_versions_beside else DECISIONS.c.versions

    def halves(self, column: Any) -> tuple[Any, Any]:
        """The sum of a column in two parts, see `joined`: SQLite's own overflows at 63 bits."""
        if self.has_versions_beside:
            return literal(0), func.sum(column)
        half = literal_column(str(_HALF))
        return func.sum(column.op("/")(half)), func.sum(column.op("%")(half))


def joined(high: Any, low: Any) -> int:
    """The sum that `Layout.halves` gave in two parts; 0 of no rows."""
    return int(high or 0) * _HALF + int(low or 0)


LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "sqlite": Layout(TRANSACTIONS, TRANSACTIONS, has_versions_beside=False),
        "postgresql": Layout(DECISIONS, _IDS, has_versions_beside=True),
    }
)
"""By SQLAlchemy's name of the database."""
