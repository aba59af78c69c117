"""Opening: the logs, the worker where it stood, and the traffic where it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from alcyon.detectors.loading import Detector
from alcyon.domain.control import CHAMPION
from alcyon.domain.errors import ModelError
from alcyon.domain.moves import standing, winners
from alcyon.features.kernel import Kernel
from alcyon.features.layout import Layout
from alcyon.io.log import EmbeddedDecisions, EmbeddedIntake, EmbeddedSource, Fsync
from alcyon.io.model_folder import FolderRegistry
from alcyon.runners.demo.place import DemoPlace
from alcyon.runners.demo.recipe import COSTS, Recipe, read_recipe
from alcyon.runners.demo.resuming import Counted, count_sent, judge_again, with_truth
from alcyon.runners.demo.scoreboard import Scoreboard
from alcyon.runners.demo.sessions import Session, ended, read_sessions, write_sessions
from alcyon.runners.demo.traffic import ROWS_MAX, Stretch, Traffic, read_due_labels
from alcyon.runners.stream.deciding import Means
from alcyon.runners.stream.recovery import Recovered, recover
from alcyon.runners.stream.worker import Pace, Ports, Worker
from alcyon.scoring.rules import Rule, from_text

LIVE_ROWS_MAX = 64
"""Few at once by the clock: encoding many would hold up what is due meanwhile."""
SNAPSHOT_EVERY_S = 300
FULL_SPEED_RARER = 5
"""So many times more records between two snapshots at full speed: there one would follow upon the
other."""
_LEAD_MS = 250
"""Between the making of a live session and its first transaction."""

Progress = Callable[[str, int], None]
"""Told what is being done, and how far it is."""


@dataclass(frozen=True)
class Wanted:
    """What traffic is wanted: `rate` per second by the clock; or, without, at full speed until
    there are `transactions` in all."""

    rate: float | None
    transactions: int | None = None


@dataclass(frozen=True)
class Equipment:
    """What a running demo needs beside its folder."""

    detector: Detector
    means: Means
    fsync: Fsync = "always"
    batch_max: int = 4096
    snapshot_every: int = 100_000
    snapshots_kept: int = 2


@dataclass
class Opened:
    """A demo that can run. `close` it, whatever happens."""

    place: DemoPlace
    equipment: Equipment
    wanted: Wanted
    recipe: Recipe
    intake: EmbeddedIntake
    worker: Worker
    recovered: Recovered
    counted: Counted
    scoreboard: Scoreboard
    front: int | None
    """Of what is decided."""
    _traffic: Traffic
    _stretches: Iterator[Stretch]
    _files: ExitStack
    ahead_ms: int | None = field(default=None, init=False)
    """How far the traffic's clock is ahead of ours; None: it has none."""

    @property
    def rules(self) -> Sequence[Rule]:
        """The rules that the demo begins with: its own, until somebody sets others."""
        return from_text(self.equipment.detector.rules)

    @property
    def snapshot_at(self) -> float | None:
        """When the snapshot that this began with was written, in seconds."""
        name = self.recovered.snapshot
        return None if name is None else (self.place.snapshots / name).stat().st_mtime

    @property
    def model_problem(self) -> str | None:
        """Why the champion cannot decide, None if it can."""
        moves = FolderRegistry(self.place.models).moves(CHAMPION)
        try:
            self.equipment.means.load_model(standing(winners(moves)) or "")
        except ModelError as error:
            return str(error)
        return self.recovered.model_missing

    def begin_traffic(self) -> Iterator[Stretch]:
        """The stretches still to be sent. Called once; a new session begins now, if one must."""
        sessions, rate = self._traffic.sessions, self.wanted.rate
        if rate is not None:
            now = round(time.time() * 1000) + _LEAD_MS
            start = max(now, self._behind_all())
            self.ahead_ms = start - now
            self._begin(Session(start, rate))
        elif not sessions or sessions[-1].transactions is not None:
            self._begin(Session(self._behind_all(), None))
        return self._stretches

    def close(self) -> None:
        """Called once, last."""
        self._files.close()

    def _begin(self, session: Session) -> None:
        self._traffic.add(session)
        write_sessions(self.place.sessions, self._traffic.sessions)

    def _behind_all(self) -> int:
        """The first moment behind the history and all traffic so far."""
        newest = (self.recipe.now - 1, self.front, self.counted.newest)
        return 1 + max(time for time in newest if time is not None)


def open_demo(place: DemoPlace, equipment: Equipment, wanted: Wanted, progress: Progress) -> Opened:
    """Open a finished setup. The caller holds the place alone (`only_one`).

    Errors as for `recover`; InputError: the demo's own files are of another version.
    """
    with ExitStack() as files:
        log = files.enter_context(closing(EmbeddedDecisions(place.decisions, equipment.fsync)))
        intake = files.enter_context(closing(EmbeddedIntake(place.intake, "batch")))
        source = files.enter_context(closing(EmbeddedSource(place.intake)))
        recipe = read_recipe(place.recipe)
        place.offer_warmed()
        counted = count_sent(place, intake.end)
        progress("state", 0)
        kernel = Kernel(Layout(equipment.detector.catalog))
        worker, recovered = recover(
            kernel, Ports(source, log, place.snapshots), equipment.means, _pace(equipment, wanted)
        )
        files.callback(worker.close)
        traffic = _traffic(place, recipe, wanted, counted)
        scoreboard = Scoreboard(COSTS)
        stretches = judge_again(
            log, with_truth(traffic.stretches(), scoreboard), scoreboard,
            lambda done: progress("decisions", done),
        )  # fmt: skip
        return Opened(
            place, equipment, wanted, recipe, intake, worker, recovered, counted, scoreboard,
            kernel.state.front, traffic, stretches, files.pop_all(),
        )  # fmt: skip


def _pace(equipment: Equipment, wanted: Wanted) -> Pace:
    every = equipment.snapshot_every * FULL_SPEED_RARER
    if wanted.rate is not None:
        every = min(equipment.snapshot_every, max(1_000, round(wanted.rate * SNAPSHOT_EVERY_S)))
    return Pace(equipment.batch_max, every, equipment.snapshots_kept)


def _traffic(place: DemoPlace, recipe: Recipe, wanted: Wanted, counted: Counted) -> Traffic:
    """All sessions there were; the last one may go on if it has no clock and none is wanted."""
    sessions = read_sessions(place.sessions)
    if sessions and (sessions[-1].rate is not None or wanted.rate is not None):
        sessions = ended(sessions, counted.sent.transactions)
    return Traffic(
        recipe,
        recipe.create_population(),
        sessions,
        read_due_labels(place.labels),
        counted.sent,
        wanted.transactions,
        ROWS_MAX if wanted.rate is None else LIVE_ROWS_MAX,
    )
