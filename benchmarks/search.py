"""Searching millions of decisions: how long each kind of first page takes, in either store.

    python benchmarks/search.py [--decisions 5000000] [--folder F] [--stores sqlite postgres]

Simulated traffic of 60 days is written by the stores' own write path: 2 % are not approved, each
with an alert, reasons and often a rule; a quarter of the frauds has a label. Scores and reasons are
drawn, not a model's. Then every question is asked of `StoreSearcher` in turn, seven times. Printed
are the first time, when its pages may still be on the disk or with the system, the median, and the
median processor time, client and server (Linux): about what a machine takes that does nothing else.
With a folder F, the stores are kept there and used again. Writes reports/search.json.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))  # where `services` lies

import msgspec
import numpy as np
import psycopg
from sqlalchemy import func, select

from alcyon.domain.alert import Alert
from alcyon.domain.columns import Batch, Strings
from alcyon.domain.decision import Action
from alcyon.domain.office.searching import Filter, Line
from alcyon.domain.ports import Store
from alcyon.domain.projected import DecisionRow, Projected
from alcyon.io.postgres import PostgresStore
from alcyon.io.searching import StoreSearcher, postgres, sqlite
from alcyon.io.searching.tables import TRANSACTIONS
from alcyon.io.sqlite import SqliteStore
from alcyon.simulation import Scenario, simulate
from report import write
from services import Folder, Options, Postgres

DAY_MS = 86_400_000
DAYS, FEATURES, TIMES = 60, 43, 7
NOT_APPROVED, BAR_MS = 0.02, 200.0
REASONS = ("velocity_card_1h", "amount_against_own_history", "new_device", "new_country", "amount")
RULES = ("card_testing_burst", "blocked_device", "far_too_fast", "large_and_new")
RARE_RULE = "once_in_a_while"


class Writer:
    """Simulated decisions, as the projection would hand them to a store."""

    def __init__(self, decisions: int) -> None:
        self._scenario = Scenario(transactions=decisions, seed=3, duration_ms=DAYS * DAY_MS)
        self._rng = np.random.default_rng(3)
        self._features = np.linspace(0, 9, FEATURES, dtype="<f4").tobytes()
        self._versions = msgspec.Raw(
            b'{"engine":"1","catalog":"0123456789abcdef","rules":"r","lists":"l","policy":"p",'
            b'"model":"m1","rates":"t","challenger":"none"}'
        )

    def fill(self, store: Store) -> float:
        """Everything into the store; seconds."""
        begin, sequence = time.perf_counter(), 0
        for index, part in enumerate(simulate(self._scenario, slice_rows=20_000)):
            is_fraud = np.asarray(part.truth.numbers("is_fraud"), np.int64) == 1
            made = self._projected(index, sequence, part.transactions, is_fraud)
            store.write(made)
            sequence += 2 * len(part)
        return time.perf_counter() - begin

    def _projected(
        self,
        index: int,
        sequence: int,
        transactions: Batch,
        is_fraud: np.ndarray[Any, Any],
    ) -> Projected:
        rng, n = self._rng, len(transactions)
        ids = transactions.strings("transaction_id").to_list()
        times = np.asarray(transactions.numbers("event_time"), np.int64)
        amounts = np.asarray(transactions.numbers("amount_minor"), np.int64).tolist()
        currencies = transactions.strings("currency").to_list()
        is_stopped = (rng.random(n) < NOT_APPROVED - 0.004) | (is_fraud & (rng.random(n) < 0.7))
        scores = np.where(
            is_stopped, rng.integers(560, 1001, n), np.clip(rng.normal(160, 90, n), 0, 640)
        ).astype(np.int64)
        decisions, alerts = [], []
        for row in range(n):
            made = self._decision(
                sequence + row,
                ids[row] or "",
                int(times[row]),
                int(scores[row]),
                bool(is_stopped[row]),
            )
            decisions.append(made)
            if is_stopped[row]:
                alerts.append(
                    Alert(
                        made.sequence, made.transaction_id, made.event_time, Action(made.action),
                        made.score, amounts[row], currencies[row] or "", made.reason_shown(),
                    )
                )  # fmt: skip
        said = np.flatnonzero(
            (is_fraud & (rng.random(n) < 0.25)) | (is_stopped & (rng.random(n) < 0.05))
        )
        labels_batch = Batch(
            {
                "label_id": Strings.from_list([f"l-{ids[row]}" for row in said.tolist()]),
                "transaction_id": Strings.from_list([ids[row] for row in said.tolist()]),
                "is_fraud": is_fraud[said].astype(np.int64),
                "source": Strings.from_list(["analyst"] * len(said)),
                "labelled_at": times[said] + DAY_MS,
            }
        )
        return Projected(
            index, index + 1, [transactions], np.arange(n), decisions, labels_batch,
            sequence + n + np.arange(len(said)), alerts, [],
        )  # fmt: skip

    def _decision(
        self, sequence: int, transaction_id: str, at: int, score: int, is_stopped: bool
    ) -> DecisionRow:
        action, reasons, rules = "APPROVE", _NOTHING, _NOTHING
        if is_stopped:
            drawn = self._rng.integers(0, 1000, 4).tolist()
            action = "DECLINE" if score > 850 else "REVIEW"
            codes = [REASONS[drawn[0] % 5], REASONS[(drawn[0] + 1 + drawn[1] % 4) % 5]]
            reasons = msgspec.Raw(
                msgspec.json.encode(
                    [
                        {"code": c, "feature": "card_count_10m", "value": 5.0, "log_odds": 2.0 - i}
                        for i, c in enumerate([*codes, "other_features", "base_rate"])
                    ]
                )
            )
            if drawn[2] < 500:
                rule = RARE_RULE if drawn[2] == 0 and drawn[3] < 20 else RULES[drawn[3] % 4]
                rules = msgspec.Raw(msgspec.json.encode([rule]))
        return DecisionRow(
            sequence, transaction_id, at, action, score, min(score * 1000, 1_000_000), _MEMBERS,
            _NOTHING, rules, _NOTHING, reasons, self._features, self._versions,
        )  # fmt: skip


_NOTHING, _MEMBERS = msgspec.Raw(b"[]"), msgspec.Raw(b'{"isolation":0.31,"trees":0.0123}')


def questions(database: Any, searcher: StoreSearcher) -> dict[str, Callable[[], Any]]:
    """Every kind of first page, by what is asked."""
    newest = searcher.search(Filter(), None, 200).items
    end = newest[0].event_time
    seen = Counter(line.card_id for line in newest)
    busiest = {
        kind: _busiest(database, f"{kind}_id", end - DAY_MS)
        for kind in ("card", "merchant", "device")
    }
    rare = _busiest(database, "country", end - DAY_MS, is_rarest=True)
    usual = _busiest(database, "country", end - DAY_MS)
    card, one = next(iter(seen)), newest[99]
    of_filter = {
        "newest": Filter(),
        "a card": Filter("card", card),
        "the busiest card": Filter("card", busiest["card"]),
        "the busiest merchant": Filter("merchant", busiest["merchant"]),
        "the busiest device": Filter("device", busiest["device"]),
        "a card that was never seen": Filter("card", "nobody"),
        "one day, weeks ago": Filter(first_ms=end - 40 * DAY_MS, last_ms=end - 39 * DAY_MS),
        "declined": Filter(actions=("DECLINE",)),
        "stepped up (none)": Filter(actions=("STEP_UP",)),
        "approved": Filter(actions=("APPROVE",)),
        "score from 980": Filter(score_min=980),
        "score 641 to 645": Filter(score_min=641, score_max=645),
        "score 500 to 502": Filter(score_min=500, score_max=502),
        "score 470 to 472 (looks on)": Filter(score_min=470, score_max=472),
        "a reason": Filter(reason="new_country"),
        "a rule": Filter(rule="far_too_fast"),
        "a rule that fires rarely": Filter(rule=RARE_RULE),
        "the rarest country": Filter(country=rare),
        "the most frequent country": Filter(country=usual),
        "a transaction id": Filter(text=one.transaction_id),
        "ids that begin alike": Filter(text=one.transaction_id[:-2]),
        "cards that begin alike": Filter(text=(one.card_id or "")[:-2]),
        "everything begins so": Filter(text=one.transaction_id[:4]),
        "nothing begins so": Filter(text="zzz"),
        "busiest merchant, declined": Filter("merchant", busiest["merchant"], actions=("DECLINE",)),
        "rarest country, declined": Filter(country=rare, actions=("DECLINE",)),
        "a rule in the rarest country": Filter(rule="far_too_fast", country=rare),
        "declined, weeks ago, from 980": Filter(
            last_ms=end - 40 * DAY_MS, actions=("DECLINE",), score_min=980
        ),
    }  # fmt: skip
    return _asked(searcher, of_filter, busiest, one)


def _asked(
    searcher: StoreSearcher, of_filter: dict[str, Filter], busiest: dict[str, str], one: Line
) -> dict[str, Callable[[], Any]]:
    end, card = of_filter["one day, weeks ago"].last_ms or 0, one.card_id or ""
    end += 39 * DAY_MS
    asked: dict[str, Callable[[], Any]] = {
        f"search: {name}": lambda f=f: searcher.search(f, None, 50)  # type: ignore[misc]
        for name, f in of_filter.items()
    }
    for name in (
        "newest", "a card", "the busiest merchant", "a reason", "a rule", "the rarest country",
        "declined", "one day, weeks ago", "score 641 to 645", "nothing begins so",
    ):  # fmt: skip
        asked[f"alerts: {name if name != 'newest' else 'open'}"] = (
            lambda f=of_filter[name]: searcher.alerts(f, "open", None, 50)  # type: ignore[misc]
        )
    for kind in ("card", "merchant", "device"):
        asked[f"entity: the busiest {kind}"] = lambda k=kind: searcher.entity(k, busiest[k])  # type: ignore[misc]
    return asked | {
        "entity: a card": lambda: searcher.entity("card", card),
        "decision": lambda: searcher.decision(one.transaction_id),
        "newest decision of a card": lambda: searcher.newest_of("card", card),
        "statistics: a day": lambda: searcher.statistics(end - DAY_MS, end),
        "statistics: 30 days": lambda: searcher.statistics(end - 30 * DAY_MS, end),
        "rule counts: 7 days": lambda: searcher.rule_counts(end - 7 * DAY_MS),
    }


def _busiest(database: Any, name: str, since_ms: int, *, is_rarest: bool = False) -> str:
    t = TRANSACTIONS.c
    n = func.count()
    query = select(t[name]).where(t[name].is_not(None), t.event_time > since_ms).group_by(t[name])
    return str(database.rows(query.order_by(n if is_rarest else n.desc()).limit(1))[0][0])


def ask(asked: dict[str, Callable[[], Any]], backends: Sequence[int] = ()) -> list[dict[str, Any]]:
    """Each question's times in ms, and how much it found. backends: processes that answer it."""
    rows = []
    for name, question in asked.items():
        taken, worked = list[float](), list[float]()
        for _ in range(TIMES):
            begin, before = time.perf_counter(), processor_ns(backends)
            answer = question()
            taken.append((time.perf_counter() - begin) * 1000)
            worked.append((processor_ns(backends) - before) / 1e6)
        items = getattr(answer, "items", None)
        found = len(items) if isinstance(items, list) else None
        times = {"first_ms": taken[0], "median_ms": median(taken), "processor_ms": median(worked)}
        rows.append({"question": name, **times, "found": found})
    return rows


