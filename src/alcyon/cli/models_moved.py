"""`alcyon models register`, `promote` and `roll-back`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from alcyon.cli.models_place import Place
from alcyon.cli.options import Detectors, Json, settings
from alcyon.cli.talk import show_json, show_table, tell
from alcyon.detectors.loading import load_detector
from alcyon.domain.control import CHALLENGER
from alcyon.domain.moves import Move
from alcyon.runners.models import Moving, loader
from alcyon.runners.models import promote as promoted
from alcyon.runners.models import roll_back as rolled_back
from alcyon.scoring.model import Model

By = Annotated[str, Parameter(help="Who wants it.")]
Why = Annotated[str, Parameter(help="Why.")]


def register(
    directory: Path,
    /,
    *,
    name: str | None = None,
    alias: Literal["challenger"] | None = None,
    catalog: Detectors = "card",
    by: By = "",
    why: Why = "",
    as_json: Json = False,
) -> None:
    """Add a model to the registry, once it has passed every check.

    An example:
        alcyon models register model --alias challenger

    Parameters
    ----------
    directory
        The folder that alcyon train wrote.
    name
        What to call it; the first 16 hex digits of its file's SHA-256 otherwise.
    alias
        challenger: the worker scores it beside the champion from now on.
    as_json
        Print what was registered as JSON.
    """
    detector, place = load_detector(catalog), Place.of(settings())
    fit = detector.catalog
    Model.load(directory, catalog_hash=fit.hash, feature_names=fit.model_names)
    registered = place.registry.register(directory, name)
    tell(f"{registered.name} is among {place.words}")
    if alias == CHALLENGER:
        _tell(promoted(_moving(place, catalog), registered.name, CHALLENGER, by, why))
    if as_json:
        show_json(registered)


def promote(
    model: str,
    /,
    *,
    catalog: Detectors = "card",
    by: By = "",
    why: Why = "",
    as_json: Json = False,
) -> None:
    """Let a registered model decide from now on; the worker takes it without a restart.

    It is checked as the worker will check it; the figures of both models are kept as evidence. Of
    two promotions at once one wins, the other is refused and changes nothing.

    An example:
        alcyon models promote challenger --by ada --why "more fraud found at equal reviews"

    Parameters
    ----------
    model
        Its name, or challenger.
    as_json
        Print the move as JSON.
    """
    place = Place.of(settings())
    _show(promoted(_moving(place, catalog), place.named(model), by=by, why=why), as_json)


def roll_back(
    *, catalog: Detectors = "card", by: By = "", why: Why = "", as_json: Json = False
) -> None:
    """Let the champion before decide again; given once more, the one before that.

    An example:
        alcyon models roll-back --by ada --why "declines doubled"

    Parameters
    ----------
    as_json
        Print the move as JSON.
    """
    _show(rolled_back(_moving(Place.of(settings()), catalog), by, why), as_json)


def _moving(place: Place, catalog: str) -> Moving:
    return Moving(
        place.registry, loader(place.registry, load_detector(catalog).catalog), place.intake
    )


def _show(move: Move, as_json: bool) -> None:
    if as_json:
        show_json(move)
    elif (evidence := move.wanted.evidence) and len(evidence) > 1:
        old, new = evidence.values()
        names = [name for name in new if new[name] is not None and old.get(name) is not None]
        rows = [
            [name.replace("_", " "), *(f"{v:,.4f}" for v in (a, b, b - a))]
            for name in names
            if (a := old[name]) is not None and (b := new[name]) is not None
        ]
        show_table("as trained, each on days of its own", ["", *evidence, "more"], rows)
    _tell(move)


def _tell(move: Move) -> None:
    alias = move.wanted.alias
    tell(f"{move.wanted.model} is the {alias} from the control record on that was just written")
