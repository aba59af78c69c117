"""What outsiders read after the kills, as parquet files: topics, Postgres, the recorded order."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import redis
from confluent_kafka import Message, TopicPartition

from alcyon.domain.record import Record, Topic
from alcyon.io.kafka import Connection, KafkaCommits, KafkaRecorded, TopicNames
from alcyon.io.kafka.entries import Entries
from alcyon.io.redis import COVERED
from stream_kill_victims import consumer

NAMES = TopicNames()
_QUIET_S = 20.0
_KEY = re.compile(rb"bad\d+-\d+|no record \d+|no label \d+|k\d+-\d+")
_TABLES = {
    "pg_decisions": "SELECT sequence, transaction_id, action, encode(features, 'hex') "
    "FROM decisions",
    "pg_ids": "SELECT sequence, transaction_id FROM transaction_ids",
    "pg_transactions": "SELECT sequence, transaction_id FROM transactions",
    "pg_alerts": "SELECT sequence, transaction_id FROM alerts",
    "pg_labels": "SELECT sequence, transaction_id FROM labels",
    "pg_dead_letters": "SELECT sequence FROM dead_letters",
}


class _Decision(msgspec.Struct):
    sequence: int
    transaction_id: str
    event_time: int
    action: str
    features: bytes


class _Alert(msgspec.Struct):
    sequence: int
    transaction_id: str


class _Letter(msgspec.Struct):
    sequence: int
    topic: str
    reason: str
    payload: bytes


class _Transaction(msgspec.Struct):
    transaction_id: str
    event_time: int
    amount_minor: int
    currency: str
    card_id: str
    merchant_id: str | None = None
    device_id: str | None = None
    ip: str | None = None
    email_hash: str | None = None
    channel: str | None = None
    country: str | None = None
    amount_base_minor: int | None = None
    latitude: float | None = None
    longitude: float | None = None
    utc_offset_minutes: int | None = None


class _Label(msgspec.Struct):
    transaction_id: str
    is_fraud: bool


COLUMNS = _Transaction.__struct_fields__
_TIME = pa.timestamp("ms", tz="UTC")
_DECISIONS = pa.schema(
    [("offset", pa.int64()), ("sequence", pa.int64()), ("transaction_id", pa.string()),
     ("event_time", pa.int64()), ("action", pa.string()), ("features", pa.binary())]
)  # fmt: skip
_ALERTS = pa.schema([("sequence", pa.int64()), ("transaction_id", pa.string())])
_LETTERS = pa.schema([(n, pa.string()) for n in ("topic", "reason", "key")]).insert(
    0, pa.field("sequence", pa.int64())
)
_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64()}
_TRANSACTIONS = pa.schema(
    [("sequence", pa.int64()), ("transaction_id", pa.string()), ("event_time", _TIME),
     ("amount_minor", pa.int64()), ("currency", pa.string()), ("card_id", pa.string()),
     ("merchant_id", pa.string()), ("device_id", pa.string()), ("ip", pa.string()),
     ("email_hash", pa.string()), ("channel", pa.string()), ("country", pa.string()),
     ("amount_base_minor", pa.int64()), ("latitude", pa.float64()), ("longitude", pa.float64()),
     ("utc_offset_minutes", pa.int32())]
)  # fmt: skip
_LABELS = pa.schema(
    [("sequence", pa.int64()), ("transaction_id", pa.string()), ("is_fraud", pa.int64())]
)
Row = tuple[Any, ...]


class Table:
    """Rows into a parquet file, some at a time."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self._schema, self._writer = schema, pq.ParquetWriter(file, schema)

    def add(self, rows: Sequence[Row]) -> None:
        """Rows in the schema's order."""
        if rows:
            columns = zip(*rows, strict=True)
            arrays = [pa.array(c, f.type) for c, f in zip(columns, self._schema, strict=True)]
            self._writer.write_table(pa.table(arrays, schema=self._schema))

    def close(self) -> None:
        """Called once, last."""
        self._writer.close()


def key_of(payload: bytes) -> str:
    """What tells a payload that is no good from all others."""
    found = _KEY.search(payload)
    return found[0].decode() if found else repr(payload[:80])


def topics(bootstrap: str, folder: Path) -> None:
    """decisions, alerts and dead letters, as a reader of committed records has them."""
    decision = msgspec.json.Decoder(_Decision).decode
    alert, letter = msgspec.json.Decoder(_Alert).decode, msgspec.json.Decoder(_Letter).decode

    def decision_row(message: Message) -> Row:
        d = decision(message.value() or b"")
        return message.offset(), d.sequence, d.transaction_id, d.event_time, d.action, d.features

    def alert_row(message: Message) -> Row:
        a = alert(message.value() or b"")
        return a.sequence, a.transaction_id

    def letter_row(message: Message) -> Row:
        x = letter(message.value() or b"")
        return x.sequence, x.topic, x.reason, key_of(x.payload)

    _topic(bootstrap, "decisions", Table(folder / "decisions.parquet", _DECISIONS), decision_row)
    _topic(bootstrap, "alerts", Table(folder / "alerts.parquet", _ALERTS), alert_row)
    _topic(bootstrap, "dead-letters", Table(folder / "letters.parquet", _LETTERS), letter_row)