def processor_ns(backends: Sequence[int]) -> int:
    """Processor time so far of this process and those."""
    files = [Path(f"/proc/{pid}/schedstat") for pid in backends]
    return time.process_time_ns() + sum(int(file.read_text().split()[0]) for file in files)


def backends_of(dsn: str) -> list[int]:
    """The server's processes that answer a searcher."""
    with psycopg.connect(dsn) as connection:
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'alcyon search'"
        return [int(row[0]) for row in connection.execute(query)]


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """The DSN of a server of our own, its data kept."""
    folder.chmod(0o711)
    servers = Folder(folder)
    facts = servers.up(["postgres"], Options(throughput=True))["postgres"]
    assert isinstance(facts, Postgres)
    try:
        yield facts.dsn
    finally:
        servers.down(keep=True)


def of_sqlite(folder: Path, decisions: int) -> tuple[float | None, list[dict[str, Any]]]:
    """Seconds of filling, where it was, and the answers' times."""
    path = folder / "search.sqlite"
    with closing(SqliteStore(path)) as store:
        taken = Writer(decisions).fill(store) if store.next_index() == 0 else None
    database = sqlite(path)
    with closing(StoreSearcher(database)) as searcher:
        return taken, ask(questions(database, searcher))


def of_postgres(folder: Path, decisions: int) -> tuple[float | None, list[dict[str, Any]]]:
    """Seconds of filling, where it was, and the answers' times."""
    with server(folder) as dsn:
        with closing(PostgresStore(dsn)) as store:
            taken = Writer(decisions).fill(store) if store.next_index() == 0 else None
        if taken is not None:
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")  # as its own autovacuum would, in time
        database = postgres(dsn)
        with closing(StoreSearcher(database)) as searcher:
            asked = questions(database, searcher)
            return taken, ask(asked, backends_of(dsn))


