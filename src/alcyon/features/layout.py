"""A catalog as the arrays that the compiled kernel reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import NULL_INT, ColumnType
from alcyon.domain.errors import CatalogError
from alcyon.features.aggregation import (
    LABEL_COLUMN,
    Count,
    Distinct,
    Elapsed,
    Entity,
    Expression,
    Max,
    Mean,
    Min,
    Newest,
    Previous,
    Std,
    Sum,
    Windowed,
)
from alcyon.features.catalog import Catalog
from alcyon.features.compiled import entity as e
from alcyon.features.compiled import measures, palette
from alcyon.features.compiled.memory import META_STRIDE, META_WORDS, TABLES
from alcyon.features.compiled.registers import AS_CODE, AS_FLOAT, AS_INTEGER
from alcyon.features.program import Program
from alcyon.features.tree import Kind

SEEN_BASE = TABLES
PENDING_BASE = TABLES + META_STRIDE
CODES_BASE = TABLES + 2 * META_STRIDE
_ENTITIES_BASE = TABLES + 3 * META_STRIDE

_FLAGS_MAX = 23
_NULL_FLOAT = np.array([np.nan]).view(np.int64)[0]
_KINDS = {Count: e.F_COUNT, Sum: e.F_SUM, Mean: e.F_MEAN, Std: e.F_STD, Min: e.F_MIN,
          Max: e.F_MAX, Distinct: e.F_DISTINCT, Elapsed: e.F_ELAPSED}  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """Expressions that need nothing but columns, windows and earlier stages."""

    names: tuple[str, ...]
    program: Program


@dataclass(frozen=True)
class Layout:
    """A catalog's arrays and programs. Rows of the kernel's output are `windowed`, in order."""

    catalog: Catalog

    @cached_property
    def windowed(self) -> tuple[Windowed | Newest, ...]:
        """All features but the expressions."""
        return tuple(f for f in self.catalog.features if not isinstance(f, Expression))

    @cached_property
    def entities(self) -> tuple[Entity, ...]:
        """In order of first use."""
        found = tuple(dict.fromkeys(f.entity for f in self.windowed))
        if len(found) > (META_WORDS - _ENTITIES_BASE) // META_STRIDE:
            raise CatalogError(f"{len(found)} entities are more than this kernel holds")
        return found

    @cached_property
    def label_entities(self) -> tuple[Entity, ...]:
        """Entities whose windows look at labels."""
        return tuple(dict.fromkeys(f.entity for f in self.windowed if f.column == LABEL_COLUMN))

    @cached_property
    def code_columns(self) -> tuple[str, ...]:
        """Columns that windows hold as codes: Distinct of anything, Previous of strings."""
        return tuple(dict.fromkeys(f.column or "" for f in self.windowed if self._is_coded(f)))

    @cached_property
    def text_columns(self) -> frozenset[str]:
        """Columns whose text must come back: Previous of strings, expressions that give strings."""
        previous = (f.column or "" for f in self.windowed if isinstance(f, Previous))
        given = (x.columns for x in self.catalog.expressions.values() if x.kind is Kind.STRING)
        return self.string_columns & {*previous, *chain.from_iterable(given)}

    @cached_property
    def integer_columns(self) -> tuple[str, ...]:
        """Columns that windows hold as 64-bit values."""
        return tuple(dict.fromkeys(f.column or "" for f in self.windowed if self._is_wide(f)))

    @cached_property
    def condition_texts(self) -> tuple[str, ...]:
        """`where=` conditions in order of first use."""
        return tuple(self.catalog.conditions)

    @cached_property
    def transaction_columns(self) -> tuple[str, ...]:
        """Transaction columns that conditions and expressions read."""
        read = [c.columns for c in self.catalog.conditions.values()]
        read += [x.columns for x in self.catalog.expressions.values()]
        names = set().union(*read) - set(self.catalog.names)
        return tuple(n for n in self.catalog.columns if n in names)

    @cached_property
    def conditions(self) -> Program | None:
        """All conditions over `transaction_columns`; None if there are none."""
        if not self.condition_texts:
            return None
        return Program.compile(list(self.catalog.conditions.values()), self.transaction_columns)

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The expressions, in the fewest programs that can run one after the other."""
        done = (*self.transaction_columns, *(f.name for f in self.windowed))
        waiting = dict(self.catalog.expressions)
        stages = []
        while waiting:
            ready = tuple(n for n, x in waiting.items() if not x.columns & waiting.keys())
            stages.append(Stage(ready, Program.compile([waiting[n] for n in ready], done)))
            done += ready
            waiting = {n: x for n, x in waiting.items() if n not in ready}
        return tuple(stages)

    @cached_property
    def register_names(self) -> tuple[str, ...]:
        """Rows of the register matrix: columns, windows, expressions by stage."""
        expressions = (name for stage in self.stages for name in stage.names)
        return (*self.transaction_columns, *(f.name for f in self.windowed), *expressions)

    @cached_property
    def nulls(self) -> NDArray[np.int64]:
        """int64[F]: the word that stands for null in each row of the kernel's output."""
        null_of = {ColumnType.FLOAT: _NULL_FLOAT, ColumnType.STRING: np.int64(0)}
        types = self.catalog.types
        return np.array([null_of.get(types[f.name], NULL_INT) for f in self.windowed], np.int64)

    @cached_property
    def value_kinds(self) -> NDArray[np.int64]:
        """int64[F]: how to read each row of the kernel's output."""
        kinds = {ColumnType.FLOAT: AS_FLOAT, ColumnType.STRING: AS_CODE}
        types = self.catalog.types
        return np.array([kinds.get(types[f.name], AS_INTEGER) for f in self.windowed], np.int64)

    @cached_property
    def code_reach_ms(self) -> int:
        """How long after its last use a window may still see a code."""
        return max((p.reach for p in self.plans if len(p.code_columns)), default=0)

    @cached_property
    def model_rows(self) -> NDArray[np.int64]:
        """int64[M]: registers of the numeric features in catalog order."""
        rows = [self.register_names.index(name) for name in self.catalog.model_names]
        return np.array(rows, np.int64)

    @cached_property
    def string_columns(self) -> frozenset[str]:
        """Transaction columns that hold text."""
        columns = self.catalog.columns
        return frozenset(n for n in columns if columns[n] is ColumnType.STRING)

    @cached_property
    def plans(self) -> tuple[e.Plan, ...]:
        """One plan per entity."""
        return tuple(self._plan(i, entity) for i, entity in enumerate(self.entities))

    @cached_property
    def label_reach_ms(self) -> int:
        """How far back a label can still change a window; -1 if none looks at labels."""
        return max(
            (f.window_ms + f.delay_ms for f in self.windowed
             if isinstance(f, Windowed) and f.column == LABEL_COLUMN),
            default=-1,
        )  # fmt: skip

    def _is_coded(self, feature: Windowed | Newest) -> bool:
        if isinstance(feature, Distinct):
            return True
        column = feature.column or ""
        return isinstance(feature, Previous) and (self.catalog.columns[column] is ColumnType.STRING)

    def _is_wide(self, feature: Windowed | Newest) -> bool:
        return feature.column not in (None, LABEL_COLUMN) and not self._is_coded(feature)

    def _plan(self, index: int, entity: Entity) -> e.Plan:
        features = [f for f in self.windowed if f.entity == entity]
        builder = _PlanBuilder(self, features)
        rows = builder.rows(features)
        lateness = self.catalog.lateness_max_ms
        slot = self.label_entities.index(entity) if entity in self.label_entities else -1
        return e.Plan(
            shape=builder.shape(),
            bounds=np.array(builder.bounds, np.int64),
            features=np.array(rows, np.int64),
            wide_columns=np.array([self.integer_columns.index(c) for c in builder.wides], np.int64),
            code_columns=np.array([self.code_columns.index(c) for c in builder.codes], np.int64),
            conditions=np.array(
                [self.condition_texts.index(c) for c in builder.conditions], np.int64
            ),
            base=_ENTITIES_BASE + index * META_STRIDE,
            reach=lateness + max(_reach(f) for f in features),
            label_slot=slot,
        )


