"""The checks after the kills. Each says what is wrong in a line; no line is what is wanted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import redis

from alcyon.detectors.loading import load_detector
from alcyon.domain.errors import ModelError
from alcyon.domain.read_model import unpack
from alcyon.features.kernel import Kernel
from alcyon.features.layout import Layout
from alcyon.io.kafka import Connection, KafkaCommits, KafkaRecorded
from alcyon.io.redis import CARD, COVERED
from alcyon.runners.stream.deciding import Means
from alcyon.runners.stream.replay import Recording, replay
from alcyon.scoring.model import Model
from alcyon.sections import TokenSettings
from stream_kill_oracle import Oracle
from stream_kill_read import NAMES, committed, key_of, order, postgres, projected, topics
from stream_kill_traffic import Sent, name_of
from stream_kill_victims import DETECTOR

DRAIN_S_MAX = 300.0
CARDS_MAX = 5000
"""Of the read model, so many are looked at."""


def end_of(transactions: Path) -> int:
    """Event time (UTC ms) of the history's last transaction."""
    last = pq.read_table(transactions, columns=["event_time"])["event_time"][-1]
    return int(last.as_py().timestamp() * 1000)


def drained(set_to: Mapping[str, str], sent: Sent, violations: list[str]) -> None:
    """Wait until all that was acknowledged is decided, and the projections have all of it."""
    bootstrap, deadline = set_to["ALCYON_KAFKA__BOOTSTRAP"], time.monotonic() + DRAIN_S_MAX
    wanted = {topic.upper(): n for topic, n in sent.acknowledged.items()}
    began = time.monotonic()
    while True:
        applied, commits = committed(bootstrap)
        is_decided = all(applied.get(topic, 0) >= n for topic, n in wanted.items())
        stores = {"postgres": projected(set_to), "redis": _covered(set_to)}
        if is_decided and all(n == commits for n in stores.values()):
            break
        if time.monotonic() > deadline:
            violations.append(f"not drained: {applied} of {wanted}, {stores} of {commits} commits")
            break
        time.sleep(0.5)
    print(f"drained in {time.monotonic() - began:.1f} s: {applied} in {commits} commits")


def _covered(set_to: Mapping[str, str]) -> int:
    with redis.Redis.from_url(set_to["ALCYON_REDIS__URL"]) as client:
        value = client.get(COVERED)
    return int(value.split()[2]) if isinstance(value, bytes) else 0


