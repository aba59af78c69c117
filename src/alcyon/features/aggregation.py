"""The words a feature is written in: entities, windows and one class per aggregation.

>>> Count(Entity("card_id"), "10m").name
'card_count_10m'
>>> Mean(Entity("card_id"), "amount_minor", "30d", exclude_current=True).name
'card_mean_amount_minor_30d_prior'
>>> Mean(Entity("merchant_id"), "is_fraud", "30d", delay="7d").name
'merchant_mean_is_fraud_30d_delay_7d'
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar

from alcyon.domain.columns import ColumnType
from alcyon.domain.errors import CatalogError

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}

LABEL_COLUMN = "is_fraud"
"""The column that labels fill; windows may add it up, nothing may select by it."""

_INTEGERS = frozenset({ColumnType.INT, ColumnType.BOOLEAN})
_NUMBERS = _INTEGERS | {ColumnType.FLOAT}
_ANY = _NUMBERS | {ColumnType.STRING}


def duration_ms(text: str) -> int:
    """Milliseconds of a duration such as "90s", "10m", "24h", "30d"; no calendar.

    >>> duration_ms("1d")
    86400000
    """
    match = re.fullmatch(r"(\d+)(ms|s|m|h|d|w)", text) if isinstance(text, str) else None
    if match is None:
        raise CatalogError(f"{text!r} is no duration: write a number and ms, s, m, h, d or w")
    return int(match[1]) * _UNITS_MS[match[2]]


@dataclass(frozen=True)
class Entity:
    """A thing with history: one column or several together.

    >>> Entity("card_id", "merchant_id").name
    'card_merchant'
    """

    columns: tuple[str, ...]

    def __init__(self, *columns: str) -> None:
        if not columns or len(set(columns)) != len(columns):
            raise CatalogError("an Entity takes one or more different column names")
        object.__setattr__(self, "columns", columns)

    @property
    def name(self) -> str:
        """The columns less their `_id`."""
        return "_".join(c.removesuffix("_id") for c in self.columns)


@dataclass(frozen=True)
class Aggregation:
    """Base of all aggregations over a window of one entity's transactions.

    A subclass says its word and which types of column it takes. Null: an empty window gives 0
    for Count, Sum and Distinct, null for the others.
    """

    word: ClassVar[str]
    takes: ClassVar[frozenset[ColumnType]] = frozenset()
    over_labels: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The feature's name, given or made."""
        raise NotImplementedError


@dataclass(frozen=True)
class Windowed(Aggregation):
    """An aggregation over (t − delay − window, t − delay]."""

    entity: Entity
    window: str
    delay: str = field(default="0s", kw_only=True)
    where: str | None = field(default=None, kw_only=True)
    exclude_current: bool = field(default=False, kw_only=True)
    given_name: str | None = field(default=None, kw_only=True)
    column: str | None = field(default=None, kw_only=True)

    @property
    def window_ms(self) -> int:
        """The window's size."""
        return duration_ms(self.window)

    @property
    def delay_ms(self) -> int:
        """How long before the transaction the window ends."""
        return duration_ms(self.delay)

    @property
    def with_current(self) -> bool:
        """Whether the transaction itself is in its window."""
        return self.delay_ms == 0 and not self.exclude_current

    @property
    def name(self) -> str:
        if self.given_name is not None:
            return self.given_name
        parts = [self.entity.name, self.word, self.column, self.window]
        parts += ["prior"] if self.exclude_current else []
        parts += [f"delay_{self.delay}"] if self.delay_ms else []
        return "_".join(p for p in parts if p)

    def __post_init__(self) -> None:
        if not isinstance(self.entity, Entity):
            raise CatalogError(f"{self.word}: the first argument must be an Entity")
        if self.window_ms == 0:
            raise CatalogError(f"{self.name}: a window of {self.window} is empty")
        if self.where is not None and self.given_name is None:
            raise CatalogError(f"{self.name}: a feature with where= needs a name=")


class Count(Windowed):
    """How many transactions."""

    word = "count"

    def __init__(
        self,
        entity: Entity,
        window: str,
        *,
        delay: str = "0s",
        where: str | None = None,
        exclude_current: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(
            entity, window, delay=delay, where=where, exclude_current=exclude_current,
            given_name=name,
        )  # fmt: skip


class OverColumn(Windowed):
    """An aggregation of one column's values; nulls are ignored, as SQL does."""

    def __init__(
        self,
        entity: Entity,
        column: str,
        window: str,
        *,
        delay: str = "0s",
        where: str | None = None,
        exclude_current: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(
            entity, window, delay=delay, where=where, exclude_current=exclude_current,
            given_name=name, column=column,
        )  # fmt: skip


class Sum(OverColumn):
    """Σx, exact; null where it leaves int64 (more than 9,000 times the largest amount)."""

    word, takes, over_labels = "sum", _INTEGERS, True


class Mean(OverColumn):
    """f64(Σx) / f64(n); of `is_fraud`: confirmed frauds ÷ all transactions of the window."""

    word, takes, over_labels = "mean", _INTEGERS, True


class Std(OverColumn):
    """Sample standard deviation: sqrt(f64(n·Σx² − (Σx)²) / f64(n·(n − 1))); null below two."""

    word, takes = "std", _INTEGERS


class Min(OverColumn):
    """The smallest value."""

    word, takes = "min", _NUMBERS


class Max(OverColumn):
    """The largest value."""

    word, takes = "max", _NUMBERS


class Distinct(OverColumn):
    """How many different values."""

    word, takes = "distinct", frozenset({ColumnType.STRING}) | _INTEGERS


@dataclass(frozen=True)
class Newest(Aggregation):
    """A look at the newest earlier transaction in (t − within, t]."""

    entity: Entity
    within: str = field(default="90d", kw_only=True)
    given_name: str | None = field(default=None, kw_only=True)
    column: str | None = field(default=None, kw_only=True)

    @property
    def within_ms(self) -> int:
        """How far back to look."""
        return duration_ms(self.within)

    def __post_init__(self) -> None:
        if not isinstance(self.entity, Entity):
            raise CatalogError(f"{self.word}: the first argument must be an Entity")
        if self.within_ms == 0:
            raise CatalogError(f"{self.name}: within={self.within} is empty")


class Previous(Newest):
    """The value a column had in the newest earlier transaction; may be null there."""

    word, takes = "previous", _ANY

    def __init__(
        self, entity: Entity, column: str, *, within: str = "90d", name: str | None = None
    ) -> None:
        super().__init__(entity, within=within, given_name=name, column=column)

    @property
    def name(self) -> str:
        return self.given_name or f"{self.entity.name}_previous_{self.column}"


class Elapsed(Newest):
    """Milliseconds since the newest earlier transaction."""

    word = "elapsed"

    def __init__(self, entity: Entity, *, within: str = "90d", name: str | None = None) -> None:
        super().__init__(entity, within=within, given_name=name)

    @property
    def name(self) -> str:
        return self.given_name or f"{self.entity.name}_elapsed_ms"


@dataclass(frozen=True)
class Expression:
    """A SQL scalar expression over the transaction's columns and earlier features."""

    name: str
    sql: str


Feature = Windowed | Newest | Expression
"""One named value about a transaction."""
