"""What every store does, whatever keeps the tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alcyon.domain.alert import alert
from alcyon.domain.columns import Batch, Strings
from alcyon.domain.decision import Decision, Reason, Versions
from alcyon.domain.ports import Store
from alcyon.domain.projected import Projected, StoreError
from alcyon.domain.record import DeadLetter
from alcyon.io.memory import MemoryStore
from alcyon.io.sqlite import SqliteStore
from tests.contracts.discovery import implementers

OPENERS: dict[type, Callable[[Path], Store]] = {
    SqliteStore: lambda folder: SqliteStore(folder / "alcyon.sqlite"),
    MemoryStore: lambda folder: MemoryStore(),
}


@pytest.fixture(params=sorted(implementers(Store), key=str))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    assert request.param in OPENERS, f"tell this suite how {request.param.__name__} is opened"
    return OPENERS[request.param](tmp_path)


def decision(sequence: int, transaction_id: str, action: str = "APPROVE") -> Decision:
    return Decision(
        sequence, transaction_id, 10**12 + sequence, action, 700, 1234, {"trees": 0.25},
        ("late_transaction",), ("r1", "r2"), (), (Reason("velocity", "card_count_10m", 3.0, 0.5),),
        b"\x00\x01\xff\xfe", Versions("1", "c", "r", "l", "p", "m", "t"),
    )  # fmt: skip


def projected(index: int, decisions: list[Decision]) -> Projected:
    """One commit: these decisions, one label, one dead letter."""
    n, after = len(decisions), decisions[-1].sequence + 1
    batch = Batch(
        {
            "transaction_id": Strings.from_list([d.transaction_id for d in decisions]),
            "event_time": np.array([d.event_time for d in decisions], np.int64),
            "amount_minor": np.full(n, 990, np.int64),
            "currency": Strings.from_list(["EUR"] * n),
        }
    )
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
        index, index + 1, [batch], np.arange(n), decisions, labels, np.array([after]),
        [alert(d, 990, "EUR") for d in decisions if d.action != "APPROVE"],
        [DeadLetter(after + 1, "TRANSACTIONS", 9, "invalid_json", "why", b"{")],
    )  # fmt: skip


ROWS = {"transactions": 2, "decisions": 2, "labels": 1, "alerts": 1, "dead_letters": 1}


def test_an_empty_store_begins_at_the_first_commit(store: Store) -> None:
    assert store.next_index() == 0
    assert set(store.counts().values()) == {0}
    assert store.decision("a") is None


def test_a_commit_is_stored_as_rows_and_the_decision_comes_back_whole(store: Store) -> None:
    decisions = [decision(0, "a"), decision(1, "b", "DECLINE")]
    store.write(projected(0, decisions))
    assert store.counts() == ROWS
    assert store.next_index() == 1
    assert [store.decision(d.transaction_id) for d in decisions] == decisions


def test_a_repeated_write_changes_nothing(store: Store) -> None:
    decisions = [decision(0, "a"), decision(1, "b", "DECLINE")]
    for _ in range(2):
        store.write(projected(0, decisions))
    assert (store.counts(), store.next_index()) == (ROWS, 1)


def test_an_older_write_does_not_move_the_position_back(store: Store) -> None:
    store.write(projected(0, [decision(0, "a")]))
    store.write(projected(1, [decision(10, "b")]))
    store.write(projected(0, [decision(0, "a")]))
    assert store.next_index() == 2


def test_a_gap_is_refused_and_nothing_is_stored(store: Store) -> None:
    with pytest.raises(StoreError):
        store.write(projected(1, [decision(0, "a")]))
    assert (store.next_index(), store.counts()["decisions"]) == (0, 0)


def test_the_first_decision_on_a_transaction_is_kept_and_a_repeat_alerts_nobody(
    store: Store,
) -> None:
    store.write(projected(0, [decision(0, "a")]))
    store.write(projected(1, [decision(9, "a", "REVIEW"), decision(10, "b", "REVIEW")]))
    assert store.decision("a") == decision(0, "a")
    counts = store.counts()
    assert (counts["transactions"], counts["decisions"], counts["alerts"]) == (2, 2, 1)
    assert store.next_index() == 2
