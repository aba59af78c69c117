"""The catalog: the ordered list of features, checked, named and hashed.

>>> from alcyon.features import Catalog, Count, Entity, Expression
>>> card = Entity("card_id")
>>> catalog = Catalog([Count(card, "1h"), Expression("busy", "card_count_1h > 5")])
>>> catalog.names
('card_count_1h', 'busy')
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from alcyon.domain.columns import ColumnType
from alcyon.domain.errors import CatalogError, ExpressionError
from alcyon.domain.transaction import COLUMNS
from alcyon.features.aggregation import (
    LABEL_COLUMN,
    Count,
    Distinct,
    Elapsed,
    Expression,
    Feature,
    Max,
    Min,
    Newest,
    Previous,
    Windowed,
    duration_ms,
)
from alcyon.features.expression import parse
from alcyon.features.tree import Expr, Kind

SEMANTICS_VERSION = 1
"""Part of every hash: raised when the meaning of a window changes."""

KIND_OF = MappingProxyType(
    {
        ColumnType.STRING: Kind.STRING,
        ColumnType.INT: Kind.NUMBER,
        ColumnType.FLOAT: Kind.NUMBER,
        ColumnType.BOOLEAN: Kind.BOOLEAN,
    }
)
_TYPE_OF_KIND = {
    Kind.STRING: ColumnType.STRING,
    Kind.NUMBER: ColumnType.FLOAT,
    Kind.BOOLEAN: ColumnType.BOOLEAN,
}


@dataclass(frozen=True)
class Catalog:
    """Features in order. Raises CatalogError, naming the feature, for anything that is wrong.

    `columns` are a detector's extra input columns, by name, as "string", "int", "float" or
    "boolean".
    """

    features: tuple[Feature, ...]
    lateness_max: str
    columns: Mapping[str, ColumnType] = field(hash=False)

    def __init__(
        self,
        features: Iterable[Feature],
        lateness_max: str = "1d",
        columns: Mapping[str, str | ColumnType] = MappingProxyType({}),
    ) -> None:
        object.__setattr__(self, "features", tuple(features))
        object.__setattr__(self, "lateness_max", lateness_max)
        object.__setattr__(self, "columns", _all_columns(columns))
        _check_names(self.features)
        for feature in self.features:
            if not isinstance(feature, Expression):
                _check_columns(feature, self.columns)
        self.lateness_max_ms  # noqa: B018  raises for a wrong duration
        self.expressions  # noqa: B018  raises for a wrong expression
        self.conditions  # noqa: B018

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in order."""
        return tuple(f.name for f in self.features)

    @property
    def lateness_max_ms(self) -> int:
        """How far behind the front a transaction may be without being late."""
        return duration_ms(self.lateness_max)

    @cached_property
    def types(self) -> Mapping[str, ColumnType]:
        """Each feature's type: counts are INT, means FLOAT, previous strings STRING …"""
        return MappingProxyType({f.name: self._type(f) for f in self.features})

    @property
    def model_names(self) -> tuple[str, ...]:
        """The numeric features, which reach the model, in order."""
        return tuple(n for n in self.names if self.types[n] is not ColumnType.STRING)

    @cached_property
    def expressions(self) -> Mapping[str, Expr]:
        """Parsed expressions by feature name; each sees the columns and the features before it."""
        scope = self.transaction_scope
        parsed: dict[str, Expr] = {}
        for feature in self.features:
            if isinstance(feature, Expression):
                parsed[feature.name] = _parsed(feature.name, feature.sql, scope)
                scope[feature.name] = parsed[feature.name].kind
            else:
                scope[feature.name] = KIND_OF[self._windowed_type(feature)]
        return MappingProxyType(parsed)

    @cached_property
    def conditions(self) -> Mapping[str, Expr]:
        """Parsed `where=` conditions by their text."""
        texts = [(f.name, f.where) for f in self.features if isinstance(f, Windowed) and f.where]
        return MappingProxyType(
            {text: _condition(name, text, self.transaction_scope) for name, text in texts}
        )

    @property
    def transaction_scope(self) -> dict[str, Kind]:
        """What conditions and expressions may name of a transaction."""
        return {name: KIND_OF[t] for name, t in self.columns.items()}

    @cached_property
    def normalised(self) -> str:
        """Canonical JSON of all that decides values; what `hash` hashes."""
        return json.dumps(
            {
                "semantics": SEMANTICS_VERSION,
                "lateness_max_ms": self.lateness_max_ms,
                "features": [self._normal(f) for f in self.features],
            },
            sort_keys=True,
        )

    @cached_property
    def hash(self) -> str:
        """16 hex digits; a model refuses a catalog with another hash."""
        return hashlib.sha256(self.normalised.encode()).hexdigest()[:16]

    def sql(self, transactions: str = "transactions", labels: str = "labels") -> str:
        """The features' definition: one DuckDB query over two tables with `sequence`.

        Returns `transaction_id`, `sequence` and the features, a row per first-seen transaction.
        """
        from alcyon.features.sql import catalog_sql

        return catalog_sql(self, transactions, labels)

    def with_columns(self, columns: Mapping[str, str | ColumnType]) -> Catalog:
        """The same features over a detector's extra columns too."""
        return Catalog(self.features, self.lateness_max, columns)

    def _type(self, feature: Feature) -> ColumnType:
        if isinstance(feature, Expression):
            return _TYPE_OF_KIND[self.expressions[feature.name].kind]
        return self._windowed_type(feature)

    def _windowed_type(self, feature: Windowed | Newest) -> ColumnType:
        if isinstance(feature, Min | Max | Previous):
            return self.columns[feature.column or ""]
        if feature.word in ("mean", "std"):
            return ColumnType.FLOAT
        return ColumnType.INT

    def _normal(self, feature: Feature) -> list[object]:
        if isinstance(feature, Expression):
            return [feature.name, "expression", self.expressions[feature.name].normalised]
        head: list[object] = [feature.name, feature.word, feature.entity.columns, feature.column]
        if isinstance(feature, Newest):
            return [*head, feature.within_ms]
        where = self.conditions[feature.where].normalised if feature.where else None
        return [*head, feature.window_ms, feature.delay_ms, where, feature.with_current]


