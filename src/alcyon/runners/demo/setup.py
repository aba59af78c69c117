"""Setup: history, model and warmed state, made once in a folder that then gets its name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from alcyon.codecs.json import encode_labels
from alcyon.detectors.loading import Detector
from alcyon.domain.control import CHAMPION
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.errors import AlcyonError, LogError
from alcyon.domain.moves import MoveState, Wanted
from alcyon.domain.record import Topic
from alcyon.features.compiled.memory import NEXT_SEQUENCE
from alcyon.features.kernel import Kernel
from alcyon.features.layout import Layout
from alcyon.io.log import EmbeddedIntake
from alcyon.io.model_folder import FolderRegistry
from alcyon.io.snapshot_writing import SnapshotWriting
from alcyon.learning.dataset import DAY_MS, SplitRules, build_dataset
from alcyon.runners.demo.history import UNLEARNT, Backfilled, History, backfill
from alcyon.runners.demo.place import DemoPlace
from alcyon.runners.demo.recipe import COSTS, REVIEWS_SHARE, Recipe, write_recipe
from alcyon.runners.stream.deciding import Deciding, Means
from alcyon.runners.stream.in_force import InForce, bootstrap_controls
from alcyon.runners.stream.place import Place
from alcyon.runners.stream.worker import snapshot_header
from alcyon.scoring.policy import Policy
from alcyon.scoring.rules import Status, from_text, to_text

if TYPE_CHECKING:
    from alcyon.learning.member import Progress

MODEL = "card-1"


@dataclass(frozen=True)
class Making:
    """What a setup needs."""

    place: DemoPlace
    recipe: Recipe
    detector: Detector
    means: Means
    step: Progress
    """Told what is being done, and how far it is."""


def make_setup(making: Making) -> None:
    """Make the folder. A setup that was killed on the way is thrown away and made again.

    AlcyonError: the disk is full, or no model can come of this history.
    """
    place, draft = making.place, making.place.unfinished
    try:
        shutil.rmtree(draft.folder, ignore_errors=True)
        draft.folder.mkdir(parents=True)
        with _precompiling():
            _fill(draft, making)
        os.sync()
        draft.folder.rename(place.folder)
    except OSError as error:
        raise AlcyonError(
            f"{draft.folder} cannot be written: {error.strerror}; make room or see to the disk"
        ) from error


def _fill(draft: DemoPlace, making: Making) -> None:
    recipe, step = making.recipe, making.step
    step("history", 0, 1)
    history = History.of(recipe, recipe.create_population())
    step("history", 1, 1)
    step("machine code", 0, 1)
    kernel = Kernel(Layout(making.detector.catalog))

    def passed(done: int, total: int) -> None:
        step("machine code", 1, 1)
        step("features", done, total)

    backfilled = backfill(kernel, history, recipe, passed)
    policy = _train(draft, making, history, backfilled)
    step("state", 0, 1)
    _write_state(draft, kernel, making.means)
    later = history.labels_after(backfilled.front)
    draft.labels.write_bytes(b"".join(line + b"\n" for line in encode_labels(later)))
    intake = EmbeddedIntake(draft.intake)
    try:
        controls = bootstrap_controls(_rules(making.detector), policy, DEFAULT_RATES, MODEL)
        intake.append(Topic.CONTROL, controls)
    finally:
        intake.close()
    write_recipe(draft.recipe, recipe)
    step("state", 1, 1)


def _train(draft: DemoPlace, making: Making, history: History, backfilled: Backfilled) -> Policy:
    """Train on what is old enough, with what was known by now; the policy it came to."""
    # Here, since they take seconds to import and only a setup needs them.
    from alcyon.learning.evaluation import evaluate
    from alcyon.learning.export import export
    from alcyon.learning.member import FitSettings
    from alcyon.learning.thresholds import Scored, choose_policy
    from alcyon.learning.training import TrainingSettings, train
    from alcyon.scoring.model import probability_ppm_of

    recipe, catalog = making.recipe, making.detector.catalog
    rules = SplitRules(label_delay_ms=recipe.label_days * DAY_MS, test_share=0.0)
    data = build_dataset(backfilled.rows, history.labels_until(recipe.now), rules)
    fit = FitSettings(seed=recipe.seed, progress=making.step)
    trained = train(data, catalog.hash, TrainingSettings(fit=fit))
    seen = data.validation
    scored = Scored(
        probability_ppm_of(trained.validation_log_odds), seen.is_fraud, seen.amount_minor, seen.days
    )
    daily = recipe.history_transactions / recipe.history_days
    policy = choose_policy(scored, COSTS, REVIEWS_SHARE * daily)
    metrics = evaluate(trained.validation_log_odds, {}, seen, policy).metrics()
    making.step("export", 0, 1)
    with TemporaryDirectory(prefix="alcyon-demo-") as work:
        export(trained, Path(work), policy, metrics)
        registry = FolderRegistry(draft.models)
        registry.register(Path(work), MODEL)
    begun = Wanted(CHAMPION, MODEL, 0, why="what the demo begins with")
    registry.end_move(registry.begin_move(begun), MoveState.DONE)
    making.step("export", 1, 1)
    return policy


def _rules(detector: Detector) -> str:
    """The detector's, those that count payments at a merchant in shadow: see `UNLEARNT`."""
    shadow = [
        replace(rule, status=Status.SHADOW) if any(n in rule.when for n in UNLEARNT) else rule
        for rule in from_text(detector.rules)
    ]
    return to_text(shadow)


def _write_state(draft: DemoPlace, kernel: Kernel, means: Means) -> None:
    """The warmed snapshot that the first worker begins with."""
    seen = int(np.int64(kernel.state.memory.meta[NEXT_SEQUENCE]))
    deciding = Deciding(kernel, means, InForce.initial(kernel.layout.catalog))
    header = snapshot_header(deciding, 0, Place(next_sequence=seen))
    written = SnapshotWriting(draft.warmed, header, kernel.state, keep=2).finish()
    if written.error is not None:
        raise LogError(f"{draft.warmed}: {written.error}")


@contextmanager
def _precompiling() -> Iterator[None]:
    """Let another process make the machine code that this one comes to last.

    It only saves time: what it does not bring about, this process does itself.
    """
    program = [sys.executable, "-m", "alcyon.runners.demo.precompile"]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
        try:
            yield
        finally:
            other.kill()
