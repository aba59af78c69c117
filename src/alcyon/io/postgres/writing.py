"""Writing: rows into the tables by COPY, inside one commit of the one that holds the lock.

Rows that are there already are left out before, not by `ON CONFLICT`: that would take a staging
table, and twice the server's time. The lock makes sure that nobody adds any in between; should
anybody, a primary key refuses the whole write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

import msgspec
import numpy as np
import psycopg

from alcyon.domain.columns import Batch, ColumnType
from alcyon.domain.decision import Action
from alcyon.domain.hourly import DAY_MS, Cell, hourly
from alcyon.domain.label import LABEL_COLUMNS
from alcyon.domain.projected import DecisionRow, Projected, at_stake
from alcyon.domain.transaction import COLUMNS
from alcyon.io.postgres.packing import HEADER, Field, field, integers, packed, texts
from alcyon.io.postgres.session import Session

_WIDTHS = {"utc_offset_minutes": 4, "is_fraud": 1}
"""Bytes of the tables' integers; 8 for all others."""
_ACTIONS = {action.value: action.value.encode() for action in Action}
_CELL_COLUMNS = Cell.__struct_fields__
_ALERT_COLUMNS = (
    "sequence", "transaction_id", "event_time", "action", "score", "amount_minor", "currency",
    "reason", "amount_base_minor", "expected_loss_base_minor",
)  # fmt: skip
_WORD_COLUMNS = ("kind", "word", "event_time", "sequence")
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
        columns = {"sequence": field(new.label_sequences), **_fields(new.labels, LABEL_COLUMNS)}
        _send(connection, "labels", columns, [packed(list(columns.values()))])
    _copy_rows(connection, "decision_words", _WORD_COLUMNS, _word_rows(new.decisions))
    _copy_rows(connection, "alerts", _ALERT_COLUMNS, _alert_rows(new))
    _copy_rows(connection, "dead_letters", _DEAD_LETTER_COLUMNS, _dead_letter_rows(new))
    _count(connection, new)


def _known_ids(connection: psycopg.Connection, decisions: Sequence[DecisionRow]) -> set[str]:
    ids = [decision.transaction_id for decision in decisions]
    if not ids:
        return set()
    # One text instead of an array: no id has a control character.
    return {row[0] for row in connection.execute(_KNOWN_IDS, ("\x1f".join(ids),))}


def _known_places(connection: psycopg.Connection, projected: Projected) -> set[int]:
    places = [letter.sequence for letter in projected.dead_letters]
    places += map(int, projected.label_sequences)
    if not places:
        return set()
    span = (min(places), max(places))
    return {row[0] for row in connection.execute(_KNOWN_PLACES, span * 2)}


def _copy_decided(session: Session, connection: psycopg.Connection, new: Projected) -> None:
    """Into each table by one COPY for rows of the same columns, packed part by part."""
    streams: dict[tuple[str, ...], list[memoryview]] = {}
    start = 0
    for batch in new.transactions:
        stop = start + len(batch)
        decisions, positions = new.decisions[start:stop], new.positions[start:stop]
        start = stop
        if not decisions:
            continue
        sequence = integers([d.sequence for d in decisions])
        ids = field(batch.columns["transaction_id"])
        for table, columns in (
            ("transaction_ids", {"transaction_id": ids, "sequence": sequence}),
            (
                "transactions",
                {"sequence": sequence, "position": field(positions), **_fields(batch, COLUMNS)},
            ),
            ("decisions", _decision_fields(session, connection, decisions, sequence, ids)),
        ):
            stream = streams.setdefault((table, *columns), [])
            stream.append(packed(list(columns.values())))
    for (table, *names), stream in streams.items():
        _send(connection, table, names, stream)


def _decision_fields(
    session: Session,
    connection: psycopg.Connection,
    decisions: Sequence[DecisionRow],
    sequence: Field,
    ids: Field,
) -> dict[str, Field]:
    return {
        "sequence": sequence,
        "transaction_id": ids,
        "event_time": integers([d.event_time for d in decisions]),
        "action": texts([_ACTIONS[d.action] for d in decisions]),
        "score": integers([d.score for d in decisions], 4),
        "probability_ppm": integers([d.probability_ppm for d in decisions], 4),
        "members": _json([d.members for d in decisions]),
        "codes": _json([d.codes for d in decisions]),
        "rule_hits": _json([d.rule_hits for d in decisions]),
        "shadow_hits": _json([d.shadow_hits for d in decisions]),
        "reasons": _json([d.reasons for d in decisions]),
        "features": texts([d.features for d in decisions]),
        "versions_id": integers(_versions(session, connection, decisions), 4),
        "challenger": _json([d.challenger for d in decisions]),
        "propensity_ppm": integers([d.propensity_ppm for d in decisions], 4),
    }