def _topic(bootstrap: str, name: str, table: Table, row: Callable[[Message], Row]) -> None:
    reader = consumer(bootstrap, "read_committed")
    part = TopicPartition(name, 0, 0)
    reader.assign([part])
    _, end = reader.get_watermark_offsets(part, 10)
    at, heard = 0, time.monotonic()
    while at < end:
        messages = [m for m in reader.consume(5000, 0.5) if m.error() is None]
        table.add([row(m) for m in messages])
        # The position moves over markers and aborted records, too.
        at = max([at, *(p.offset for p in reader.position([part]))])
        heard = time.monotonic() if messages else heard
        if time.monotonic() > heard + _QUIET_S:
            break
        if not messages and at >= end - 1000 and time.monotonic() > heard + 3:
            break  # what is left are markers
    table.close()
    reader.close()


def order(bootstrap: str, folder: Path) -> dict[str, int]:
    """Transactions and labels with their sequences; how many records of each topic there are."""
    transaction = msgspec.json.Decoder(_Transaction).decode
    label = msgspec.json.Decoder(_Label).decode
    transactions = Table(folder / "transactions.parquet", _TRANSACTIONS)
    labels = Table(folder / "labels.parquet", _LABELS)
    dead = set(pq.read_table(folder / "letters.parquet")["sequence"].to_pylist())
    counts: dict[str, int] = dict.fromkeys((t.name for t in Topic), 0)
    for sequence, records in recorded(bootstrap):
        numbered = [(s, r) for s, r in enumerate(records, sequence)]
        for record in records:
            counts[record.topic.name] += 1
        good = [(s, r) for s, r in numbered if s not in dead]
        taken = [(s, transaction(r.payload)) for s, r in good if r.topic is Topic.TRANSACTIONS]
        transactions.add([(s, *_values(t)) for s, t in taken])
        said = [(s, label(r.payload)) for s, r in good if r.topic is Topic.LABELS]
        labels.add([(s, x.transaction_id, int(x.is_fraud)) for s, x in said])
    transactions.close()
    labels.close()
    return counts


def _values(t: _Transaction) -> Row:
    base = t.amount_base_minor
    if base is None:
        assert t.currency == "EUR"
        t.amount_base_minor = t.amount_minor
    return tuple(getattr(t, name) for name in _TRANSACTIONS.names[1:])


def recorded(bootstrap: str) -> Iterator[tuple[int, list[Record]]]:
    """All committed records in the recorded order, each part with its first sequence."""
    connection = Connection(bootstrap)
    with (
        closing(KafkaCommits(connection, NAMES)) as log,
        closing(KafkaRecorded(connection, NAMES)) as source,
    ):
        last = log.last()
        assert last is not None
        source.seek(0)
        first = log.read(0, 1)[0].first_sequence
        position = 0
        while position < last.position:
            records = source.poll(5000, 10)
            if not records:
                raise RuntimeError(f"the recorded order ends at {position}, not {last.position}")
            yield first + position, records
            position += len(records)


def postgres(dsn: str, folder: Path) -> None:
    """The tables, as COPY gives them."""
    with psycopg.connect(dsn) as connection:
        for name, query in _TABLES.items():
            with (
                (folder / f"{name}.csv").open("wb") as file,
                connection.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT csv)") as copy,
            ):
                for part in copy:
                    file.write(part)


def committed(bootstrap: str) -> tuple[dict[str, int], int]:
    """(records of each topic that are committed, how many commits there are)."""
    connection = Connection(bootstrap)
    with (
        closing(KafkaCommits(connection, NAMES)) as log,
        closing(Entries(connection, NAMES.commits)) as entries,
    ):
        last, entry = log.last(), entries.last()
        return (last.applied, entry.index + 1) if last and entry else ({}, 0)


def projected(set_to: Mapping[str, str]) -> int:
    """How many commits are in Postgres."""
    with psycopg.connect(set_to["ALCYON_POSTGRES__DSN"]) as connection:
        row = connection.execute("SELECT next_index FROM projection_position").fetchone()
        return int(row[0]) if row else 0


def stored(set_to: Mapping[str, str]) -> int:
    """The newest sequence that both Postgres and Redis have; -1 while one is away or has none."""
    try:
        with (
            psycopg.connect(set_to["ALCYON_POSTGRES__DSN"], connect_timeout=2) as connection,
            redis.Redis.from_url(set_to["ALCYON_REDIS__URL"], socket_timeout=2) as client,
        ):
            row = connection.execute("SELECT max(sequence) FROM decisions").fetchone()
            covered = client.get(COVERED)
    except (psycopg.Error, redis.RedisError):
        return -1
    if row is None or row[0] is None or not isinstance(covered, bytes):
        return -1
    return min(int(row[0]), int(covered.split()[3]))
