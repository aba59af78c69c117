"""The desk: everything the API shows, collects and asks through, opened part by part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alcyon.cli.opening.system import System

if TYPE_CHECKING:
    from alcyon.api.desk import Controlling, Desk
    from alcyon.cli.opening.asked import Around, Live
    from alcyon.domain.office.ports import Explaining, Office, Searcher


@dataclass(frozen=True)
class Parts:
    """What the desk has beside asking and watching."""

    searcher: Searcher
    office: Office
    explaining: Explaining
    controlling: Controlling
    signs_in: Callable[[str], str | None] | None = None
    """See `api.desk.Desk`."""
    system: Callable[[], dict[str, Any]] | None = None
    """What the system page shows, where the worker has no status port."""


def open_desk(around: Around, live: Live, parts: Parts) -> Desk:
    """The desk over what is open."""
    from alcyon.api.desk import Desk

    return Desk(
        asking=live.asking,
        searcher=parts.searcher,
        office=parts.office,
        explaining=parts.explaining,
        feeds=live.feeds,
        controlling=parts.controlling,
        system=parts.system or System(around).told,
        telemetry=around.telemetry,
        origins=around.set_to.serve.origins,
        signs_in=parts.signs_in,
        answered=live.answered.answered,
    )