def _versions(
    session: Session, connection: psycopg.Connection, decisions: Sequence[DecisionRow]
) -> list[int]:
    """The id of each decision's versions, which few are ever different."""
    ids: list[int] = []
    for versions, run in groupby(decisions, key=attrgetter("versions")):
        encoded = bytes(versions)
        if encoded not in session.versions:
            named = {"versions": encoded.decode()}
            found = connection.execute(_VERSIONS_ID, named).fetchone()
            assert found is not None
            session.versions[encoded] = found[0]
        ids += [session.versions[encoded]] * len(list(run))
    return ids


def _json(values: Sequence[msgspec.Raw]) -> Field:
    made = texts(values, is_jsonb=True)
    if b"\\u0000" in made.strings.data.tobytes():  # jsonb has no such character
        made = texts([bytes(v).replace(b"\\u0000", b"\\ufffd") for v in values], is_jsonb=True)
    return made


def _fields(batch: Batch, columns: Mapping[str, ColumnType]) -> dict[str, Field]:
    """The columns that the batch has; the others take the table's default, which is null."""
    return {
        name: field(batch.columns[name], _WIDTHS.get(name, 8)) for name in columns if name in batch
    }


def _word_rows(decisions: Iterable[DecisionRow]) -> Iterator[tuple[object, ...]]:
    for d in decisions:
        for kind, word in d.words():
            # text has no such character
            yield kind, word.replace("\0", "\ufffd"), d.event_time, d.sequence


def _alert_rows(new: Projected) -> Iterator[tuple[object, ...]]:
    for a, stake in zip(new.alerts, at_stake(new), strict=True):
        yield (
            a.sequence, a.transaction_id, a.event_time, a.action.value, a.score, a.amount_minor,
            a.currency, a.reason, stake.amount_base_minor, stake.expected_loss_base_minor,
        )  # fmt: skip


def _dead_letter_rows(new: Projected) -> Iterator[tuple[object, ...]]:
    for d in new.dead_letters:
        detail = d.detail.replace("\0", "\ufffd")  # text has no such character
        yield (d.sequence, d.topic, d.position, d.reason, detail, d.payload)


def _send(
    connection: psycopg.Connection, table: str, columns: Iterable[str], stream: Iterable[memoryview]
) -> None:
    query = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)"
    with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
        copy.write(HEADER)
        for rows in stream:
            copy.write(rows)


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
        connection.execute(_ADD_COUNTS, values)


_KNOWN_IDS = (
    "SELECT transaction_id FROM transaction_ids "
    "WHERE transaction_id = ANY(string_to_array(%s, chr(31)))"
)
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
_WORDS = ", ".join(_CELL_COLUMNS[1:])
_SUMS = "decision_count, amount_base_minor_sum"
_ADD = """DO UPDATE SET
    decision_count = h.decision_count + excluded.decision_count,
    amount_base_minor_sum = h.amount_base_minor_sum + excluded.amount_base_minor_sum"""
_ADD_COUNTS = f"""
WITH counted (hour_ms, {_WORDS}, {_SUMS}) AS (
    SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
        %s::bigint[], %s::numeric[])
),
by_hour AS (
    INSERT INTO hourly_decisions AS h (hour_ms, {_WORDS}, {_SUMS})
    SELECT * FROM counted
    ON CONFLICT (hour_ms, {_WORDS}) {_ADD}
)
INSERT INTO daily_decisions AS h (day_ms, {_WORDS}, {_SUMS})
SELECT hour_ms - hour_ms %% {DAY_MS}, {_WORDS}, sum(decision_count), sum(amount_base_minor_sum)
FROM counted GROUP BY hour_ms - hour_ms %% {DAY_MS}, {_WORDS}
ON CONFLICT (day_ms, {_WORDS}) {_ADD}"""