def _reach(feature: Windowed | Newest) -> int:
    if isinstance(feature, Newest):
        return feature.within_ms
    return feature.window_ms + feature.delay_ms


def _distinct_group(row: Sequence[int]) -> tuple[int, ...]:
    return (row[e.LANE], row[e.CONDITION], row[e.DELAY])


class _PlanBuilder:
    """Numbers the lanes, conditions, measures and bounds that one entity's features share."""

    def __init__(self, layout: Layout, features: Sequence[Windowed | Newest]) -> None:
        self.layout = layout
        self.wides = list(dict.fromkeys(f.column or "" for f in features if layout._is_wide(f)))
        self.codes = list(dict.fromkeys(f.column or "" for f in features if layout._is_coded(f)))
        windows = [f for f in features if isinstance(f, Windowed)]
        self.conditions = list(dict.fromkeys(f.where for f in windows if f.where))
        if len(self.conditions) + 1 > _FLAGS_MAX:
            raise CatalogError(
                f"{features[0].entity.name}: at most {_FLAGS_MAX - 1} different where= conditions"
            )
        edges = {f.delay_ms for f in windows} | {f.delay_ms + f.window_ms for f in windows}
        self.bounds = sorted(edges)
        self.measures: list[tuple[int, int, int]] = []
        self.extremes: list[tuple[int, int]] = []

    def shape(self) -> measures.Shape:
        added = np.array(self.measures, np.int64).reshape(-1, 3)
        extremes = np.array(self.extremes, np.int64).reshape(-1, 2)
        return measures.Shape(
            stride=2 + len(self.wides) + (len(self.codes) + 1) // 2,
            wides=len(self.wides),
            codes=len(self.codes),
            measures=added,
            extremes=extremes,
            row=2 + 2 * len(added) + 2 * len(extremes) + palette.WORDS * len(self.codes),
        )

    def rows(self, features: Sequence[Windowed | Newest]) -> list[list[int]]:
        """`Plan.features`, windows of Distinct that only differ in size next to each other."""
        rows = [self.row(f) for f in features]
        rows.sort(key=lambda r: (r[e.KIND], *_distinct_group(r), r[e.REACH]))
        for before, row in pairwise([[-1] * e.FEATURE_WORDS, *rows]):
            if row[e.KIND] == e.F_DISTINCT:
                same = before[e.KIND] == e.F_DISTINCT
                row[e.A] = int(not same or _distinct_group(before) != _distinct_group(row))
        return rows

    def row(self, feature: Windowed | Newest) -> list[int]:
        """The feature's row of `Plan.features`."""
        row = [0] * e.FEATURE_WORDS
        row[e.OUT] = self.layout.windowed.index(feature)
        if feature.column is not None and feature.column != LABEL_COLUMN:
            lanes = self.codes if self.layout._is_coded(feature) else self.wides
            row[e.LANE] = lanes.index(feature.column)
            row[e.IS_FLOAT] = int(self.layout.catalog.columns[feature.column] is ColumnType.FLOAT)
        if isinstance(feature, Newest):
            row[e.KIND] = self._newest_kind(feature)
            row[e.REACH] = feature.within_ms
            return row
        row[e.KIND] = _KINDS[type(feature)]
        row[e.DELAY], row[e.REACH] = feature.delay_ms, _reach(feature)
        row[e.NEAR] = self.bounds.index(feature.delay_ms)
        row[e.FAR] = self.bounds.index(_reach(feature))
        row[e.WITH_CURRENT] = int(feature.with_current)
        row[e.CONDITION] = self.conditions.index(feature.where) if feature.where else -1
        row[e.A], row[e.B], row[e.C] = self._parts(feature, row[e.CONDITION], row[e.LANE])
        return row

    def _newest_kind(self, feature: Newest) -> int:
        if isinstance(feature, Elapsed):
            return e.F_ELAPSED
        return e.F_PREVIOUS_CODE if self.layout._is_coded(feature) else e.F_PREVIOUS

    def _parts(self, feature: Windowed, condition: int, lane: int) -> tuple[int, int, int]:
        """Measures (or the extreme) that the feature is made of."""
        if isinstance(feature, Distinct):
            return 0, 0, 0
        if isinstance(feature, Min | Max):
            return self._extreme(condition, lane), 0, 0
        count = (measures.COUNT, condition, -1)
        if isinstance(feature, Count):
            return self._measure(count), 0, 0
        if feature.column == LABEL_COLUMN:
            return self._measure((measures.LABEL, condition, -1)), self._measure(count), 0
        total = self._measure((measures.SUM, condition, lane))
        if isinstance(feature, Sum):
            return total, 0, 0
        n = self._measure((measures.NON_NULL, condition, lane))
        if isinstance(feature, Mean):
            return total, n, 0
        return total, n, self._measure((measures.SQUARES, condition, lane))

    def _measure(self, measure: tuple[int, int, int]) -> int:
        if measure not in self.measures:
            self.measures.append(measure)
        return self.measures.index(measure)

    def _extreme(self, condition: int, lane: int) -> int:
        if (condition, lane) not in self.extremes:
            self.extremes.append((condition, lane))
        return self.extremes.index((condition, lane))
