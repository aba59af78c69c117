"""`alcyon evaluate`"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from alcyon.cli.options import Detectors, Inputs, Json
from alcyon.domain.errors import InputError


def evaluate(
    *,
    inputs: Inputs,
    model: Path | None = None,
    catalog: Detectors = "card",
    protocol: Literal["handbook"] | None = None,
    history: Literal["book", "all"] = "book",
    plots: Path | None = None,
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
    model
        The folder that `alcyon train` wrote.
    protocol
        Train and test by a published protocol instead, on its own file.
    history
        With --protocol handbook: train on the book's week, or on all before its end.
    plots
        A folder for plots: precision and recall, ROC, calibration, money, scores.
    as_json
        Print the figures as JSON.
    """
    if protocol == "handbook":
        from alcyon.cli.handbook import by_handbook

        by_handbook(inputs.input, history, as_json)
    else:
        raise InputError("give --model, the folder that alcyon train wrote, or --protocol handbook")
