"""`alcyon generate`"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cyclopts import Parameter

from alcyon.cli.showing.options import Json, milliseconds
from alcyon.cli.showing.talk import progress, show_json, tell
from alcyon.runners.files.generation import Outputs, generate_files
from alcyon.simulation import Scenario


@Parameter(name="*")
@dataclass(frozen=True)
class Traffic:
    """What is made."""

    transactions: int
    """How many."""
    seed: int = 0
    """The same seed gives the same bytes."""
    start: datetime = datetime(2025, 1, 1, tzinfo=UTC)
    """Event time of the beginning; UTC unless it has a zone."""
    fraud_rate: float = 0.007
    """Share of frauds among the transactions."""
    drift: float = 0.0
    """How much habits and attacks change: 0 none, 1 strong by the end."""

    @property
    def scenario(self) -> Scenario:
        """Raises InputError for a value out of bounds."""
        return Scenario(
            transactions=self.transactions,
            seed=self.seed,
            start=milliseconds(self.start),
            fraud_rate=self.fraud_rate,
            drift=self.drift,
        )


def generate(
    *,
    traffic: Traffic,
    out: Path,
    labels_out: Path | None = None,
    truth_out: Path | None = None,
    as_json: Json = False,
) -> None:
    """Make labelled card traffic with known truth.

    Thirty days of purchases by simulated card holders, with attacks among them.

    An example:
        alcyon generate --transactions 100000 --seed 1 \\
            --out t.parquet --labels-out l.parquet

    Parameters
    ----------
    out
        Where the transactions go: .parquet, .csv, .csv.gz, .jsonl, .jsonl.gz or .avro.
    labels_out
        Where the labels go: what analysts, issuers and chargebacks say, and when.
    truth_out
        Where the truth goes: which attack each transaction belongs to.
    as_json
        Print the counts as JSON.
    """
    with progress("transactions", traffic.transactions) as advance:
        made = generate_files(traffic.scenario, Outputs(out, labels_out, truth_out), advance)
    tell(f"{out}: {made.transactions:,} transactions, {made.frauds:,} of them frauds")
    if labels_out is not None:
        tell(f"{labels_out}: {made.labels:,} labels")
    if as_json:
        show_json(made)
