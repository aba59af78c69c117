"""`alcyon evaluate`"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cyclopts import Parameter

from alcyon.cli.showing.options import Detectors, Inputs, Json
from alcyon.domain.errors import InputError


@Parameter(name="*")
@dataclass(frozen=True)
class Judging:
    """How a model of ours is judged."""

    model: Path | None = None
    """The folder that `alcyon train` wrote."""
    catalog: Detectors = "card"
    label_delay: str = "7d"
    """How long after a payment its fraud is usually known."""
    plots: Path | None = None
    """A folder for plots: precision and recall, ROC, calibration, money, scores."""


@Parameter(name="*")
@dataclass(frozen=True)
class Published:
    """A published protocol: trains and tests anew, on its own file."""

    protocol: Literal["handbook"] | None = None
    """Instead of judging a model: train and test by this protocol, on its own file."""
    history: Literal["book", "all"] = "all"
    """With --protocol handbook: train on the book's week, or on the 56 days before its end."""


def evaluate(
    *,
    inputs: Inputs,
    judging: Judging = Judging(),
    published: Published = Published(),
    as_json: Json = False,
) -> None:
    """Say how good a model is on payments it has not seen.

    Judged are the transactions after the model's training, less those too young for
    their frauds to be known; each sees only what had arrived before it.

    An example:
        alcyon evaluate --model m --input t.parquet --labels l.parquet
        alcyon evaluate --protocol handbook --input handbook.parquet

    Parameters
    ----------
    as_json
        Print the figures as JSON.
    """
    if published.protocol == "handbook":
        from alcyon.cli.subcommands.handbook import by_handbook

        by_handbook(inputs.input, published.history, as_json)
        return
    if judging.model is None:
        raise InputError("give --model, the folder that alcyon train wrote, or --protocol handbook")
    from alcyon.cli.subcommands.judging import by_model

    by_model(inputs, judging.model, judging, as_json)
