"""The read model filled from recorded runs, and what must come of it.

The oracle reads all decisions and records from the beginning with `json`, and keeps the last.
"""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple

import msgspec
import numpy as np
from redis import Redis as Client

from alcyon.domain.commit import Commit
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.decision import Versions
from alcyon.domain.ports import CommitReader, Source
from alcyon.domain.projected import StoreError
from alcyon.domain.read_model import Covered, Known, Latest, ReadModel, Update
from alcyon.domain.record import Record, Topic
from alcyon.io.log import EmbeddedCommits, EmbeddedDecisions, EmbeddedIntake, EmbeddedSource
from alcyon.io.memory import MemoryCommitReader, MemorySource
from alcyon.runners.projections.card_decisions import Cards
from alcyon.runners.projections.filling import Filler, fill
from alcyon.runners.projections.projection_telling import BrokerTelling, ProjectionTelling
from alcyon.runners.projections.read_model import Logs, ReadModelRunner
from alcyon.runners.stream.reading import Reading
from alcyon.runners.stream.worker import Pace
from tests.runners.told import Told
from tests.runners.working import MEANS, Generator, Home

DATABASE = 10
CARDS = Cards(MEANS.keys, lambda _: MEANS.transaction_decoder(DEFAULT_RATES))


class Truth(NamedTuple):
    sequence: int
    transaction_id: str
    event_time: int
    action: str
    score: int | None
    catalog: str
    features: bytes


def truth(commits: list[Commit], records: list[Record]) -> dict[str, Truth]:
    """Each card's last decision."""
    found: dict[str, Truth] = {}
    for commit in commits:
        for d in map(json.loads, commit.decisions):
            at = commit.first_position + d["sequence"] - commit.first_sequence
            card = json.loads(records[at].payload).get("card_id")
            if card is not None:
                card = MEANS.keys.token(card) if card.isdigit() else card
                features = base64.b64decode(d["features"])
                found[card] = Truth(
                    d["sequence"], d["transaction_id"], d["event_time"], d["action"], d["score"],
                    d["versions"]["catalog"], features,
                )  # fmt: skip
    return found


def truth_at(home: Home, end: int | None = None) -> dict[str, Truth]:
    return truth(home.commits.commits[:end], home.records.records)


def kept(model: ReadModel, cards: list[str]) -> dict[str, Truth]:
    """What the read model has of these cards."""
    found = zip(cards, model.latest(cards), strict=True)
    return {card: Truth(*one) for card, one in found if one}


def runner_of(home: Home, model: ReadModel, known: Known | None = None) -> ReadModelRunner:
    def reading(_: ExitStack) -> Reading:
        return Reading(MemoryCommitReader(home.commits), MemorySource(home.records))

    logs = Logs(reading(ExitStack()), reading, lambda: (0, len(home.commits.commits)), CARDS)
    return ReadModelRunner(logs, model, known or Known(), sample_one_of=3)


def drain(runner: ReadModelRunner) -> None:
    while runner.step():
        pass


def decided(tmp_path: Path, records: int, seed: int = 1, batch: int = 16) -> Home:
    home = Home(tmp_path / str(seed))
    home.append(Generator(seed).traffic(records))
    home.drained(Pace(batch_max=batch, snapshot_every=10**9))
    return home


class Unsteady(ReadModel):
    """Fails now and then, before a write or after it took place."""

    def __init__(self, model: ReadModel, rng: random.Random, share: float) -> None:
        self._model, self._rng, self._share = model, rng, share

    def _fail(self) -> None:
        if self._rng.random() < self._share:
            raise StoreError("away")

    def covered(self) -> Covered | None:
        self._fail()
        return self._model.covered()

    def write(self, update: Update) -> bool:
        self._fail()
        is_written = self._model.write(update)
        self._fail()
        return is_written

    def latest(self, cards: list[str]) -> list[Latest | None]:  # type: ignore[override]
        return self._model.latest(cards)

    def close(self) -> None:
        pass