def _all_columns(extra: Mapping[str, str | ColumnType]) -> Mapping[str, ColumnType]:
    columns = dict(COLUMNS)
    for name, kind in extra.items():
        if name in COLUMNS and ColumnType(kind) is not COLUMNS[name]:
            raise CatalogError(f"column {name}: is {COLUMNS[name].value} in every transaction")
        if name == LABEL_COLUMN:
            raise CatalogError(f"column {name}: the label is never an input column")
        try:
            columns[name] = ColumnType(kind)
        except ValueError:
            raise CatalogError(
                f"column {name}: {kind!r} is no type: write string, int, float or boolean"
            ) from None
    return MappingProxyType(columns)


def _check_names(features: Sequence[Feature]) -> None:
    seen: set[str] = set()
    for feature in features:
        if not isinstance(feature, Feature):
            raise CatalogError(f"{feature!r} is no feature: use Count, Sum, … or Expression")
        if not feature.name.isidentifier() or feature.name in COLUMNS:
            raise CatalogError(f"{feature.name!r}: a feature's name is a word of its own")
        if feature.name in seen:
            raise CatalogError(f"two features are named {feature.name}: give one a name=")
        seen.add(feature.name)
    if not seen:
        raise CatalogError("a catalog needs at least one feature")


def _check_columns(feature: Windowed | Newest, columns: Mapping[str, ColumnType]) -> None:
    for name in feature.entity.columns:
        if name not in columns:
            raise CatalogError(f"{feature.name}: no column {name}")
        if columns[name] is ColumnType.FLOAT:
            raise CatalogError(f"{feature.name}: a float such as {name} cannot name an entity")
    if isinstance(feature, Count | Elapsed):
        return
    column = feature.column or ""
    if column == LABEL_COLUMN and feature.over_labels:
        return
    if column == LABEL_COLUMN:
        raise CatalogError(f"{feature.name}: {column} can be under Sum and Mean only")
    if column not in columns:
        raise CatalogError(f"{feature.name}: no column {column}")
    if columns[column] not in feature.takes:
        allowed = " or ".join(sorted(t.value for t in feature.takes))
        raise CatalogError(
            f"{feature.name}: {column} is {columns[column].value}, "
            f"{type(feature).__name__} takes {allowed}"
        )


def _parsed(name: str, text: str, scope: Mapping[str, Kind]) -> Expr:
    try:
        return parse(text, scope)
    except ExpressionError as error:
        raise CatalogError(f"{name}: {error}") from None


def _condition(name: str, text: str, scope: Mapping[str, Kind]) -> Expr:
    condition = _parsed(name, text, scope)
    if condition.kind is not Kind.BOOLEAN:
        raise CatalogError(f"{name}: where={text!r} is no condition")
    return condition


__all__ = ["Catalog", "Distinct"]
