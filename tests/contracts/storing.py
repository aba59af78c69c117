"""What the suites of the stores share: how each is opened, and what is written into it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from pathlib import Path

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from alcyon.codecs.decisions import encode
from alcyon.domain.alert import alert
from alcyon.domain.columns import NULL_INT, Batch, Column, Strings, concatenate
from alcyon.domain.decision import Decision, Reason, Versions
from alcyon.domain.ports import Store
from alcyon.domain.projected import Projected, decision_rows
from alcyon.domain.record import DeadLetter
from alcyon.io.memory import MemoryStore
from alcyon.io.postgres import PostgresStore
from alcyon.io.sqlite import SqliteStore
from services import Postgres

TABLES = ("transactions", "decisions", "labels", "alerts", "dead_letters")
HOUR_MS = 3_600_000
_numbers = count()


def server(request: pytest.FixtureRequest) -> str:
    """The DSN of a Postgres server; skips where none can be started."""
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.dsn


@contextmanager
def empty_schema(dsn: str) -> Iterator[str]:
    """The DSN of a place in that database which nobody else uses."""
    name = f"test_{next(_numbers)}_{random.randrange(10**9)}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
        try:
            yield make_conninfo(dsn, options=f"-csearch_path={name}")
        finally:
            connection.execute(f"DROP SCHEMA {name} CASCADE".encode())


@contextmanager
def opened(kind: type, folder: Path, postgres: Callable[[], str]) -> Iterator[Store]:
    """An empty store of this kind. postgres: gives the DSN of a server, where one is needed."""
    with ExitStack() as stack:
        store: Store
        if kind is PostgresStore:
            store = PostgresStore(stack.enter_context(empty_schema(postgres())))
        elif kind is SqliteStore:
            store = SqliteStore(folder / "alcyon.sqlite")
        else:
            assert kind is MemoryStore, f"tell this suite how {kind.__name__} is opened"
            store = MemoryStore()
        yield stack.enter_context(closing(store))


def decision(sequence: int, transaction_id: str, action: str = "APPROVE") -> Decision:
    """A decision with something in every field."""
    return Decision(
        sequence, transaction_id, 10**12 + sequence, action, 700, 1234, {"trees": 0.25},
        ("late_transaction",), ("r1", "r2"), (), (Reason("velocity", "card_count_10m", 3.0, 0.5),),
        b"\x00\x01\xff\xfe", Versions("1", "c", "r", "l", "p", "m", "t"),
    )  # fmt: skip


def transactions_of(decisions: Sequence[Decision]) -> Batch:
    """The transactions they are on, each by a card of its own."""
    n = len(decisions)
    return Batch(
        {
            "transaction_id": Strings.from_list([d.transaction_id for d in decisions]),
            "event_time": np.array([d.event_time for d in decisions], np.int64),
            "amount_minor": np.full(n, 990, np.int64),
            "currency": Strings.from_list(["EUR"] * n),
            "card_id": Strings.from_list([f"card-{d.transaction_id}" for d in decisions]),
        }
    )


def projected(
    index: int, decisions: Sequence[Decision], parts: Sequence[Batch] | None = None
) -> Projected:
    """One commit: these decisions, one label, one dead letter."""
    after = decisions[-1].sequence + 1
    labels = Batch(
        {
            "label_id": Strings.from_list([f"label-{index}"]),
            "transaction_id": Strings.from_list([decisions[0].transaction_id]),
            "is_fraud": np.ones(1, np.int64),
            "source": Strings.from_list(["analyst"]),
            "labelled_at": np.full(1, 10**12, np.int64),
        }
    )
    return Projected(
        index, index + 1, [transactions_of(decisions)] if parts is None else parts,
        np.arange(len(decisions)), decision_rows(encode(decisions)), labels, np.array([after]),
        [alert(d, 990, "EUR") for d in decisions if d.action != "APPROVE"],
        [DeadLetter(after + 1, "TRANSACTIONS", 9, "invalid_json", "why", b"{")],
    )  # fmt: skip


class RandomLog:
    """Random commits, ids repeated among them, and any run of them as one write."""

    def __init__(self, seed: int, commits: int) -> None:
        self._rng = random.Random(seed)
        self._sequence = self._rng.choice([0, 1_000, 9_999_990])
        self.commits = [self._commit(index) for index in range(commits)]
        self.ids = {d.transaction_id for commit in self.commits for d in commit.decisions}

    def run(self, first: int, end: int) -> Projected:
        """The commits [first, end)."""
        parts = self.commits[first:end]
        return Projected(
            first, end,
            [batch for p in parts for batch in p.transactions],
            np.concatenate([p.positions for p in parts]),
            [d for p in parts for d in p.decisions],
            concatenate([p.labels for p in parts]),
            np.concatenate([p.label_sequences for p in parts]),
            [a for p in parts for a in p.alerts],
            [letter for p in parts for letter in p.dead_letters],
        )  # fmt: skip

    def runs(self) -> Iterator[Projected]:
        """Writes that go on, overlap and repeat, and together reach the end."""
        at, end = 0, len(self.commits)
        while at < end:
            first = max(0, at - self._rng.choice([0, 0, 1, 3]))
            upto = min(end, first + self._rng.randint(1, 4))
            yield self.run(first, upto)
            at = max(at, upto)

    def _commit(self, index: int) -> Projected:
        rng = self._rng
        decisions = []
        for _ in range(rng.randint(1, 8)):
            decisions.append(self._decision(self._sequence))
            self._sequence += rng.randint(1, 3)
        self._sequence += 4
        cut = rng.randint(0, len(decisions))
        parts = [self._transactions(part) for part in (decisions[:cut], decisions[cut:]) if part]
        return projected(index, decisions, parts)

    def _decision(self, sequence: int) -> Decision:
        rng = self._rng
        is_scored = rng.random() < 0.8
        codes = rng.choice([(), (), ("late_transaction",), ('b"\\\té', "a")])
        reasons = tuple(
            Reason(rng.choice(["base_rate", "velocity", "amount"]), None, None, rng.uniform(-1, 1))
            for _ in range(rng.choice([0, 0, 3]))
        )
        return Decision(
            sequence, f"t{rng.randrange(60)}", 10**12 + rng.randrange(4 * HOUR_MS),
            rng.choice(["APPROVE", "APPROVE", "STEP_UP", "REVIEW", "DECLINE"]),
            rng.randrange(1001) if is_scored else None, 5 if is_scored else None,
            {"trees": rng.random(), "a": 1e-17} if is_scored else {}, codes, (), ("r1",), reasons,
            rng.randbytes(8), Versions("1", "c", "r", "l", "p", rng.choice("mn"), "t"),
        )  # fmt: skip

    def _transactions(self, decisions: Sequence[Decision]) -> Batch:
        rng, n = self._rng, len(decisions)

        def words(*values: str | None) -> Strings:
            return Strings.from_list([rng.choice(values) for _ in range(n)])

        columns: dict[str, Column] = {
            "card_id": words("c1", "c2", "c\\3", None),
            "country": words("FR", "DE", "", None),
            "category": words("food", "trável", None),
            "amount_base_minor": np.array([rng.choice([NULL_INT, 0, 5, 10**15]) for _ in range(n)]),
            "latitude": np.array([rng.choice([np.nan, -1.25, 0.1]) for _ in range(n)]),
            "utc_offset_minutes": np.array([rng.choice([NULL_INT, -60, 60]) for _ in range(n)]),
        }
        given = {name: column for name, column in columns.items() if rng.random() < 0.8}
        return Batch({**transactions_of(decisions).columns, **given})
