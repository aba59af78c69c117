"""What the office goes by, from the settings."""

from __future__ import annotations

from dataclasses import dataclass

from alcyon.domain.office.cases import Resolution
from alcyon.domain.office.delivery import RESOLUTIONS


@dataclass(frozen=True)
class OfficeTerms:
    """When a review that nobody takes is resolved, and who is told of what."""

    deadline_ms: int | None = None
    """After a case got its first review; None: never."""
    deadline_action: Resolution | None = None
    alert_targets: tuple[str, ...] = ()
    """Channels that are told of alerts."""
    resolution_targets: tuple[str, ...] = (RESOLUTIONS,)
