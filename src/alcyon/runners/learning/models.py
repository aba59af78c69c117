"""Models in force by alias: a move of the alias and the control record belong together.

The order of a move: 1 the model is believed  2 the way to the worker is open  3 the move comes in
(of two at once, one)  4 the control record is written  5 the alias moves. Whoever dies before 5
leaves the alias where it was, and a move that is seen to be under way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from alcyon.domain.control import CHAMPION, SetModel, encode_control
from alcyon.domain.errors import (
    AlcyonError,
    ConflictError,
    InputError,
    ModelError,
    UnreachableError,
)
from alcyon.domain.moves import Move, MoveKind, MoveState, Wanted, before, head, standing, winners
from alcyon.domain.ports import Intake, ModelRegistry
from alcyon.domain.record import Topic
from alcyon.features.catalog import Catalog
from alcyon.runners.stream.in_force import LoadModel
from alcyon.scoring.manifest import BLEND
from alcyon.scoring.model import Model

UNDER_WAY_S_MAX = 60.0
"""A move takes seconds: one that is older was broken off, and may be gone over."""


def loader(registry: ModelRegistry, catalog: Catalog) -> LoadModel:
    """Gives a registered model, fit for this catalog.

    A registry that is down is a ModelError: the control record is refused, and what decides goes on
    deciding.
    """

    def load(name: str) -> Model:
        try:
            place = registry.fetch(name)
        except UnreachableError as error:
            raise ModelError(f"model {name} cannot be had now: {error}") from error
        return Model.load(place, catalog_hash=catalog.hash, feature_names=catalog.model_names)

    return load


def begun_with(registry: ModelRegistry, catalog: Catalog, directory: Path) -> Model:
    """Register the model that a worker begins with, as the champion; nothing is decided yet.

    ModelError: it does not fit this catalog, or fails a check.
    """
    model = Model.load(directory, catalog_hash=catalog.hash, feature_names=catalog.model_names)
    name = registry.register(directory, model.version).name
    expected = head(winners(registry.moves(CHAMPION)))
    move = registry.begin_move(Wanted(CHAMPION, name, expected, why="what the worker begins with"))
    registry.end_move(move, MoveState.DONE)
    return model


@dataclass(frozen=True)
class Moving:
    """What moves an alias.

    load: checks a model as the worker will. intake: opens the way to the worker.
    """

    registry: ModelRegistry
    load: LoadModel
    intake: Callable[[], AbstractContextManager[Intake]]
    now_ms: Callable[[], int] = lambda: round(time.time() * 1000)


def promote(moving: Moving, name: str, alias: str = CHAMPION, by: str = "", why: str = "") -> Move:
    """Let the alias name this model, and tell the worker, with both models' figures as evidence.

    ModelError: the worker would refuse it. ConflictError: another move came first, or is under
    way. UnreachableError, LogError: the registry or the way to the worker is not there. In all
    cases nothing has moved.
    """
    won = winners(moving.registry.moves(alias))
    evidence = _evidence(moving.registry, standing(won), name)
    return _move(moving, won, Wanted(alias, name, head(won), MoveKind.PROMOTE, by, why, evidence))


def roll_back(moving: Moving, by: str = "", why: str = "") -> Move:
    """Let the champion be the one before, and tell the worker; again: the one before that.

    InputError: there is none. Otherwise as `promote`.
    """
    won = winners(moving.registry.moves(CHAMPION))
    goes_to = before(won)
    if goes_to is None:
        now = standing(won)
        raise InputError(
            "there is no champion before "
            + (f"{now}: promote another model" if now else "the first: promote a model")
        )
    evidence = _evidence(moving.registry, standing(won), goes_to)
    wanted = Wanted(CHAMPION, goes_to, head(won), MoveKind.ROLL_BACK, by, why, evidence)
    return _move(moving, won, wanted)


@contextmanager
def moved(registry: ModelRegistry, wanted: Wanted) -> Iterator[Move]:
    """Begin a move; the alias moves where the body comes to its end, having told the worker."""
    move = registry.begin_move(wanted)
    try:
        yield move
    except Exception:
        with suppress(AlcyonError):  # then it stays under way, which is as good
            registry.end_move(move, MoveState.FAILED)
        raise
    try:
        registry.end_move(move, MoveState.DONE)
    except AlcyonError as error:
        raise UnreachableError(
            f"the worker was told to take {wanted.model}, and the registry could not note it "
            f"({error}): promote {wanted.model} again when it can"
        ) from error


def _move(moving: Moving, won: list[Move], wanted: Wanted) -> Move:
    _check_quiet(won, moving.now_ms())
    moving.load(wanted.model)  # 1 the model is believed
    with (
        moving.intake() as intake,  # 2 the way to the worker is open
        moved(moving.registry, wanted) as move,  # 3 the move comes in
    ):
        control = SetModel(wanted.model, "champion" if wanted.alias == CHAMPION else "challenger")
        intake.append(Topic.CONTROL, [encode_control(control)])  # 4 the control record is written
    return msgspec.structs.replace(move, state=MoveState.DONE)  # 5 the alias has moved


def _check_quiet(won: list[Move], now_ms: int) -> None:
    """ConflictError while somebody else's move may still come to its end."""
    newest = won[-1] if won else None
    if newest is None or newest.state is not MoveState.UNDER_WAY:
        return
    if now_ms - newest.at < UNDER_WAY_S_MAX * 1000:
        wanted = newest.wanted
        raise ConflictError(
            f"{wanted.alias} is being moved to {wanted.model} by {wanted.by or 'nobody named'}: "
            f"nothing was changed; if that was broken off, ask again in {UNDER_WAY_S_MAX:.0f} s"
        )


def _evidence(registry: ModelRegistry, *names: str | None) -> dict[str, dict[str, float | None]]:
    """The ensemble's figures of these models, as they were registered."""
    figures = {model.name: model.metrics.get(BLEND, {}) for model in registry.models()}
    return {name: figures[name] for name in names if name in figures}
