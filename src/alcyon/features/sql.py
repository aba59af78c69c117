"""The catalog as one DuckDB query: the definition of every feature, and its oracle.

Tables: `transactions` (canonical columns, `event_time` a timestamp, plus `sequence`) and `labels`
(`transaction_id`, `is_fraud`, `sequence`). Not said in SQL: an id that comes back with another
payload, and a repeat whose first is beyond the dedupe horizon but is not late.
"""

from __future__ import annotations

from collections.abc import Iterable

from alcyon.domain.columns import ColumnType
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
    Sum,
    Windowed,
)
from alcyon.features.catalog import Catalog
from alcyon.features.rendering import quoted_name

_INT64_MAX = 2**63 - 1


def catalog_sql(catalog: Catalog, transactions: str, labels: str) -> str:
    """See `Catalog.sql`."""
    return _Writer(catalog, transactions, labels).query()


class _Writer:
    def __init__(self, catalog: Catalog, transactions: str, labels: str) -> None:
        self.catalog = catalog
        self.transactions = quoted_name(transactions)
        self.labels = quoted_name(labels)
        self.windowed = [f for f in catalog.features if not isinstance(f, Expression)]
        self.entities = list(dict.fromkeys(f.entity for f in self.windowed))
        self.integers = {
            n for n, t in {**catalog.columns, **catalog.types}.items() if t is ColumnType.INT
        }

    def query(self) -> str:
        parts = [self._arrived(), self._accepted(), self._label_spans()]
        for i, entity in enumerate(self.entities):
            own = [f for f in self.windowed if f.entity == entity]
            windows = [f for f in own if isinstance(f, Windowed)]
            newest = [f for f in own if isinstance(f, Newest)]
            parts += [self._windows(f"windows_{i}", entity, windows)] if windows else []
            parts += [self._newest(f"newest_{i}", entity, newest)] if newest else []
        parts.append(self._all_windows())
        return "WITH " + ",\n".join(parts) + "\n" + self._expressions()

    def _arrived(self) -> str:
        """First-seen transactions with the front, themselves included; late ones never raise it."""
        lateness = self.catalog.lateness_max_ms
        return f"""arrived AS (
  SELECT * REPLACE (epoch_ms(event_time) AS event_time),
    max(epoch_ms(event_time)) OVER (ORDER BY sequence) AS front,
    front - epoch_ms(event_time) > {lateness} AS is_late
  FROM {self.transactions}
  QUALIFY row_number() OVER (PARTITION BY transaction_id ORDER BY sequence) = 1
)"""

    def _accepted(self) -> str:
        return "accepted AS (SELECT * FROM arrived WHERE NOT is_late)"

    def _label_spans(self) -> str:
        """From which sequence to which one a transaction's newest label is in force.

        A label before its transaction counts if the front has not moved by more than lateness_max
        since it came; before any front there is, the first one is meant.
        """
        lateness = self.catalog.lateness_max_ms
        return f"""label_spans AS (
  SELECT l.transaction_id, CAST(l.is_fraud AS BIGINT) AS is_fraud, l.sequence AS since,
    lead(l.sequence, 1, {_INT64_MAX}) OVER (
      PARTITION BY l.transaction_id ORDER BY l.sequence) AS until
  FROM {self.labels} l JOIN accepted t USING (transaction_id)
  WHERE t.sequence < l.sequence OR t.front <= {lateness} + coalesce(
    (SELECT max(a.front) FROM accepted a WHERE a.sequence < l.sequence),
    (SELECT min_by(a.front, a.sequence) FROM accepted a))
)"""

    def _same(self, entity: Entity) -> str:
        return " AND ".join(f"i.{quoted_name(c)} = j.{quoted_name(c)}" for c in entity.columns)

    def _windows(self, name: str, entity: Entity, features: list[Windowed]) -> str:
        reach = max(f.delay_ms + f.window_ms for f in features)
        selected = ",\n    ".join(f"{self._value(f)} AS {quoted_name(f.name)}" for f in features)
        return f"""{name} AS (
  SELECT i.sequence,
    {selected}
  FROM accepted i JOIN accepted j ON {self._same(entity)} AND j.sequence <= i.sequence
    AND j.event_time > i.event_time - {reach} AND j.event_time <= i.event_time
  LEFT JOIN label_spans l ON l.transaction_id = j.transaction_id
    AND l.since < i.sequence AND i.sequence < l.until
  GROUP BY i.sequence
)"""

    def _value(self, f: Windowed) -> str:
        condition = self._in_window(f)
        column = f"j.{quoted_name(f.column or '')}"
        if f.column == LABEL_COLUMN:
            column = "coalesce(l.is_fraud, 0)"
        if isinstance(f, Count):
            return f"count(*) FILTER ({condition})"
        if isinstance(f, Distinct):
            return f"count(DISTINCT {column}) FILTER ({condition})"
        if isinstance(f, Min | Max):
            return f"{f.word}({column}) FILTER ({condition})"
        exact = f"CAST({column} AS HUGEINT)"
        total = f"coalesce(sum({exact}) FILTER ({condition}), 0)"
        if isinstance(f, Sum):
            fits = f"abs({total}) <= {_INT64_MAX}"
            return f"CASE WHEN {fits} THEN CAST({total} AS BIGINT) END"
        n = f"count({column}) FILTER ({condition})"
        if isinstance(f, Mean):
            return f"CAST({total} AS DOUBLE) / nullif(CAST({n} AS DOUBLE), 0)"
        squares = f"sum({exact} * {exact}) FILTER ({condition})"
        return (
            f"CASE WHEN {n} >= 2 THEN sqrt(CAST({n} * {squares} - {total} * {total} AS DOUBLE)"
            f" / (CAST({n} AS DOUBLE) * CAST({n} - 1 AS DOUBLE))) END"
        )

    def _in_window(self, f: Windowed) -> str:
        near, far = f.delay_ms, f.delay_ms + f.window_ms
        parts = [
            f"j.event_time <= i.event_time - {near}",
            f"j.event_time > i.event_time - {far}",
        ]
        parts += ["j.sequence < i.sequence"] if f.exclude_current else []
        if f.where is not None:
            condition = self.catalog.conditions[f.where]
            parts.append(condition.sql(lambda n: f"j.{quoted_name(n)}", integers=self.integers))
        return "WHERE " + " AND ".join(f"({p})" for p in parts)

    def _newest(self, name: str, entity: Entity, features: list[Newest]) -> str:
        selected = ",\n    ".join(f"{self._previous(f)} AS {quoted_name(f.name)}" for f in features)
        return f"""{name} AS (
  SELECT i.sequence,
    {selected}
  FROM accepted i LEFT JOIN LATERAL (
    SELECT * FROM accepted j WHERE {self._same(entity)} AND j.sequence < i.sequence
      AND j.event_time <= i.event_time ORDER BY j.event_time DESC, j.sequence DESC LIMIT 1
  ) j ON true
)"""

    def _previous(self, f: Newest) -> str:
        within = f"j.event_time > i.event_time - {f.within_ms}"
        if isinstance(f, Elapsed):
            return f"CASE WHEN {within} THEN i.event_time - j.event_time END"
        assert isinstance(f, Previous)
        return f"CASE WHEN {within} THEN j.{quoted_name(f.column or '')} END"

    def _all_windows(self) -> str:
        """Every first-seen transaction with its windows; null for late ones and null entities."""
        joins, selected = [], []
        for i, entity in enumerate(self.entities):
            own = [f for f in self.windowed if f.entity == entity]
            present = " AND ".join(f"t.{quoted_name(c)} IS NOT NULL" for c in entity.columns)
            for kind, table in ((Windowed, f"windows_{i}"), (Newest, f"newest_{i}")):
                features = [f for f in own if isinstance(f, kind)]
                if features:
                    joins.append(
                        f"LEFT JOIN {table} ON {table}.sequence = t.sequence AND {present}"
                    )
                    selected += [f"{table}.{quoted_name(f.name)}" for f in features]
        columns = ", ".join(["t.*", *selected])
        return f"observed AS (\n  SELECT {columns} FROM arrived t\n  " + "\n  ".join(joins) + "\n)"

    def _expressions(self) -> str:
        """Expressions one level above another, each over the columns and features before it."""
        query = "SELECT * FROM observed"
        for f in self.catalog.features:
            if isinstance(f, Expression):
                value = self.catalog.expressions[f.name].sql(quoted_name, integers=self.integers)
                query = f"SELECT *, {value} AS {quoted_name(f.name)}\nFROM ({query})"
        return (
            f"SELECT {_listed(['transaction_id', 'sequence', *self.catalog.names])}\nFROM ({query})"
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(quoted_name(n) for n in names)
