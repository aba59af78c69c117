"""Writing: rows into the tables by COPY, inside one commit of the one that holds the lock.

Rows that are there already are left out before, not by `ON CONFLICT`: that would take a staging
table, and twice the server's time. The lock makes sure that nobody adds any in between; should
anybody, a primary key refuses the whole write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import psycopg

from alcyon.domain.columns import Batch, ColumnType
from alcyon.domain.decision import Decision
from alcyon.domain.hourly import Cell, hourly
from alcyon.domain.label import LABEL_COLUMNS
from alcyon.domain.projected import DecisionRow, Projected
from alcyon.domain.transaction import COLUMNS
from alcyon.io.postgres.packing import Field, field, integers, packed, texts
from alcyon.io.postgres.session import Session

_WIDTHS = {"utc_offset_minutes": 4, "is_fraud": 1}
"""Bytes of the tables' integers; 8 for all others."""
_DECISION_COLUMNS = [name.replace("versions", "versions_id") for name in Decision.__struct_fields__]
_CELL_COLUMNS = Cell.__struct_fields__
_ALERT_COLUMNS = (
    "sequence", "transaction_id", "event_time", "action", "score", "amount_minor", "currency",
    "reason",
)  # fmt: skip
_DEAD_LETTER_COLUMNS = ("sequence", "topic", "position", "reason", "detail", "payload")


def insert(session: Session, connection: psycopg.Connection, projected: Projected) -> None:
    """Add the rows that the tables lack, and count them."""
    new = projected.new(
        _known_ids(connection, projected.decisions), _known_places(connection, projected)
    )
    sequences = np.array([d.sequence for d in new.decisions], np.int64)
    letters = np.array([d.sequence for d in new.dead_letters], np.int64)
    every = np.concatenate([sequences, new.label_sequences, letters])
    session.partitions.make(connection, every)
    _copy_decided(session, connection, new)
    if len(new.labels):
        places = {"sequence": field(new.label_sequences)}
        _copy(connection, "labels", places | _fields(new.labels, LABEL_COLUMNS))
    _copy_rows(connection, "alerts", _ALERT_COLUMNS, _alert_rows(new))
    _copy_rows(connection, "dead_letters", _DEAD_LETTER_COLUMNS, _dead_letter_rows(new))
    _count(connection, new)


def _known_ids(connection: psycopg.Connection, decisions: Sequence[DecisionRow]) -> set[str]:
    ids = [decision.transaction_id for decision in decisions]
    if not ids:
        return set()
    return {row[0] for row in connection.execute(_KNOWN_IDS, (ids,))}


def _known_places(connection: psycopg.Connection, projected: Projected) -> set[int]:
    places = [letter.sequence for letter in projected.dead_letters]
    places += map(int, projected.label_sequences)
    if not places:
        return set()
    span = (min(places), max(places))
    return {row[0] for row in connection.execute(_KNOWN_PLACES, span * 2)}


def _copy_decided(session: Session, connection: psycopg.Connection, new: Projected) -> None:
    decisions = new.decisions
    if not decisions:
        return
    sequences = integers([d.sequence for d in decisions])
    ids = texts([d.transaction_id.encode() for d in decisions])
    _copy(connection, "transaction_ids", {"transaction_id": ids, "sequence": sequences})
    sequence = np.array([d.sequence for d in decisions], np.int64)
    ends = np.cumsum([0, *map(len, new.transactions)]).tolist()
    for batch, (start, stop) in zip(new.transactions, pairwise(ends), strict=True):
        if stop > start:
            places = {
                "sequence": field(sequence[start:stop]),
                "position": field(new.positions[start:stop]),
            }
            _copy(connection, "transactions", places | _fields(batch, COLUMNS))
    versions = _versions(session, connection, decisions)
    fields: list[Field] = [
        sequences,
        ids,
        integers([d.event_time for d in decisions]),
        texts([d.action.encode() for d in decisions]),
        integers([d.score for d in decisions], 4),
        integers([d.probability_ppm for d in decisions], 4),
        _json([bytes(d.members) for d in decisions]),
        _json([bytes(d.codes) for d in decisions]),
        _json([bytes(d.rule_hits) for d in decisions]),
        _json([bytes(d.shadow_hits) for d in decisions]),
        _json([bytes(d.reasons) for d in decisions]),
        texts([d.features for d in decisions]),
        integers(versions, 4),
    ]
    _copy(connection, "decisions", dict(zip(_DECISION_COLUMNS, fields, strict=True)))


