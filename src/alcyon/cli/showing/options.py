"""Options that several commands share, and how their values are read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from alcyon.domain.errors import CatalogError, InputError

if TYPE_CHECKING:
    from alcyon.detectors.loading import Detector
    from alcyon.features.kernel import Limits
    from alcyon.runners.files.arrivals import Sources
    from alcyon.settings import Settings

Flag = Annotated[bool, Parameter(negative="")]
"""A switch that is off unless given."""
Json = Annotated[bool, Parameter(name="--json", negative="")]
Port = Parameter(name="--port", validator=Number(gte=0, lte=65_535))
"""Where to listen; 0: on any that is free."""
Detectors = Annotated[
    str,
    Parameter(
        help="A detector of ours (card, handbook, sparkov, paysim) or a Python file with `catalog`."
    ),
]


@Parameter(name="*")
@dataclass(frozen=True)
class Inputs:
    """The files that are read, and how."""

    input: Path
    """Transactions in order of arrival (parquet, csv, jsonl or avro)."""
    labels: Path | None = None
    """Labels; each counts from its labelled_at on, or by `sequence` if both files have it."""
    allow_late: Flag = False
    """Go on though more than 1 % of the transactions are late."""


def milliseconds(moment: datetime) -> int:
    """UTC ms; a time without a zone is UTC."""
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(zoned.timestamp() * 1000)


def duration(option: str, text: str) -> int:
    """`7d` as ms. Raises InputError that names the option."""
    from alcyon.features.aggregation import duration_ms

    try:
        return duration_ms(text)
    except CatalogError as error:
        raise InputError(f"{option}: {error}") from error


def settings() -> Settings:
    """The settings in force. Raises SettingsError."""
    from alcyon.settings import load_settings

    return load_settings()


def limits(settings: Settings) -> Limits:
    """The kernel's bounds."""
    from alcyon.features.kernel import Limits

    kernel = settings.kernel
    return Limits(kernel.state_bytes_max, kernel.dedupe_horizon_ms, kernel.pending_labels_max)


def sources(inputs: Inputs, detector: Detector, settings: Settings) -> Sources:
    """What is read, and how it is admitted."""
    from alcyon.runners.files.arrivals import Sources

    return Sources(inputs.input, inputs.labels, settings.token.keys(), detector.columns)
