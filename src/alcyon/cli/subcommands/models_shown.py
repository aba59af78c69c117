"""`alcyon models list` and `show`"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from alcyon.cli.opening.models_place import ALIASES, Place
from alcyon.cli.showing.options import Json, settings
from alcyon.cli.showing.talk import show_json, show_table, tell
from alcyon.domain.errors import ModelError
from alcyon.domain.moves import Move, MoveState, standing, winners
from alcyon.domain.registered import Registered
from alcyon.scoring.manifest import BLEND

_COLUMNS = {
    "ROC AUC": "roc_auc",
    "average precision": "average_precision",
    "recall at 0.1 %": "recall_at_fpr_0.001",
}


class Listed(msgspec.Struct, frozen=True):
    """What `--json` prints of a model."""

    model: Registered
    aliases: list[str]


class Shown(msgspec.Struct, frozen=True):
    """What `show --json` prints."""

    model: Registered
    aliases: list[str]
    moves: list[Move]
    """That named this model, the newest last."""


def list_models(*, as_json: Json = False) -> None:
    """List the registered models with their figures, the newest first.

    An example:
        alcyon models list

    Parameters
    ----------
    as_json
        Print them as JSON.
    """
    place = Place.of(settings())
    named = _aliases(place)
    found = [
        Listed(model, [a for a, n in named.items() if n == model.name])
        for model in place.registry.models()
    ]
    if as_json:
        show_json(found)
    elif found:
        header = ["model", "alias", "registered", "catalog", *_COLUMNS]
        show_table(None, header, [_row(each) for each in found])
    tell(f"{len(found)} in {place.words}")


def show(model: str, /, *, as_json: Json = False) -> None:
    """Show a model's figures, what it was made with, and the moves that named it.

    An example:
        alcyon models show champion

    Parameters
    ----------
    model
        Its name, or champion, or challenger.
    as_json
        Print it as JSON.
    """
    place = Place.of(settings())
    found = _of(place, place.named(model))
    if as_json:
        show_json(found)
        return
    made = found.model
    rows = [["registered", _time(made.registered_at)], ["catalog", made.catalog_hash]]
    rows += [["alias", ", ".join(found.aliases) or "–"], ["run", made.run_id or "–"]]
    rows += [[name.replace("_", " "), text] for name, text in made.parameters.items()]
    show_table(made.name, ["", ""], rows, figures=False)
    for member, figures in made.metrics.items():
        show_table(
            member, ["", ""], [[n.replace("_", " "), _figure(v)] for n, v in figures.items()]
        )
    if found.moves:
        header = ["", "at", "alias", "what", "state", "by", "why"]
        show_table("moves", header, [_moved(move) for move in found.moves], figures=False)


def _of(place: Place, name: str) -> Shown:
    for model in place.registry.models():
        if model.name == name:
            moves = [m for a in ALIASES for m in place.registry.moves(a) if m.wanted.model == name]
            return Shown(model, [a for a, n in _aliases(place).items() if n == name], moves)
    raise ModelError(f"there is no model {name} among {place.words}: see alcyon models list")


def _aliases(place: Place) -> Mapping[str, str | None]:
    won = {alias: winners(place.registry.moves(alias)) for alias in ALIASES}
    for alias, moves in won.items():
        if moves and moves[-1].state is MoveState.UNDER_WAY:
            newest = moves[-1].wanted
            tell(f"{alias} is being moved to {newest.model}, or that was broken off")
    return {alias: standing(moves) for alias, moves in won.items()}


def _row(listed: Listed) -> list[str]:
    model, figures = listed.model, listed.model.metrics.get(BLEND, {})
    return [
        model.name, ", ".join(listed.aliases), _time(model.registered_at), model.catalog_hash[:12],
        *(_figure(figures.get(name)) for name in _COLUMNS.values()),
    ]  # fmt: skip


def _moved(move: Move) -> list[str]:
    wanted = move.wanted
    kind, state = wanted.kind.value.replace("_", " "), move.state.value.replace("_", " ")
    return [str(move.number), _time(move.at), wanted.alias, kind, state, wanted.by, wanted.why]


def _time(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%SZ}"


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.0f}"