def _versions(
    session: Session, connection: psycopg.Connection, decisions: Sequence[DecisionRow]
) -> list[int]:
    """The id of each decision's versions, which few are ever different."""
    encoded = [bytes(d.versions) for d in decisions]
    for versions in set(encoded) - session.versions.keys():
        found = connection.execute(_VERSIONS_ID, {"versions": versions.decode()}).fetchone()
        assert found is not None
        session.versions[versions] = found[0]
    return [session.versions[versions] for versions in encoded]


def _json(values: list[bytes]) -> Field:
    if any(b"\\u0000" in value for value in values):  # jsonb has no such character
        values = [value.replace(b"\\u0000", b"\\ufffd") for value in values]
    return texts(values, is_jsonb=True)


def _fields(batch: Batch, columns: Mapping[str, ColumnType]) -> dict[str, Field]:
    """The columns that the batch has; the others take the table's default, which is null."""
    return {
        name: field(batch.columns[name], _WIDTHS.get(name, 8)) for name in columns if name in batch
    }


def _alert_rows(new: Projected) -> Iterator[tuple[object, ...]]:
    for a in new.alerts:
        yield (
            a.sequence, a.transaction_id, a.event_time, a.action.value, a.score, a.amount_minor,
            a.currency, a.reason,
        )  # fmt: skip


def _dead_letter_rows(new: Projected) -> Iterator[tuple[object, ...]]:
    for d in new.dead_letters:
        detail = d.detail.replace("\0", "\ufffd")  # text has no such character
        yield (d.sequence, d.topic, d.position, d.reason, detail, d.payload)


def _copy(connection: psycopg.Connection, table: str, columns: Mapping[str, Field]) -> None:
    query = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)"
    _send(connection, query, packed(list(columns.values())))


def _send(connection: psycopg.Connection, query: str, stream: bytes) -> None:
    with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
        copy.write(stream)


def _copy_rows(
    connection: psycopg.Connection,
    table: str,
    columns: Sequence[str],
    rows: Iterable[tuple[object, ...]],
) -> None:
    """For the few: row by row."""
    found = list(rows)
    if found:
        query = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
            for row in found:
                copy.write_row(row)


def _count(connection: psycopg.Connection, new: Projected) -> None:
    found = hourly(new)
    if found:
        values = [[getattr(h.cell, name) for h in found] for name in _CELL_COLUMNS]
        values += [[h.decision_count for h in found], [h.amount_base_minor_sum for h in found]]
        connection.execute(_ADD_HOURLY, values)


_KNOWN_IDS = "SELECT transaction_id FROM transaction_ids WHERE transaction_id = ANY(%s)"
_KNOWN_PLACES = (
    "SELECT sequence FROM labels WHERE sequence BETWEEN %s AND %s "
    "UNION ALL SELECT sequence FROM dead_letters WHERE sequence BETWEEN %s AND %s"
)
_VERSIONS_ID = """
WITH found AS (SELECT versions_id FROM versions WHERE versions = %(versions)s::jsonb),
added AS (
    INSERT INTO versions
    SELECT (SELECT coalesce(max(versions_id), 0) + 1 FROM versions), %(versions)s::jsonb
    WHERE NOT EXISTS (SELECT FROM found)
    RETURNING versions_id
)
SELECT versions_id FROM found UNION ALL SELECT versions_id FROM added"""
_ADD_HOURLY = f"""
INSERT INTO hourly_decisions AS h ({", ".join(_CELL_COLUMNS)},
    decision_count, amount_base_minor_sum)
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
    %s::bigint[], %s::numeric[])
ON CONFLICT ({", ".join(_CELL_COLUMNS)}) DO UPDATE SET
    decision_count = h.decision_count + excluded.decision_count,
    amount_base_minor_sum = h.amount_base_minor_sum + excluded.amount_base_minor_sum"""
