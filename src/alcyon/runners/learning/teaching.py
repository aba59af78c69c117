"""Teaching: a challenger made of the history, as a folder of files that passed every gate."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from alcyon.domain.errors import InputError
from alcyon.features.catalog import Catalog
from alcyon.learning.dataset import DAY_MS
from alcyon.learning.evaluation import evaluate
from alcyon.learning.export import export
from alcyon.learning.history import Known
from alcyon.learning.lessons import LessonRules, lessons, next_lessons
from alcyon.learning.member import FitSettings
from alcyon.learning.online import learn_more
from alcyon.learning.promotion import Checks
from alcyon.learning.thresholds import Scored, choose_policy
from alcyon.learning.training import MEMBERS, TrainingSettings, train
from alcyon.scoring.model import Model, probability_ppm_of
from alcyon.scoring.policy import Policy

RETRAINED, ONLINE = "retrained", "online"
_TIMED = 50


@dataclass(frozen=True)
class Curriculum:
    """How challengers are made."""

    rules: LessonRules = field(default_factory=LessonRules)
    members: tuple[str, ...] = tuple(MEMBERS)
    fit: FitSettings = field(default_factory=FitSettings)
    genuine_share: float = 1.0
    """See `TrainingSettings`."""


def retrain(
    known: Known, catalog: Catalog, policy: Policy, curriculum: Curriculum, out: Path
) -> str:
    """Train on the history and write the model to `out`; how it was made, in words.

    policy: in force, whose costs and capacity choose the model's own thresholds. InputError: no
    model can come of it yet. ModelError: the export is not faithful.
    """
    data = lessons(known, catalog.model_names, curriculum.rules)
    settings = TrainingSettings(
        curriculum.members, curriculum.fit, genuine_share=curriculum.genuine_share
    )
    trained = train(data, catalog.hash, settings)
    seen = data.validation
    ppm = probability_ppm_of(trained.validation_log_odds)
    scored = Scored(ppm, seen.is_fraud, seen.amount_minor, seen.days)
    chosen = choose_policy(scored, policy.costs, policy.reviews_per_day)
    figures = evaluate(trained.validation_log_odds, {}, seen, chosen)
    export(trained, out, chosen, figures.metrics())
    return (
        f"trained on {len(data.train) + len(seen):,} payments, "
        f"{int(data.train.is_fraud.sum() + seen.is_fraud.sum()):,} of them fraud"
    )


def teach_online(
    known: Known, since: int, directory: Path, curriculum: Curriculum, out: Path
) -> str:
    """Let the online member of the model in `directory` learn what became known after `since`, and
    write the model to `out`; how it was made, in words. Errors as for `learning.online`."""
    examples, weights = next_lessons(since, known, curriculum.rules)
    if not examples.is_fraud.any():
        raise InputError("no fraud became known since the champion began")
    learn_more(directory, examples, weights, curriculum.fit.seed, out)
    return (
        f"learnt {len(examples):,} payments that became known within "
        f"{(known.as_of - since) / DAY_MS:.1f} days, {int(examples.is_fraud.sum()):,} of them fraud"
    )


def checked(model: Model) -> Checks:
    """The file's parity as the manifest has it, and the time of one payment alone, median, µs."""
    row = np.zeros((1, len(model.feature_names)), np.float32)
    times = []
    for _ in range(_TIMED):
        begun = time.perf_counter_ns()
        model.score(row)
        times.append(time.perf_counter_ns() - begun)
    return Checks(model.manifest.parity, float(np.median(times)) / 1000)


def record(folder: Path, name: str, found: msgspec.Struct) -> Path:
    """Keep a finding as JSON that people can read; the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    draft = file.with_suffix(".draft")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    draft.replace(file)
    return file
