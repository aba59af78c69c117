"""A worker over the embedded logs, a SQLite store and a registry in one folder, and what people do
with them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from alcyon.domain.control import CHAMPION
from alcyon.domain.moves import MoveState, Wanted
from alcyon.domain.office.searching import LabelShown
from alcyon.domain.projected import Stored
from alcyon.domain.record import Topic
from alcyon.features.kernel import Kernel
from alcyon.io.log import EmbeddedCommits, EmbeddedDecisions, EmbeddedIntake, EmbeddedSource
from alcyon.io.model_folder import FolderRegistry
from alcyon.io.sqlite import SqliteStore
from alcyon.runners.learning.models import loader
from alcyon.runners.projections.projection import Projection
from alcyon.runners.serving.controlling import Controlling
from alcyon.runners.serving.controlling import Means as ControllingMeans
from alcyon.runners.serving.in_force_following import EmbeddedControls, InForceFollowing
from alcyon.runners.stream.deciding import Means
from alcyon.runners.stream.rates import RatesByVersion
from alcyon.runners.stream.recovery import recover
from alcyon.runners.stream.worker import Pace, Ports, Worker
from tests.runners.working import CATALOG, LAYOUT, LIMITS, MEANS, Traffic, models, until_idle

NOW = 1_700_000_000_000


@dataclass
class Desk:
    """Order: `append`, `decide`, `store`, and again; `close` last."""

    folder: Path
    files: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.registry = FolderRegistry(self.folder / "models")
        for name in ("m1", "m2"):
            self.registry.register(models() / name, name)
        move = self.registry.begin_move(Wanted(CHAMPION, "m1", 0))
        self.registry.end_move(move, MoveState.DONE)
        self.means: Means = replace(MEANS, load_model=loader(self.registry, CATALOG))
        self.intake = self.files.enter_context(
            closing(EmbeddedIntake(self.folder / "intake", "never"))
        )

    def append(self, traffic: Traffic) -> None:
        """Let records arrive."""
        for topic, payload in traffic:
            self.intake.append(topic, [payload])

    def decide(
        self, then: Callable[[Worker], object] = lambda worker: None, pace: Pace | None = None
    ) -> None:
        """Let a worker decide on what arrived."""
        log = EmbeddedDecisions(self.folder / "decisions", "never")
        source = EmbeddedSource(self.folder / "intake")
        with closing(log), closing(source):
            ports = Ports(source, log, self.folder / "snapshots")
            pace = pace or Pace(batch_max=64, snapshot_every=10**9)
            worker, _ = recover(Kernel(LAYOUT, LIMITS), ports, self.means, pace)
            list(until_idle(worker))
            then(worker)
            worker.close()

    def store(self) -> SqliteStore:
        """Let the store catch up; it is open until `close`."""
        store = self.files.enter_context(closing(SqliteStore(self.folder / "store.sqlite")))
        rates = RatesByVersion(self._controls)
        with (
            closing(EmbeddedCommits(self.folder / "decisions")) as commits,
            closing(EmbeddedSource(self.folder / "intake")) as source,
        ):
            projection = Projection(
                commits, source, store,
                lambda version: self.means.transaction_decoder(rates.of(version)),
                self.means.label_decoder(),
            )  # fmt: skip
            while projection.step():
                pass
        return store

    def _controls(self) -> list[bytes]:
        with closing(EmbeddedSource(self.folder / "intake")) as source:
            source.seek(0)
            return [r.payload for r in source.poll(10**6, 0) if r.topic is Topic.CONTROL]

    def following(self) -> InForceFollowing:
        """What is in force here."""
        controls = EmbeddedControls(self.folder / "intake", self.folder / "snapshots", CATALOG)
        return self.files.enter_context(closing(InForceFollowing(controls, self.means.load_model)))

    def controlling(self, between: Callable[[int, int, int], list[Stored]]) -> Controlling:
        """What changes it."""
        means = ControllingMeans(
            CATALOG, self.following(), self.registry, self.means.load_model, self.means.keys,
            self.intake, between, self.labels_of, self.folder / "learner", lambda: NOW,
        )  # fmt: skip
        return Controlling(means)

    def labels_of(self, transaction_id: str) -> list[LabelShown]:
        """As the store has them, the newest first."""
        with closing(sqlite3.connect(self.folder / "store.sqlite")) as connection:
            rows = connection.execute(
                "SELECT label_id, transaction_id, is_fraud, fraud_type, loss_minor, source, author,"
                " labelled_at FROM labels WHERE transaction_id = ? ORDER BY sequence DESC",
                (transaction_id,),
            ).fetchall()
        return [
            LabelShown(i, t, bool(f), k, loss, s, author, at)
            for i, t, f, k, loss, s, author, at in rows
        ]

    def close(self) -> None:
        """Called once, last."""
        self.files.close()
