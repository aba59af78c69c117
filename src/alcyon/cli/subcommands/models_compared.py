"""`alcyon models compare`"""

from __future__ import annotations

from dataclasses import dataclass

from cyclopts import Parameter

from alcyon.cli.opening.models_place import Place
from alcyon.cli.showing.options import Detectors, Inputs, Json, duration, settings
from alcyon.cli.showing.talk import show_json, show_table, tell
from alcyon.cli.train import backfill
from alcyon.detectors.loading import load_detector
from alcyon.domain.errors import InputError
from alcyon.learning.comparison import DRAWS, Comparison, Interval, Worth
from alcyon.runners.learning.evaluation import caveat, compared
from alcyon.runners.learning.training import Span


@Parameter(name="*")
@dataclass(frozen=True)
class Comparing:
    """How two models are compared."""

    catalog: Detectors = "card"
    label_delay: str = "7d"
    """How long after a payment its fraud is usually known."""
    draws: int = DRAWS
    """Of the bootstrap."""
    seed: int = 7
    """Of the bootstrap."""


def compare(
    first: str,
    second: str,
    /,
    *,
    inputs: Inputs,
    comparing: Comparing = Comparing(),
    as_json: Json = False,
) -> None:
    """Compare two models on the same payments, which neither has seen.

    Where they agree, average precision and money lost of each, and the difference, with 95 %
    intervals by paired bootstrap over cards. Each decides by its own thresholds, unless the
    detector has a policy.

    An example:
        alcyon models compare champion challenger --input t.parquet --labels l.parquet

    Parameters
    ----------
    first
        A registered model's name, champion, challenger, or a folder that alcyon train wrote.
    second
        The same.
    as_json
        Print the comparison as JSON.
    """
    if first == second:
        raise InputError(f"{first} is compared with itself: give two models")
    detector, place = load_detector(comparing.catalog), Place.of(settings())
    delay_ms = duration("--label-delay", comparing.label_delay)
    backfilled = backfill(inputs, detector, Span())
    found = compared(
        detector, [(given, place.folder(given)) for given in (first, second)], backfilled, delay_ms,
        (comparing.seed, comparing.draws),
    )  # fmt: skip
    if as_json:
        show_json(found)
    else:
        _show(found)
    tell(caveat(backfilled.rows.transaction_id))


def _show(found: Comparison) -> None:
    rows, columns = list(found.agreement), list(next(iter(found.agreement.values())))
    show_table(
        f"{found.transactions:,} payments, {found.frauds:,} frauds; {found.agreed_share:.2%} alike",
        [f"{found.names[0]} \\ {found.names[1]}", *columns],
        [[row, *(f"{found.agreement[row][c]:,}" for c in columns)] for row in rows],
    )
    first, second = found.names
    worths = {first: found.first, second: found.second, "more": found.difference}
    show_table(
        f"95 % of {found.draws} draws lie between",
        ["", "average precision", "money lost"],
        [[name, *_figures(worth)] for name, worth in worths.items()],
    )


def _figures(worth: Worth) -> tuple[str, str]:
    def shown(at: Interval, digits: int, scale: float = 1.0) -> str:
        value, low, high = (f"{x / scale:,.{digits}f}" for x in (at.value, at.low, at.high))
        return f"{value} ({low} … {high})"

    return shown(worth.average_precision, 4), shown(worth.money_lost_minor, 2, 100.0)