_STORES = {"sqlite": of_sqlite, "postgres": of_postgres}


def main(given: Sequence[str] | None = None) -> None:
    """Fill, ask, print, write the report."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--decisions", type=int, default=5_000_000)
    arguments.add_argument("--folder", type=Path)
    arguments.add_argument("--stores", nargs="+", choices=list(_STORES), default=list(_STORES))
    chosen = arguments.parse_args(given)
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in chosen.stores:
            taken, found[name] = _STORES[name](folder, chosen.decisions)
            if taken is not None:
                print(f"{name}: filled in {taken:,.0f} s, {chosen.decisions / taken:,.0f} /s")
    print(f"{chosen.decisions:,} decisions; ms of a first page: the first time, median of")
    print(
        f"{TIMES}, of it processor time (client and server), decisions found; one column per store"
    )
    print(
        f"load average {[round(x, 2) for x in os.getloadavg()]}: other work may share the machine"
    )
    for rows in zip(*found.values(), strict=True):
        times = "".join(map(_shown, rows))
        print(f"{rows[0]['question']:<44}{times}")
    print(write("search", {"stores": found, "decisions": chosen.decisions}).name)


def _shown(row: dict[str, Any]) -> str:
    is_slow = "!" if row["median_ms"] > BAR_MS else " "
    found = "" if row["found"] is None else row["found"]
    times = (
        f"{row['first_ms']:>10,.1f}{row['median_ms']:>9,.1f}{is_slow}{row['processor_ms']:>8,.1f}"
    )
    return f"{times}{found:>5}"


if __name__ == "__main__":
    main()
