"""`alcyon models register`, `promote` and `roll-back`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from alcyon.cli.opening.models_place import ALIASES, Place
from alcyon.cli.opening.offices import has_approvers
from alcyon.cli.opening.signing_in import URL, Url, asked, signed_in
from alcyon.cli.showing.options import Detectors, Json, settings
from alcyon.cli.showing.talk import show_json, show_table, tell
from alcyon.cli.subcommands.proposals_made import propose_by
from alcyon.detectors.loading import load_detector
from alcyon.domain.control import CHALLENGER, CHAMPION
from alcyon.domain.errors import InputError
from alcyon.domain.moves import Move
from alcyon.runners.learning.models import Moving, loader
from alcyon.runners.learning.models import promote as promoted
from alcyon.runners.learning.models import roll_back as rolled_back
from alcyon.scoring.model import Model

By = Annotated[str, Parameter(help="Who wants it, where nobody signs in.")]
Why = Annotated[str, Parameter(help="Why.")]
Who = Annotated[
    str | None,
    Parameter(help="Who signs in to propose it; the password is asked for, or read on stdin."),
]


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
    user: Who = None,
    url: Url = URL,
    catalog: Detectors = "card",
    by: By = "",
    why: Why = "",
    as_json: Json = False,
) -> None:
    """Let a registered model decide from now on; the worker takes it without a restart.

    Where somebody has an account by which changes are approved (alcyon users add, role lead or
    admin), this is a proposal: it goes to a running alcyon serve, and another person approves it.
    Where nobody has, it is done at once, and told so.

    It is checked as the worker will check it; the figures of both models are kept as evidence. Of
    two promotions at once one wins, the other is refused and changes nothing.

    An example:
        alcyon models promote challenger --user ada --why "more fraud found at equal reviews"

    Parameters
    ----------
    model
        Its name, or challenger.
    as_json
        Print the proposal, or the move, as JSON.
    """
    place = Place.of(settings())
    if (proposer := _proposer(place, user, by, why)) is None:
        _show(promoted(_moving(place, catalog), place.named(model), by=by, why=why), as_json)
        return
    with signed_in(url, proposer) as client:
        name = model
        if model in ALIASES:
            name = asked(client, "GET", "/v1/models")[model]
            if name is None:
                raise InputError(f"there is no {model} yet: alcyon models register one")
        propose_by(client, "promotion", {"model": name}, why, as_json)


def roll_back(
    *,
    user: Who = None,
    url: Url = URL,
    catalog: Detectors = "card",
    by: By = "",
    why: Why = "",
    as_json: Json = False,
) -> None:
    """Let the champion before decide again; given once more, the one before that.

    Another person approves it where a promotion must be approved; see alcyon models promote.

    An example:
        alcyon models roll-back --user ada --why "declines doubled"

    Parameters
    ----------
    as_json
        Print the proposal, or the move, as JSON.
    """
    place = Place.of(settings())
    if (proposer := _proposer(place, user, by, why)) is None:
        _show(rolled_back(_moving(place, catalog), by, why), as_json)
        return
    with signed_in(url, proposer) as client:
        propose_by(client, "roll_back", {}, why, as_json)


def _proposer(place: Place, user: str | None, by: str, why: str) -> str | None:
    """Who proposes it; None: nobody is there who could approve, so it is done at once.

    InputError: it must be proposed, and nobody signs in for it, or no reason is given.
    """
    if user is None and not has_approvers(place.office):
        return None
    if user is None:
        raise InputError(
            "another person must approve this, for there are accounts here: start alcyon serve, "
            "and give --user, who proposes it, and --why"
        )
    if by:
        raise InputError("give --user or --by: who proposes it is who signs in")
    if not why:
        raise InputError("say --why, for whoever approves it")
    return user


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
    if alias == CHAMPION:
        tell("nobody had to approve it: there is no lead or admin here (alcyon users add)")