def feed(client: Client, name: str) -> list[dict[str, Any]]:
    """The entries of a feed."""
    found: Any = client.xrange(name)
    return [json.loads(fields[b"json"]) for _, fields in found]


def alerts(home: Home) -> list[dict[str, Any]]:
    return [json.loads(a) for commit in home.commits.commits for a in commit.alerts]


def until(holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.02)


def telling_of(store: str, told: Told, loop: str = "read_model") -> ProjectionTelling:
    """What a projection into that store tells."""
    of = told.telemetry, told.log, told.readiness
    return ProjectionTelling(store, *of, BrokerTelling(*of), loop)


@contextmanager
def filling(open_filler: Callable[[ExitStack], Filler], store: str = "redis") -> Iterator[Told]:
    """Fills that store in a thread meanwhile."""
    told, stop = Told(), Event()
    telling = telling_of(store, told)
    thread = Thread(target=fill, args=(open_filler, telling, stop), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()


def payloads(count: int) -> list[bytes]:
    """Transactions, of a card each."""
    at = {"event_time": 1_800_000_000_000, "amount_minor": 5, "currency": "EUR"}
    return [
        msgspec.json.encode({"transaction_id": f"x{i}", "card_id": f"card{i}", **at})
        for i in range(count)
    ]


class Traffic:
    """Decisions on many cards, made up, in an embedded log that grows."""

    def __init__(self, folder: Path, cards: int, seed: int) -> None:
        self._intake = EmbeddedIntake(folder / "intake", "never")
        self._log = EmbeddedDecisions(folder / "decisions", "never")
        self._rng, self._cards, self._folder = random.Random(seed), cards, folder
        self.count, self.commits = 0, 0

    def grow(self, count: int) -> None:
        """One more commit."""
        first, rng = self.count, self._rng
        self.count += count
        names = [f"c{int(self._cards * rng.random() ** 2)}" for _ in range(count)]
        records, decisions = [], []
        for sequence, card in enumerate(names, first):
            of = {"sequence": sequence, "transaction_id": f"t{sequence}", "event_time": sequence}
            records.append(json.dumps(of | {"card_id": card}).encode())
            features = base64.b64encode(
                np.array([sequence, rng.random()], "<f4").tobytes()
            ).decode()
            made: dict[str, object] = {
                key: [] for key in ("codes", "rule_hits", "shadow_hits", "reasons")
            }
            made |= of | {"action": rng.choice(["APPROVE", "DECLINE"]), "score": sequence % 1001}
            made |= {"probability_ppm": 1, "members": {}, "features": features}
            named = {field.name: "v" for field in msgspec.structs.fields(Versions)}
            decisions.append(json.dumps(made | {"versions": named}).encode())
        self._intake.append(Topic.TRANSACTIONS, records)
        self._log.append(Commit(self._log.epoch, first, first, self.count, tuple(decisions)))
        self.commits += 1

    def readers(self, files: ExitStack) -> tuple[CommitReader, Source]:
        commits = files.enter_context(closing(EmbeddedCommits(self._folder / "decisions")))
        return commits, files.enter_context(closing(EmbeddedSource(self._folder / "intake")))

    def opened(self, files: ExitStack, model: ReadModel, known: Known) -> ReadModelRunner:
        def reading(files: ExitStack) -> Reading:
            return Reading(*self.readers(files))

        logs = Logs(reading(files), reading, lambda: (0, self.commits), CARDS)
        return files.enter_context(closing(ReadModelRunner(logs, model, known)))

    def truth(self) -> dict[str, Truth]:
        with ExitStack() as files:
            commits, source = self.readers(files)
            found: list[Commit] = []
            while more := commits.read(len(found), 100):
                found += more
            source.seek(0)
            records: list[Record] = []
            while len(records) < self.count:
                records += source.poll(self.count, 1.0)
        return truth(found, records)
