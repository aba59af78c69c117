"""A worker over an embedded log in a thread of its own, and what asks it, for tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import msgspec

from alcyon.domain.control import decode_control
from alcyon.domain.errors import AlcyonError
from alcyon.domain.office.asking import Answer
from alcyon.domain.projected import Stored
from alcyon.domain.record import Topic
from alcyon.features.kernel import Kernel
from alcyon.io.log import EmbeddedCommits, EmbeddedIntake
from alcyon.io.sqlite.answered import SqliteAnswered
from alcyon.runners.over_files import LogFiles, WorkerPorts
from alcyon.runners.serving.admitting import Admitting
from alcyon.runners.serving.asking import AskingParts, Following, LogAsking
from alcyon.runners.serving.provisional import ByOwnColumns, LatestOf
from alcyon.runners.stream.in_force import InForce
from alcyon.runners.stream.recovery import recover
from alcyon.scoring.conduct import Conduct
from tests.runners.working import (
    BOOTSTRAP,
    CATALOG,
    LAYOUT,
    LIMITS,
    MEANS,
    PACE,
    POLICIES,
    RULES,
    START,
    load_model,
)

CARD = "4111111111111111"


def payload(name: str, **given: Any) -> bytes:
    """One plain payment."""
    plain = {
        "transaction_id": name, "event_time": START, "amount_minor": 1000, "currency": "EUR",
        "card_id": f"card-of-{name}", "country": "FR",
    }  # fmt: skip
    return msgspec.json.encode({k: v for k, v in (plain | given).items() if v is not None})


def in_force() -> InForce:
    """What the bootstrap says."""
    known = InForce(Conduct.of(CATALOG, RULES[0], POLICIES[0]), InForce.initial(CATALOG).rates)
    for control in BOOTSTRAP:
        known = known.changed(decode_control(control), load_model)
    return known


@contextmanager
def deciding(logs: LogFiles) -> Iterator[None]:
    """A worker decides meanwhile."""
    stop = Event()

    def run() -> None:
        with ExitStack() as files:
            opened = WorkerPorts(logs, lambda: BOOTSTRAP, None).open(files)
            worker, _ = recover(Kernel(LAYOUT, LIMITS), opened.ports, MEANS, PACE)
            files.callback(worker.close)
            worker.run(stop.is_set, lambda stepped: None)

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@dataclass
class Store:
    """As much of a store as asking asks."""

    stored: dict[str, Stored] = field(default_factory=dict)
    asked: list[Sequence[str]] = field(default_factory=list)

    def decisions_on(self, names: Sequence[str]) -> list[Stored]:
        """Those of them that it has."""
        self.asked.append(names)
        return [self.stored[name] for name in names if name in self.stored]


@dataclass
class Asked:
    """What a test holds."""

    logs: LogFiles
    intake: EmbeddedIntake
    asking: LogAsking
    store: Store
    answered: SqliteAnswered
    told: list[AlcyonError]

    def decided(self) -> list[str]:
        """The transactions that the log holds decisions on."""
        with closing(EmbeddedCommits(self.logs.decisions)) as commits:
            found = [d for c in commits.read(0, 10**6) for d in c.decisions]
        return [msgspec.json.decode(d)["transaction_id"] for d in found]

    def written(self) -> bytes:
        """Every byte that either log has."""
        folders = (self.logs.intake, self.logs.decisions)
        return b"".join(p.read_bytes() for f in folders for p in f.glob("*.segment"))


@contextmanager
def asked(
    folder: Path,
    *,
    timeout_ms: int = 300_000,
    store: Store | None = None,
    latest_of: Sequence[LatestOf] = (),
    now_ms: int | None = None,
) -> Iterator[Asked]:
    """Asks over the embedded log in a folder; `deciding` is to run beside it."""
    logs, store, told = LogFiles(folder, "never"), store or Store(), list[AlcyonError]()
    folder.mkdir(parents=True, exist_ok=True)
    known = in_force()

    def follow(files: ExitStack) -> Following:
        commits = files.enter_context(closing(EmbeddedCommits(logs.decisions)))
        return Following(commits, commits.bounds)

    with closing(logs.open_intake()) as intake, ExitStack() as files:
        if intake.end == 0:
            intake.append(Topic.CONTROL, BOOTSTRAP)
        answered = files.enter_context(closing(SqliteAnswered(folder / "answered.sqlite")))
        future_max_ms = None if now_ms is None else 300_000
        parts = AskingParts(
            intake,
            follow,
            Admitting(MEANS, lambda: known, lambda: now_ms or 0, future_max_ms),
            store.decisions_on,
            ByOwnColumns(LAYOUT, MEANS, lambda: known, latest_of),
            answered,
            told.append,
            timeout_ms,
        )
        with closing(LogAsking(parts)) as asking:
            yield Asked(logs, intake, asking, store, answered, told)


def plain(answer: Answer) -> tuple[str, str, bool, bool]:
    """What most tests look at."""
    return answer.transaction_id, answer.action, answer.is_provisional, answer.is_repeat
