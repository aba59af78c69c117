"""Features of recorded decisions against `catalog.sql()` in DuckDB, for some of the entities.

A window is of one entity: all rows of that entity, history included, are enough to compute it, if
the front is right. So for each kind of entity some are drawn, all their rows are taken, and with
them the rows that moved the front to where each of these rows and labels found it; those carry no
entity and are in no window. What is computed is the definition itself, over parts of the catalog.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import msgspec
import numpy as np

from alcyon.domain.errors import CatalogError
from alcyon.features import Catalog, Expression
from stream_kill_read import COLUMNS

PAIRS_MAX = 25_000_000
"""Pairs of events that the SQL joins, per kind of entity: about ten seconds."""
ROWS_MAX = 250_000
STEP = 1000
"""Between two sequences of the history, for the labels between them."""


class Compared(msgspec.Struct):
    """What was looked at for one kind of entity."""

    entity: str
    entities: int
    of: int
    """Entities that were decided on."""
    events_max: int
    """Of the largest that was drawn."""
    too_large: int
    """Entities that were not drawn, for they have too many events to be joined with themselves."""
    decisions: int
    features: int
    values: int
    rounded_otherwise: int
    """Equal but for the last bit of a float32: means, deviations and distances."""
    differing: int


class Oracle:
    """Over `transactions.parquet`, `labels.parquet`, `decisions.parquet` and the history."""

    def __init__(self, folder: Path, past: Path, catalog: Catalog, seed: int) -> None:
        self._catalog, self._seed = catalog, seed
        self._db = duckdb.connect(str(folder / "oracle.duckdb"))
        self._db.execute("SET memory_limit = '5GB'; SET TimeZone = 'UTC'; SET threads = 2")
        columns = ", ".join(COLUMNS)
        live = f"read_parquet('{folder / 'transactions.parquet'}')"
        history = f"read_parquet('{past / 't.parquet'}', file_row_number = true)"
        (rows,) = self._one(f"SELECT count(*) FROM {history}")
        self._first = STEP * (rows + 1)
        self._db.execute(f"""
            CREATE TABLE every AS
            SELECT {STEP} * (file_row_number + 1) AS sequence, {columns} FROM {history}
            UNION ALL SELECT {self._first} + sequence, {columns} FROM {live}""")
        self._db.execute("""
            CREATE TABLE raisers AS
            SELECT *, epoch_ms(event_time) AS front FROM (
              SELECT *, max(event_time) OVER (
                ORDER BY sequence ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
              FROM every) WHERE before IS NULL OR event_time > before ORDER BY sequence""")
        self._labels(folder, past)
        self._db.execute(f"""
            CREATE TABLE decided AS SELECT {self._first} + sequence AS sequence, features
            FROM read_parquet('{folder / "decisions.parquet"}')""")

    def compared(self) -> Iterator[Compared]:
        """Card, merchant and device."""
        covered: set[str] = set()
        for entity in dict.fromkeys(e[0] for e in self._entities()):
            part = self._part(entity)
            covered |= set(part.names)
            yield self._compare(entity, part)
        left = set(self._catalog.names) - covered
        if left:
            raise CatalogError(f"{', '.join(sorted(left))}: were not compared")

    def _entities(self) -> Iterator[tuple[str, ...]]:
        for feature in self._catalog.features:
            if not isinstance(feature, Expression):
                yield feature.entity.columns

    def _part(self, entity: str) -> Catalog:
        """The features over that entity, and the expressions that need no other."""
        lateness = self._catalog.lateness_max
        own = [
            f for f in self._catalog.features
            if not isinstance(f, Expression) and f.entity.columns[0] == entity
        ]  # fmt: skip
        for feature in self._catalog.features:
            if isinstance(feature, Expression):
                try:
                    own = list(Catalog([*own, feature], lateness).features)
                except CatalogError:
                    continue
        return Catalog(own, lateness)

    def _labels(self, folder: Path, past: Path) -> None:
        """Of the history those that had come by its end, each before the row it precedes."""
        self._db.execute(f"""
            CREATE TABLE every_label AS
            SELECT r.sequence - {STEP} + row_number() OVER (
                PARTITION BY r.sequence ORDER BY l.labelled_at, l.file_row_number) AS sequence,
              l.transaction_id, CAST(l.is_fraud AS BIGINT) AS is_fraud
            FROM read_parquet('{past / "l.parquet"}', file_row_number = true) l
            ASOF JOIN raisers r ON l.labelled_at <= r.event_time
            WHERE r.sequence < {self._first}
            UNION ALL SELECT {self._first} + sequence, transaction_id, is_fraud
            FROM read_parquet('{folder / "labels.parquet"}')""")

    def _draw(self, entity: str) -> tuple[int, int, int, int]:
        """Fill `drawn`; (entities, of how many, events of the largest, too large)."""
        self._db.execute(f"""
            CREATE OR REPLACE TEMP TABLE sizes AS
            SELECT {entity} AS entity, count(*) AS n, n * n / 2 AS pairs
            FROM every WHERE {entity} IS NOT NULL
            GROUP BY ALL HAVING max(sequence) >= {self._first}""")
        fits = f"pairs <= {PAIRS_MAX / 3}"
        self._db.execute(f"""
            CREATE OR REPLACE TEMP TABLE drawn AS
            SELECT entity, n FROM (
              SELECT *, sum(pairs) OVER among AS all_pairs, sum(n) OVER among AS all_rows
              FROM sizes WHERE {fits}
              WINDOW among AS (ORDER BY hash(entity || '{self._seed}'), entity))
            WHERE all_pairs <= {PAIRS_MAX} AND all_rows <= {ROWS_MAX}""")
        entities, largest = self._one("SELECT count(*), max(n) FROM drawn")
        of, too_large = self._one(f"SELECT count(*), count(*) FILTER (NOT {fits}) FROM sizes")
        return entities, of, largest, too_large

    def _sample(self, entity: str) -> None:
        """The tables that the SQL reads."""
        others = ", ".join(f"NULL AS {c}" for c in ("card_id", "merchant_id", "device_id"))
        self._db.execute(f"""
            CREATE OR REPLACE TEMP TABLE own AS
            SELECT e.* FROM every e JOIN drawn d ON d.entity = e.{entity};
            CREATE OR REPLACE TEMP TABLE labels AS
            SELECT l.* FROM every_label l SEMI JOIN own o USING (transaction_id);
            CREATE OR REPLACE TEMP TABLE carriers AS
            SELECT DISTINCT r.sequence FROM (
              SELECT sequence FROM own UNION ALL SELECT sequence FROM labels) x
            ASOF JOIN raisers r ON x.sequence >= r.sequence
            UNION SELECT min(sequence) FROM raisers;
            CREATE OR REPLACE TEMP TABLE transactions AS
            SELECT * FROM own
            UNION ALL BY NAME
            SELECT * EXCLUDE (before, front, card_id, merchant_id, device_id)
              REPLACE ('carrier-' || sequence AS transaction_id), {others}
            FROM raisers SEMI JOIN carriers USING (sequence) ANTI JOIN own USING (sequence)""")

    def _compare(self, entity: str, part: Catalog) -> Compared:
        entities, of, largest, too_large = self._draw(entity)
        self._sample(entity)
        self._db.execute(f"""
            CREATE OR REPLACE TEMP TABLE want AS SELECT * FROM ({part.sql()})
            SEMI JOIN decided USING (sequence) SEMI JOIN own USING (sequence)""")
        names = [n for n in part.names if n in self._catalog.model_names]
        listed = ", ".join(f'CAST("{n}" AS DOUBLE) AS "{n}"' for n in names)
        found = self._db.execute(
            f"SELECT sequence, {listed} FROM want ORDER BY sequence"
        ).fetchnumpy()
        packed = self._db.execute(
            "SELECT features FROM decided SEMI JOIN want USING (sequence) ORDER BY sequence"
        ).fetchall()
        (missing,) = self._one(
            "SELECT count(*) FROM (SELECT sequence FROM decided SEMI JOIN own USING (sequence)) "
            "ANTI JOIN want USING (sequence)"
        )
        width = len(self._catalog.model_names)
        got = np.frombuffer(b"".join(p for (p,) in packed), "<f4").reshape(-1, width)
        rounded = differing = 0
        for name in names:
            wanted = np.ma.filled(np.ma.asarray(found[name], np.float64), np.nan)
            values = got[:, self._catalog.model_names.index(name)]
            off, wrong = _unequal(values, wanted.astype(np.float32))
            rounded, differing = rounded + int(off.sum()), differing + int(wrong.sum())
            for row in np.flatnonzero(wrong)[:3].tolist():
                sequence = int(found["sequence"][row]) - self._first
                print(f"  {name} at sequence {sequence}: {values[row]}, the SQL {wanted[row]}")
        return Compared(
            entity, entities, of, largest, too_large, len(got), len(names), len(got) * len(names),
            rounded, differing + missing,
        )  # fmt: skip

    def _one(self, query: str) -> tuple[int, ...]:
        row = self._db.execute(query).fetchone()
        assert row is not None
        return tuple(int(value or 0) for value in row)


def _unequal(got: np.ndarray, want: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(bool[n]: unequal by one bit at the end, bool[n]: unequal)."""
    other = ~((got == want) | (np.isnan(got) & np.isnan(want)))
    near = (np.nextafter(got, want) == want) & ~np.isnan(got) & ~np.isnan(want)
    return other & near, other & ~near