class Check:
    """All checks over one run."""

    def __init__(
        self, seed: int, folder: Path, past: Path, set_to: Mapping[str, str], sent: Sent
    ) -> None:
        self._seed, self._folder, self._past = seed, folder, past
        self._set_to, self._sent = set_to, sent
        self._bootstrap = set_to["ALCYON_KAFKA__BOOTSTRAP"]
        self._detector = load_detector(str(DETECTOR))
        self._db = duckdb.connect()
        self._wrong: list[str] = []
        self.found: dict[str, Any] = {}

    def all(self, violations: list[str]) -> dict[str, Any]:
        """What was found, for the report; what is wrong is added to `violations`."""
        steps: list[Callable[[], None]] = [
            self._read, self._ids, self._order, self._stores, self._read_model, self._features,
            self._replay,
        ]  # fmt: skip
        for step in steps:
            began = time.monotonic()
            step()
            print(f"{step.__name__[1:]}: {time.monotonic() - began:.1f} s", flush=True)
        violations += self._wrong
        return self.found

    def _none(self, what: str, query: str) -> None:
        """The query must give no row."""
        rows = self._db.execute(query).fetchall()
        if rows:
            self._wrong.append(f"{len(rows)} {what}, such as {rows[:3]}")

    def _count(self, query: str) -> int:
        row = self._db.execute(query).fetchone()
        assert row is not None
        return int(row[0])

    def _read(self) -> None:
        folder = self._folder
        topics(self._bootstrap, folder)
        self.found["records"] = order(self._bootstrap, folder)
        postgres(self._set_to["ALCYON_POSTGRES__DSN"], folder)
        numbers, sent = pa.array(self._sent.transactions, pa.int64()), self._sent
        acked = pa.table({"number": numbers})
        poison = pa.table({"key": pa.array([key_of(p) for p in sent.poison], pa.string())})
        for name, table in (("acked", acked), ("poison", poison)):
            pq.write_table(table, folder / f"{name}.parquet")
        self._db.execute("SET memory_limit = '4GB'")
        for file in sorted(folder.glob("*.parquet")):
            self._db.execute(f"CREATE VIEW {file.stem} AS FROM read_parquet('{file}')")
        for file in sorted(folder.glob("pg_*.csv")):
            names = ["sequence", "transaction_id", "action", "features"]
            wide = {"pg_decisions": 4, "pg_dead_letters": 1}.get(file.stem, 2)
            self._db.execute(
                f"CREATE VIEW {file.stem} AS FROM read_csv('{file}', header = false, "
                f"names = {names[:wide]}, all_varchar = true)"
            )

    def _ids(self) -> None:
        """Every acknowledged id has one decision; what is no good is a dead letter, once."""
        prefix = name_of(self._seed, 0)[:-1]
        name = f"'{prefix}' || number"
        self._none("acknowledged without a decision", f"SELECT {name} FROM acked "
                   f"WHERE {name} NOT IN (SELECT transaction_id FROM decisions)")  # fmt: skip
        self._none("decided more than once", "SELECT transaction_id, count(*) FROM decisions "
                   "GROUP BY ALL HAVING count(*) > 1")  # fmt: skip
        self._none("sequences twice", "SELECT sequence, count(*) FROM decisions GROUP BY ALL "
                   "HAVING count(*) > 1")  # fmt: skip
        self._none("decisions out of order", "SELECT sequence FROM (SELECT sequence, "
                   "lag(sequence) OVER (ORDER BY \"offset\") AS before FROM decisions) "
                   "WHERE sequence <= before")  # fmt: skip
        self._none("decided that were never sent", "SELECT transaction_id FROM decisions WHERE "
                   f"NOT starts_with(transaction_id, '{prefix}') OR "
                   f"CAST(substr(transaction_id, {len(prefix) + 1}) AS BIGINT) "
                   f">= {self._sent.handed_over}")  # fmt: skip
        self._none("no good and no dead letter", "FROM poison ANTI JOIN letters USING (key)")
        self._none("dead letters twice", "SELECT sequence FROM letters GROUP BY ALL "
                   "HAVING count(*) > 1")  # fmt: skip
        alerting = "SELECT sequence, transaction_id FROM decisions WHERE action <> 'APPROVE'"
        alerts = "SELECT sequence, transaction_id FROM alerts"
        self._none("alerts that are not those of the decisions", _differ(alerts, alerting))
        self.found["decisions"] = self._count("SELECT count(*) FROM decisions")
        self.found["dead_letters"] = dict(
            self._db.execute("SELECT reason, count(*) FROM letters GROUP BY ALL").fetchall()
        )
        self.found["alerts"] = self._count("SELECT count(*) FROM alerts")
        # A transaction leaves a marker, one offset; more are records that were never committed.
        gaps = 'SELECT "offset" - lag("offset") OVER (ORDER BY "offset") AS n FROM decisions'
        self.found["aborted_commits"] = self._count(f"SELECT count(*) FROM ({gaps}) WHERE n > 3")
        print(f"{self.found['decisions']:,} decisions, {self.found['alerts']:,} alerts, dead "
              f"letters {self.found['dead_letters']}; {self.found['aborted_commits']} commits were "
              "cut short and are not seen")  # fmt: skip

    def _order(self) -> None:
        """Each decision is on the record at its sequence, the first with its id."""
        history = pq.read_metadata(self._past / "t.parquet").num_rows
        begun = self._count("SELECT min(sequence) FROM decisions")
        if begun < history:
            self._wrong.append(f"the first decision has sequence {begun}: no history was used")
        self._none("decisions that are not on the first record of their id", _differ(
            "SELECT sequence, transaction_id FROM decisions",
            "SELECT min(sequence), transaction_id FROM transactions GROUP BY ALL"))  # fmt: skip

    def _stores(self) -> None:
        """Postgres has what the log has."""
        same = {
            "decisions": ("pg_decisions", "sequence, transaction_id, action, features",
                          "SELECT sequence, transaction_id, action, lower(hex(features)) "
                          "FROM decisions"),
            "ids": ("pg_ids", "sequence, transaction_id",
                    "SELECT sequence, transaction_id FROM decisions"),
            "transactions": ("pg_transactions", "sequence, transaction_id",
                             "SELECT sequence, transaction_id FROM decisions"),
            "alerts": ("pg_alerts", "sequence, transaction_id",
                       "SELECT sequence, transaction_id FROM alerts"),
            "labels": ("pg_labels", "sequence, transaction_id",
                       "SELECT sequence, transaction_id FROM labels"),
            "dead letters": ("pg_dead_letters", "sequence", "SELECT sequence FROM letters"),
        }  # fmt: skip
        for what, (table, columns, logged) in same.items():
            typed = f"SELECT {columns.replace('sequence', 'CAST(sequence AS BIGINT)', 1)}"
            self._none(f"{what} of Postgres that are not the log's", _differ(
                f"{typed} FROM {table}", logged))  # fmt: skip

    def _read_model(self) -> None:
        """Redis has each card's last decision."""
        rows = self._db.execute(f"""
            SELECT card_id, max(sequence) FROM transactions SEMI JOIN decisions USING (sequence)
            GROUP BY card_id ORDER BY hash(card_id || '{self._seed}')
            LIMIT {CARDS_MAX}""").fetchall()
        with redis.Redis.from_url(self._set_to["ALCYON_REDIS__URL"]) as client:
            blobs: list[bytes | None] = client.mget([CARD + card for card, _ in rows])  # type: ignore[assignment]
        wrong = [
            (card, sequence)
            for (card, sequence), blob in zip(rows, blobs, strict=True)
            if blob is None or unpack(blob).sequence != sequence
        ]
        if wrong:
            self._wrong.append(f"{len(wrong)} cards whose last decision Redis lacks: {wrong[:3]}")
        self.found["read_model_cards"] = len(rows)

    def _features(self) -> None:
        """Features equal the SQL's."""
        compared = []
        oracle = Oracle(self._folder, self._past, self._detector.catalog, self._seed)
        for part in oracle.compared():
            compared.append(part)
            print(
                f"{part.entity}: {part.entities:,} of {part.of:,} drawn, each with all its events "
                f"(at most {part.events_max:,}; {part.too_large} larger ones left out); "
                f"{part.decisions:,} decisions, {part.values:,} values, {part.differing} differ, "
                f"{part.rounded_otherwise} by the last bit of a float32"
            )
            if part.differing or not part.decisions:
                self._wrong.append(f"features of {part.entity} differ from the SQL: {part}")
        self.found["oracle"] = msgspec.to_builtins(compared)

    def _replay(self) -> None:
        """Every decision again, from the warmed state, in batches of another size."""
        connection = Connection(self._bootstrap)
        means = Means(TokenSettings().keys(), _no_model, self._detector.columns)
        with (
            closing(KafkaCommits(connection, NAMES)) as log,
            closing(KafkaRecorded(connection, NAMES)) as source,
        ):
            recording = Recording(source, log, self._past / "state")
            kernel = Kernel(Layout(self._detector.catalog))
            replayed = replay(kernel, recording, means, batch_max=1000)
        print(f"{replayed.compared:,} decisions replayed, {replayed.differing} differ")
        self.found["replayed"] = replayed.compared
        if replayed.differing or replayed.compared != self.found["decisions"]:
            self._wrong.append(f"{replayed.differing} of {replayed.compared} decisions come out "
                               f"otherwise: {replayed.differences[:1]}")  # fmt: skip


def _differ(one: str, other: str) -> str:
    return f"(({one}) EXCEPT ALL ({other})) UNION ALL (({other}) EXCEPT ALL ({one}))"


def _no_model(name: str) -> Model:
    raise ModelError(f"there is no model {name}")
