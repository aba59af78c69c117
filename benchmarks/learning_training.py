"""Models trained on what was known of a simulated world by a time; part of `learning_loop.py`."""

from __future__ import annotations

from collections.abc import Callable

from alcyon.detectors.card import catalog
from alcyon.learning.dataset import DAY_MS
from alcyon.learning.history import History, Known
from alcyon.learning.lessons import LessonRules, lessons
from alcyon.learning.member import FitSettings
from alcyon.learning.training import Ensemble, TrainingSettings, train
from alcyon.learning.trust import Trust
from learning_world import World, unscored

GENUINE_SHARE = 0.25
"""Of genuine payments, learnt from: training takes minutes, not a quarter of an hour."""
MATURITY_MS = 3 * DAY_MS


def honestly(history: History) -> None:
    """Nobody says anything beside the world's own labels."""


def known_at(
    w: World, as_of: int, meddle: Callable[[History], None] = honestly, trust: Trust | None = None
) -> Known:
    """What was decided and known by then; all payments approved, so that the truth about each can
    come to light. meddle: tells the history more."""
    history = History(len(catalog.model_names), trust)
    history.add(unscored(w, w.event_time <= as_of))
    history.tell(w.labels_between(0, as_of + 1))
    meddle(history)
    return history.known(as_of)


def trained(
    known: Known,
    members: tuple[str, ...],
    trust: Trust | None = None,
    seed: int = 7,
    refit: bool = True,
) -> Ensemble:
    """seed: of everything random in the training, which genuine payments it sees among it; refit:
    see `TrainingSettings`, half the time without."""
    rules = LessonRules(MATURITY_MS, trust=trust or Trust(), seed=seed)
    data = lessons(known, catalog.model_names, rules)
    fit = FitSettings(seed=seed)
    settings = TrainingSettings(members, fit, refit=refit, genuine_share=GENUINE_SHARE)
    return train(data, catalog.hash, settings).ensemble
